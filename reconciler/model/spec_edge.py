"""How an app is reached and asked how it is: routes, TLS, limits of the edge, health checks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from reconciler.model.spec_types import (
    CountFromOne,
    HeaderName,
    HeaderValue,
    HostName,
    Part,
    Period,
    Port,
    Seconds,
    SecretName,
    SizeQuantity,
    UrlPath,
    first_repeated,
    memory_bytes,
    wrong,
)


class Tls(Part):
    """Certificate and key of a host, by secret name: `NAME/tls.crt` and `NAME/tls.key`."""

    secret: SecretName = Field(description="The secret that holds `tls.crt` and `tls.key`.")
    redirect: bool = Field(True, description="Whether plain HTTP is redirected to https.")


class Route(Part):
    """Where requests for the app come in. The longest path wins."""

    host: HostName | None = Field(None, description="The requests' host. Left out: any host.")
    path: UrlPath = Field("/", description="The path requests begin with.")
    strip_prefix: bool = Field(False, description="Whether `path` is taken off before the app sees the request.")
    tls: Tls | None = Field(None, description="Certificate and key, for https.")

    @property
    def claim(self) -> tuple[str | None, str]:
        """Which requests it claims, by host and path: ``/web`` and ``/web/`` claim the same."""
        return self.host, self.path.rstrip("/") or "/"

    @field_validator("path")
    @classmethod
    def _reachable(cls, path: str) -> str:
        if any(part in (".", "..", "") for part in path.rstrip("/").split("/")[1:]):
            raise wrong("a path without empty, . and .. parts: requests for those never arrive as they are written")
        return path


class RateLimit(Part):
    """Requests per second one client address may make, and how many above that it may burst."""

    requests_per_second: Annotated[float, Field(gt=0, le=1_000_000)] = Field(description="The lasting rate.")
    burst: Annotated[int, Field(ge=0, le=1_000_000)] = Field(0, description="Requests above it, once.")


class EdgeOptions(Part):
    """How the edge treats the app's requests."""

    sticky: Literal["cookie", "ip"] | None = Field(
        None, description="What ties a client to one replica. Left out: nothing, the least busy replica answers."
    )
    max_body_size: SizeQuantity = Field("1Mi", description="The largest request body; larger ones get 413.")
    connect_timeout_seconds: Annotated[float, Field(ge=0.1, le=75)] = Field(5, description="To reach a replica.")
    read_timeout_seconds: Period = Field(60, description="Between two reads of a replica's answer.")
    send_timeout_seconds: Period = Field(60, description="Between two writes of a request to a replica.")
    rate_limit: RateLimit | None = Field(None, description="Limit per client address; above it, 429.")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        2,
        description="Other replicas to try when one doesn't answer; one at most once it was sent and broke off, and "
        "none where it isn't idempotent.",
    )
    retry_timeout_seconds: Seconds = Field(10, description="How long retries may go on; 0: as long as it takes.")

    @property
    def max_body_bytes(self) -> int:
        return memory_bytes(self.max_body_size)


class HttpHeader(Part):
    """One header of a check's request."""

    name: HeaderName = Field(description="The header's name.")
    value: HeaderValue = Field(description="Its value.")


class HealthCheck(Part):
    """How a replica is asked whether it is well. No redirects are followed."""

    protocol: Literal["HTTP", "TCP"] = Field("HTTP", description="An HTTP request, or just a connection.")
    path: UrlPath = Field("/healthz", description="What is requested.")
    port: Port | None = Field(None, description="Where to ask. Left out: the app's routed (or first) port.")
    method: Literal["GET", "HEAD", "POST", "PUT", "OPTIONS"] = Field("GET", description="The request's method.")
    headers: tuple[HttpHeader, ...] = Field((), description="The request's headers.")
    body: Annotated[str, Field(max_length=65536)] = Field("", description="The request's body.")
    expected_status_codes: tuple[Annotated[int, Field(ge=100, le=599)], ...] = Field(
        (), description="The answers that mean well. Left out: 200 to 299."
    )
    initial_delay_seconds: Seconds = Field(0, description="From the replica's start to the first check.")
    period_seconds: Period = Field(10, description="From one check to the next.")
    timeout_seconds: Period = Field(5, description="How long an answer may take.")
    failure_threshold: CountFromOne = Field(3, description="Failures in a row that make it unhealthy.")
    success_threshold: CountFromOne = Field(1, description="Successes in a row that make it healthy.")

    @field_validator("headers")
    @classmethod
    def _named_once(cls, headers: tuple[HttpHeader, ...]) -> tuple[HttpHeader, ...]:
        if name := first_repeated([header.name.lower() for header in headers]):
            raise wrong("each header once", found=f"{name} twice")
        return headers

"""How an app is reached and asked how it is: routes, TLS, limits of the edge, health checks."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from reconciler.model.spec_container import Protocol
from reconciler.model.spec_types import (
    CountFromOne,
    Fingerprint,
    GrpcService,
    HeaderName,
    HeaderSizeQuantity,
    HeaderValue,
    HostName,
    Part,
    Period,
    Port,
    RequestTarget,
    Seconds,
    SecretName,
    ServerName,
    SizeQuantity,
    UrlPath,
    first_repeated,
    memory_bytes,
    wrong,
)

DEFAULT_WEBSOCKET_SECONDS = 3600.0


class Tls(Part):
    """Certificate and key of a host, by secret name: `NAME/tls.crt` and `NAME/tls.key`."""

    secret: SecretName = Field(description="The secret that holds `tls.crt` and `tls.key`.")
    redirect: bool = Field(True, description="Whether plain HTTP is redirected to https.")


class Route(Part):
    """Where requests for the app come in. The longest path wins."""

    host: HostName | None = Field(None, description="The requests' host. Left out: any host.")
    path: UrlPath = Field("/", description="The path requests begin with.")
    strip_prefix: bool = Field(
        False,
        description="Whether `path` is cut off for the app, which is told it as `X-Forwarded-Prefix`.",
    )
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
    """Requests per second one client address may make, and how many above that it may burst. Of IPv6 a client is known
    by its network of 64 bits."""

    requests_per_second: Annotated[float, Field(gt=0, le=1_000_000)] = Field(description="The lasting rate.")
    burst: Annotated[int, Field(ge=0, le=1_000_000)] = Field(0, description="Requests above it, once.")


class UpstreamTls(Part):
    """By what a replica is known that is reached over TLS, by the edge and by checks: a CA, or its own certificate."""

    server_name: ServerName | None = Field(
        None,
        description="The name that is asked for (SNI) and that the certificate has to be for. Left out: the app's name "
        "or, with `fingerprint`, the name in the certificate.",
    )
    ca: SecretName | None = Field(
        None, description="The secret whose `ca.crt` has the CA's certificate, or a self-signed one of the replicas."
    )
    fingerprint: Fingerprint | None = Field(
        None, description="The SHA-256 of the replicas' certificate, a self-signed one, instead of `ca`."
    )

    @model_validator(mode="after")
    def _known_by_one(self) -> Self:
        if self.ca is None and self.fingerprint is None:
            raise wrong("a ca (a secret) or a fingerprint, by which a replica is known", found="neither of them")
        if self.ca is not None and self.fingerprint is not None:
            raise wrong("one of ca and fingerprint", found="both ca and fingerprint")
        return self

    @property
    def trust(self) -> str:
        """A name for what is trusted: the CA's file among the secrets, or the fingerprint."""
        if self.ca is not None:
            return f"{self.ca}/ca.crt"
        assert self.fingerprint is not None
        return self.fingerprint.replace(":", "").lower()


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

    response_header_size: HeaderSizeQuantity = Field(
        "16Ki", description="The largest header of an answer; a larger one is answered by 502."
    )
    response_buffering: bool = Field(
        True,
        description="Whether an answer is gathered before it is passed on; false passes on each piece as it comes.",
    )
    request_buffering: bool = Field(
        True,
        description="Whether a body is gathered before a replica is asked; false passes it on as it comes, "
        "and then no other replica is tried once its first byte was sent.",
    )
    websocket_timeout_seconds: Period | None = Field(
        None,
        description="Silence after which a websocket is closed. Left out: 3600, or readTimeoutSeconds where that is "
        "longer.",
    )

    upstream_tls: UpstreamTls | None = Field(
        None, description="By what a replica is known that speaks HTTPS, or GRPC over TLS; without it GRPC is plain."
    )

    @property
    def max_body_bytes(self) -> int:
        return memory_bytes(self.max_body_size)

    @property
    def response_header_bytes(self) -> int:
        return memory_bytes(self.response_header_size)

    @property
    def websocket_seconds(self) -> float:
        """The silence a websocket may keep: never less than other requests may, by which it went before."""
        if self.websocket_timeout_seconds is not None:
            return self.websocket_timeout_seconds
        return max(DEFAULT_WEBSOCKET_SECONDS, self.read_timeout_seconds)


class HttpHeader(Part):
    """One header of a check's request."""

    name: HeaderName = Field(description="The header's name.")
    value: HeaderValue = Field(description="Its value.")


class HealthCheck(Part):
    """How a replica is asked whether it is well. No redirects are followed."""

    protocol: Protocol = Field(
        "HTTP",
        description="An HTTP request, also over TLS, the standard gRPC health check, or just a connection.",
    )
    service: GrpcService = Field("", description="What a GRPC check asks about. Left out: the server as a whole.")
    path: RequestTarget = Field("/healthz", description="What is requested, with `?query` where that is needed.")
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

    @field_validator("service")
    @classmethod
    def _for_grpc(cls, service: str, info: ValidationInfo) -> str:
        if service and info.data.get("protocol", "GRPC") != "GRPC":
            raise wrong("no service, which is for protocol: GRPC")
        return service

    @field_validator("path", "method", "body", "expected_status_codes")
    @classmethod
    def _not_for_grpc(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields[info.field_name or ""]
        if info.data.get("protocol") == "GRPC" and value != field.default:
            raise wrong(f"no {field.alias}: a GRPC check asks grpc.health.v1.Health about a service")
        return value

    @field_validator("headers")
    @classmethod
    def _named_once(cls, headers: tuple[HttpHeader, ...]) -> tuple[HttpHeader, ...]:
        if name := first_repeated([header.name.lower() for header in headers]):
            raise wrong("each header once", found=f"{name} twice")
        return headers

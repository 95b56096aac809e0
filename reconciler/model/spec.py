"""The app spec, version v1: what people write, as typed and frozen values.

The one definition behind the loader, the JSON Schema that editors use and the reference in ``docs/``. It decides what
is valid within one document; what needs several documents (names, routes, dependencies) is `source.specs`' to check.
It must never coerce: ``"3"`` is not 3 and ``yes`` is not a string, since a guess here becomes a container there.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

_ACRONYMS = {
    "api_version": "apiVersion",
    "target_rps_per_replica": "targetRPSPerReplica",
    "max_p95_latency_ms": "maxP95LatencyMs",
    "max_cpu_percent": "maxCPUPercent",
}


def _yaml_name(attribute: str) -> str:
    return _ACRONYMS.get(attribute) or to_camel(attribute)


class Part(BaseModel):
    """Base of every part of a spec: strict types, no unknown fields, immutable, camelCase in YAML."""

    model_config = ConfigDict(
        alias_generator=_yaml_name, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )


DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0, le=86400, strict=True)]
Period = Annotated[float, Field(ge=0.1, le=86400, strict=True)]
Percent = Annotated[float, Field(ge=0, le=100, strict=True)]
CountOrPercent = (
    Annotated[int, Field(ge=0, le=1000)] | Annotated[str, StringConstraints(pattern=r"^(100|[0-9]{1,2})%$")]
)
UrlPath = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9._~/-]*$", max_length=1024)]
HostName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", max_length=253
    ),
]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", max_length=256)]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$", max_length=4096)]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=256)]
SecretName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=253)]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00-\x1f:]*$", max_length=4096)]

_MEMORY_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "K": 1000, "M": 1000**2, "G": 1000**3}
_MEMORY_UNITS |= {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
_QUANTITY = re.compile(r"^([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)$")
_LEAST_MEMORY_BYTES = 6 * 1024**2
DEFAULT_MEMORY = "512Mi"
DEFAULT_CPU = "500m"


def memory_bytes(quantity: str) -> int:
    """Bytes of a memory quantity: Ki Mi Gi (1024), K M G (1000), or Docker's own k m g (1024)."""
    match = _QUANTITY.match(quantity)
    if not match or match[2] not in _MEMORY_UNITS:
        raise ValueError("a memory quantity such as 512Mi, 1Gi, 500M or 512m")
    return int(float(match[1]) * _MEMORY_UNITS[match[2]])


def cpu_millicores(quantity: str) -> int:
    """Thousandths of a core of a cpu quantity: cores (``0.5``, ``2``) or millicores (``500m``)."""
    match = _QUANTITY.match(quantity)
    if not match or match[2] not in ("", "m"):
        raise ValueError("cores such as 0.5 or 2, or millicores such as 500m")
    return round(float(match[1]) * (1 if match[2] else 1000))


class Metadata(Part):
    """Who the app is. ``name`` names its containers, its upstream and its default route."""

    name: DnsLabel
    labels: dict[str, str] = {}

    @model_validator(mode="after")
    def _labels_agree(self) -> Self:
        if self.labels.get("app", self.name) != self.name:
            raise ValueError(f"labels.app equal to metadata.name ({self.name}), or no labels.app")
        if reserved := [key for key in self.labels if key.startswith("orchestry.")]:
            raise ValueError(f"labels outside orchestry.*, which is reserved, not {reserved[0]}")
        return self


class ContainerPort(Part):
    """A port the program listens on. The first HTTP port is the routed one."""

    name: DnsLabel | None = None
    container_port: Port
    protocol: Literal["HTTP", "TCP"] = "TCP"


class Resources(Part):
    """Limits of one replica; 500m and 512Mi where a ``resources`` block leaves one out, none without the block."""

    cpu: str | float | int | None = None
    memory: str | int | None = None
    pids: Annotated[int, Field(ge=1, le=4194304)] | None = None

    @model_validator(mode="after")
    def _within_engine_limits(self) -> Self:
        if self.cpu_millicores < 10:
            raise ValueError("cpu of at least 10m")
        if self.memory_bytes < _LEAST_MEMORY_BYTES:
            raise ValueError("memory of at least 6Mi, the Engine's own minimum")
        return self

    @property
    def cpu_millicores(self) -> int:
        return cpu_millicores(DEFAULT_CPU if self.cpu is None else str(self.cpu))

    @property
    def memory_bytes(self) -> int:
        return memory_bytes(DEFAULT_MEMORY if self.memory is None else str(self.memory))


class PlainVariable(Part):
    """An environment variable with its value in git."""

    name: EnvName
    value: str


class SdkVariable(Part):
    """An environment variable the controller knows the value of when it creates the replica."""

    name: EnvName
    source: Literal["sdk"]
    key: Literal["instance.ip", "instance.port", "app.name", "app.replicas"]


class SecretVariable(Part):
    """An environment variable read from the controller's secrets directory: file ``key``, or its ``field``."""

    name: EnvName
    source: Literal["secret"]
    key: SecretName
    field: SecretName | None = None


class Volume(Part):
    """A named volume, or a host path where the controller's policy allows it."""

    name: SecretName | None = None
    host_path: AbsolutePath | None = None
    mount_path: AbsolutePath
    read_only: bool = False

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.name is None) == (self.host_path is None):
            raise ValueError("exactly one of name and hostPath")
        return self


class File(Part):
    """A file of the same commit, placed into each replica; a changed content is a changed spec."""

    path: Annotated[str, StringConstraints(pattern=r"^[^/\x00][^\x00]*$", max_length=1024)]
    mount_path: AbsolutePath
    mode: Annotated[str, StringConstraints(pattern=r"^0[0-7]{3}$")] = "0444"


class Canary(Part):
    """A step of a rollout at ``weight`` percent of the traffic, judged after ``hold_seconds``."""

    weight: Annotated[int, Field(ge=1, le=50)] = 10
    hold_seconds: Seconds = 300
    max_error_rate_percent: Percent = 1.0
    max_p95_ratio: Annotated[float, Field(ge=1, le=100)] = 1.5
    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 20


class Strategy(Part):
    """How a changed version replaces the old one. ``max_surge`` and ``max_unavailable``: replicas or percent."""

    max_surge: CountOrPercent | None = None
    max_unavailable: CountOrPercent | None = None
    min_ready_seconds: Seconds = 0
    progress_deadline_seconds: Annotated[float, Field(gt=0, le=86400)] = 600
    on_failure: Literal["rollback", "pause"] = "rollback"
    canary: Canary | None = None


class Tls(Part):
    """Certificate and key of a host, by secret name: ``NAME/tls.crt`` and ``NAME/tls.key``."""

    secret: SecretName
    redirect: bool = True


class Route(Part):
    """Where requests for the app come in. Without a host: any host. The longest path wins."""

    host: HostName | None = None
    path: UrlPath = "/"
    strip_prefix: bool = False
    tls: Tls | None = None


class RateLimit(Part):
    """Requests per second one client address may make, and how many above that it may burst."""

    requests_per_second: Annotated[float, Field(gt=0, le=1_000_000)]
    burst: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class EdgeOptions(Part):
    """How the edge treats the app's requests. Sizes in bytes as quantities, times in seconds."""

    sticky: Literal["cookie", "ip"] | None = None
    max_body_size: str = "1Mi"
    connect_timeout_seconds: Annotated[float, Field(ge=0.1, le=75)] = 5
    read_timeout_seconds: Period = 60
    send_timeout_seconds: Period = 60
    rate_limit: RateLimit | None = None
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    retry_timeout_seconds: Seconds = 10

    @model_validator(mode="after")
    def _size_is_a_quantity(self) -> Self:
        memory_bytes(self.max_body_size)
        return self


class HttpHeader(Part):
    name: HeaderName
    value: HeaderValue


class HealthCheck(Part):
    """How a replica is asked whether it is well. Seconds throughout; no redirects are followed."""

    protocol: Literal["HTTP", "TCP"] = "HTTP"
    path: UrlPath = "/healthz"
    port: Port | None = None
    method: Literal["GET", "HEAD", "POST", "PUT", "OPTIONS"] = "GET"
    headers: tuple[HttpHeader, ...] = ()
    body: Annotated[str, StringConstraints(max_length=65536)] = ""
    expected_status_codes: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    initial_delay_seconds: Seconds = 0
    period_seconds: Period = 10
    timeout_seconds: Period = 5
    failure_threshold: Annotated[int, Field(ge=1, le=1000)] = 3
    success_threshold: Annotated[int, Field(ge=1, le=1000)] = 1


class ScheduledBounds(Part):
    """Other bounds while a cron expression's minute is the last one that matched."""

    cron: Annotated[str, StringConstraints(max_length=256)]
    timezone: str = "UTC"
    min_replicas: Annotated[int, Field(ge=1, le=1000)]
    max_replicas: Annotated[int, Field(ge=1, le=1000)]


class CustomMetric(Part):
    """A query to the Prometheus-compatible API named in the controller's settings."""

    name: DnsLabel
    query: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    target_per_replica: Annotated[float, Field(gt=0)] | None = None
    target: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.target is None) == (self.target_per_replica is None):
            raise ValueError("exactly one of target and targetPerReplica")
        return self


class Scaling(Part):
    """How many replicas, and by which measurements that changes. A metric set to 0 takes no part."""

    mode: Literal["auto", "manual"] = "auto"
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 5
    target_rps_per_replica: Annotated[float, Field(ge=0, le=100_000)] = 50
    max_p95_latency_ms: Annotated[float, Field(ge=0, le=600_000)] = 250
    max_conn_per_replica: Annotated[float, Field(ge=0, le=100_000)] = 80
    max_cpu_percent: Percent = 70
    max_memory_percent: Percent = 75
    scale_out_threshold_pct: Annotated[float, Field(ge=1, le=100)] = 80
    scale_in_threshold_pct: Annotated[float, Field(ge=1, le=100)] = 30
    window_seconds: Annotated[float, Field(ge=1, le=86400)] = 20
    cooldown_seconds: Seconds = 30
    max_scale_out_step: Annotated[int, Field(ge=1, le=1000)] = 3
    max_scale_in_step: Annotated[int, Field(ge=1, le=1000)] = 1
    stabilization_window_seconds: Seconds = 0
    strategy: Literal["step", "proportional"] = "step"
    schedule: tuple[ScheduledBounds, ...] = ()
    metrics: tuple[CustomMetric, ...] = ()
    dry_run: bool = False
    paused_at: Annotated[int, Field(ge=0, le=1000)] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.mode == "auto" and self.replicas is not None:
            raise ValueError("no replicas under mode: auto (minReplicas and maxReplicas decide), or mode: manual")
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"minReplicas ({self.min_replicas}) at most maxReplicas ({self.max_replicas})")
        if self.scale_in_threshold_pct >= self.scale_out_threshold_pct:
            raise ValueError("scaleInThresholdPct below scaleOutThresholdPct")
        return self

    @property
    def manual_replicas(self) -> int:
        """The count under ``mode: manual``."""
        return self.min_replicas if self.replicas is None else self.replicas


class AppSpec(Part):
    """What runs, and how it is reached."""

    type: Literal["http", "tcp", "worker"] = "http"
    image: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", max_length=512)]
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: AbsolutePath | None = None
    ports: tuple[ContainerPort, ...] = ()
    resources: Resources | None = None
    environment: tuple[PlainVariable | SdkVariable | SecretVariable, ...] = ()
    volumes: tuple[Volume, ...] = ()
    files: tuple[File, ...] = ()
    termination_grace_period_seconds: Seconds = 10
    strategy: Strategy = Strategy()
    routes: tuple[Route, ...] | None = None
    edge: EdgeOptions = EdgeOptions()
    readiness: HealthCheck | None = None
    depends_on: tuple[DnsLabel, ...] = ()
    restart_token: str | None = None
    suspend: bool = False


class App(Part):
    """One document: kind ``App``."""

    api_version: Literal["v1"]
    kind: Literal["App"]
    metadata: Metadata
    spec: AppSpec
    scaling: Scaling = Scaling()
    health_check: HealthCheck | None = None

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def main_port(self) -> int | None:
        """The port that is routed (the first HTTP one) or, for ``tcp``, the first; None for a worker."""
        if self.spec.type == "worker" or not self.spec.ports:
            return None
        http = [port for port in self.spec.ports if port.protocol == "HTTP"]
        return (http or list(self.spec.ports))[0].container_port

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes in force: those given or, for ``http`` without any, path ``/NAME`` on every host."""
        if self.spec.type != "http":
            return ()
        return (Route(path=f"/{self.name}"),) if self.spec.routes is None else self.spec.routes

    @property
    def scaling_mode(self) -> str:
        return self.scaling.mode

    @property
    def rolls_stop_first(self) -> bool:
        """An app that writes to a named volume must not run beside its successor unless it says so."""
        writes = any(volume.name and not volume.read_only for volume in self.spec.volumes)
        return writes and self.spec.strategy.max_surge is None

    @property
    def max_surge(self) -> int | str:
        if self.spec.strategy.max_surge is not None:
            return self.spec.strategy.max_surge
        return 0 if self.rolls_stop_first else 1

    @property
    def max_unavailable(self) -> int | str:
        if self.spec.strategy.max_unavailable is not None:
            return self.spec.strategy.max_unavailable
        return 1 if self.max_surge in (0, "0%") else 0

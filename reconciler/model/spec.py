"""The app spec, version v1: what people write, as typed and frozen values.

The one definition behind the loader, the JSON Schema that editors use and the reference in ``docs/``. It decides what
is valid within one document; what needs several documents (names, routes, dependencies) is the source room's to check.
Rules that look at two fields stand at the later of the two and look back, so that one mistake never hides another.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from reconciler.model.spec_container import (
    DEFAULT_CPU,
    DEFAULT_MEMORY,
    ContainerPort,
    File,
    Logging,
    PlainVariable,
    Resources,
    SdkVariable,
    SecretVariable,
    Variable,
    Volume,
)
from reconciler.model.spec_edge import EdgeOptions, HealthCheck, HttpHeader, RateLimit, Route, Tls
from reconciler.model.spec_policy import Canary, CustomMetric, Scaling, ScheduledBounds, Strategy
from reconciler.model.spec_types import (
    AbsolutePath,
    DnsLabel,
    ImageName,
    Part,
    Seconds,
    Text,
    Token,
    cpu_millicores,
    first_repeated,
    memory_bytes,
    wrong,
)

MAX_LABELS = 64
_LABEL_KEY = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,251}[A-Za-z0-9])?$")

AppType = Literal["http", "tcp", "worker"]


class Metadata(Part):
    """Who the app is."""

    name: DnsLabel = Field(description="Names its containers, its upstream and its default route.")
    labels: dict[str, Text] = Field(
        {},
        description="Labels of your own, which containers get when they are created; a changed one recreates none. "
        "`app`, where given, equals the name; `orchestry.*` is reserved.",
        json_schema_extra={"propertyNames": {"pattern": _LABEL_KEY.pattern}, "maxProperties": MAX_LABELS},
    )

    @field_validator("labels")
    @classmethod
    def _labels_agree(cls, labels: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        name = info.data.get("name")
        if name is not None and labels.get("app", name) != name:
            raise wrong(f"the same as metadata.name ({name}), or no such label", at=("app",))
        for key in labels:
            if key.startswith("orchestry."):
                raise wrong("a label outside orchestry.*, which is reserved", found="a reserved label", at=(key,))
            if not _LABEL_KEY.fullmatch(key):
                raise wrong("a label's name of 1 to 253 letters, digits and ._/-", found="another name", at=(key,))
        return labels


class AppSpec(Part):
    """What runs, and how it is reached."""

    type: AppType = Field(
        "http", description="`http`: routed through nginx; `tcp`: reached by name on the network; `worker`: no ports."
    )
    image: ImageName = Field(description="The container image.")
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(
        "IfNotPresent", description="When to pull the image."
    )
    command: tuple[Text, ...] = Field((), description="Replaces the image's entrypoint.")
    args: tuple[Text, ...] = Field((), description="Arguments of the entrypoint.")
    working_dir: AbsolutePath | None = Field(None, description="Where the program starts. Left out: the image's.")
    ports: tuple[ContainerPort, ...] = Field(
        (), description="Ports the program listens on; the first HTTP port is the routed one.", validate_default=True
    )
    resources: Resources | None = Field(None, description="Limits of one replica. Left out: none.")
    environment: tuple[Variable, ...] = Field((), description="Environment variables.")
    volumes: tuple[Volume, ...] = Field((), description="Volumes.")
    files: tuple[File, ...] = Field((), max_length=64, description="Files from beside the spec, of the same commit.")
    termination_grace_period_seconds: Seconds = Field(
        10, description="Time for requests in flight, then from SIGTERM to SIGKILL."
    )
    strategy: Strategy = Field(Strategy(), description="How a changed version replaces the old one.")
    routes: tuple[Route, ...] | None = Field(
        None, description="Where requests come in. Left out: path `/NAME` on any host, passed on unchanged."
    )
    edge: EdgeOptions = Field(EdgeOptions(), description="How the edge treats the app's requests.")
    readiness: HealthCheck | None = Field(
        None, description="A check that takes a replica out of routing without replacing it."
    )
    depends_on: tuple[DnsLabel, ...] = Field((), description="Apps whose readiness the first start waits for.")
    init: bool | None = Field(
        None,
        description="Whether an init process of the Engine's runs as process 1, which ends with the program and takes "
        "care of orphaned processes. Left out: as the Engine does by default.",
    )
    logging: Logging | None = Field(
        None, description="Bounds of the log. Left out: the Engine's own, or else 3 files of 10M."
    )
    restart_token: Token | None = Field(None, description="Anything; a changed value restarts all replicas.")
    suspend: bool = Field(False, description="Leave this app exactly as it is.")

    def read_only_around(self, file: File) -> Volume | None:
        """The read-only volume that a file lies in, so that it can't be placed. Of volumes inside each other the
        innermost counts."""
        path = PurePosixPath(file.mount_path)
        around = (volume for volume in self.volumes if path.is_relative_to(volume.mount_path))
        innermost = max(around, key=lambda volume: len(volume.mount_path), default=None)
        return innermost if innermost and innermost.read_only else None

    @field_validator("ports")
    @classmethod
    def _ports_fit_the_type(cls, ports: tuple[ContainerPort, ...], info: ValidationInfo) -> tuple[ContainerPort, ...]:
        kind = info.data.get("type")
        if kind == "worker" and ports:
            raise wrong("no ports for type: worker, or type: http or tcp")
        if kind == "tcp" and not ports:
            raise wrong("at least one port for type: tcp, or type: worker")
        if kind == "http" and not any(port.protocol == "HTTP" for port in ports):
            found = "no port with protocol: HTTP" if ports else ""
            raise wrong("a port with protocol: HTTP for type: http, or type: tcp or worker", found=found)
        for values in ([p.container_port for p in ports], [p.name for p in ports if p.name]):
            if repeated := first_repeated(values):
                raise wrong("each port and each name once", found=f"{repeated} twice")
        return ports

    @field_validator("environment")
    @classmethod
    def _variables_can_be_told(cls, variables: tuple[Variable, ...], info: ValidationInfo) -> tuple[Variable, ...]:
        if name := first_repeated([variable.name for variable in variables]):
            raise wrong("each variable once", found=f"{name} twice")
        for index, variable in enumerate(variables):
            if info.data.get("type") == "worker" and getattr(variable, "key", "") == "instance.port":
                raise wrong("another key: a worker has no port", found="instance.port", at=(index, "key"))
        return variables

    @field_validator("files")
    @classmethod
    def _mounted_once(cls, files: tuple[File, ...], info: ValidationInfo) -> tuple[File, ...]:
        mounts = [volume.mount_path for volume in info.data.get("volumes", ())] + [file.mount_path for file in files]
        if path := first_repeated(mounts):
            raise wrong("each mountPath once among volumes and files", found=f"{path} twice")
        return files

    @field_validator("volumes")
    @classmethod
    def _volumes_mounted_once(cls, volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
        if path := first_repeated([volume.mount_path for volume in volumes]):
            raise wrong("each mountPath once", found=f"{path} twice")
        return volumes

    @field_validator("strategy")
    @classmethod
    def _canary_has_traffic(cls, strategy: Strategy, info: ValidationInfo) -> Strategy:
        if strategy.canary is not None and info.data.get("type") in ("tcp", "worker"):
            raise wrong("no canary, which needs the traffic of type: http", at=("canary",))
        return strategy

    @field_validator("routes", "edge")
    @classmethod
    def _http_only(cls, value: object, info: ValidationInfo) -> object:
        kind = info.data.get("type", "http")
        if value is not None and kind != "http":
            raise wrong(f"no {info.field_name}, which are for type: http", found=f"{info.field_name} of type: {kind}")
        return value

    @field_validator("readiness")
    @classmethod
    def _readiness_can_be_asked(cls, check: HealthCheck | None, info: ValidationInfo) -> HealthCheck | None:
        if check is not None and "type" in info.data and "ports" in info.data:
            _require_port(check, main_port(info.data["type"], info.data["ports"]))
        return check

    @field_validator("depends_on")
    @classmethod
    def _named_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if name := first_repeated(list(names)):
            raise wrong("each app once", found=f"{name} twice")
        return names


class App(Part):
    """One application: one YAML document of kind `App`."""

    api_version: Literal["v1"] = Field(description="The version of this format.")
    kind: Literal["App"] = Field(description="What the document describes.")
    metadata: Metadata = Field(description="Who the app is.")
    spec: AppSpec = Field(description="What runs, and how it is reached.")
    scaling: Scaling = Field(Scaling(), description="How many replicas. May also stand under `spec`.")
    health_check: HealthCheck | None = Field(
        None,
        description="How a replica is asked whether it is well. May also stand under `spec`. "
        "Left out: whether its port accepts connections.",
    )

    @field_validator("health_check")
    @classmethod
    def _health_can_be_asked(cls, check: HealthCheck | None, info: ValidationInfo) -> HealthCheck | None:
        if check is not None and "spec" in info.data:
            _require_port(check, main_port(info.data["spec"].type, info.data["spec"].ports))
        return check

    @property
    def name(self) -> str:
        return self.metadata.name

    # Those below are asked for every replica on every tick, and follow from what can't change.
    @cached_property
    def main_port(self) -> int | None:
        """The port that is routed (the first HTTP one) or, for ``tcp``, the first; None for a worker."""
        port = main_port(self.spec.type, self.spec.ports)
        return None if port is None else port.container_port

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """The routes in force: those given or, for ``http`` without any, path ``/NAME`` on every host."""
        if self.spec.type != "http":
            return ()
        return (Route(path=f"/{self.name}"),) if self.spec.routes is None else self.spec.routes

    @cached_property
    def written(self) -> tuple[Volume, ...]:
        """The volumes that it writes to."""
        return tuple(volume for volume in self.spec.volumes if not volume.read_only)

    @property
    def rolls_stop_first(self) -> bool:
        """Whether an old replica stops before a new one starts: an app that writes to a volume must not run beside its
        successor unless it says so."""
        return bool(self.written) and self.spec.strategy.max_surge is None

    @property
    def max_surge(self) -> int | str:
        if self.spec.strategy.max_surge is not None:
            return self.spec.strategy.max_surge
        return 0 if self.rolls_stop_first else 1

    @property
    def max_unavailable(self) -> int | str:
        if self.spec.strategy.max_unavailable is not None:
            return self.spec.strategy.max_unavailable
        return 1 if self.max_surge in (0, "0%", "00%") else 0


def main_port(kind: AppType, ports: tuple[ContainerPort, ...]) -> ContainerPort | None:
    """The first HTTP port or, without one, the first; None for a worker."""
    if kind == "worker" or not ports:
        return None
    return next((port for port in ports if port.protocol == "HTTP"), ports[0])


def _require_port(check: HealthCheck, port: ContainerPort | None) -> None:
    if check.port is not None:
        return
    if port is None:
        raise wrong("a port to ask: a worker has none of its own", found="no port", at=("port",))
    if check.protocol == "HTTP" and port.protocol == "TCP":
        raise wrong(
            f"protocol: TCP, or the port that speaks HTTP (port {port.container_port} is declared TCP)",
            found="protocol: HTTP without a port",
        )


__all__ = [
    "DEFAULT_CPU",
    "DEFAULT_MEMORY",
    "MAX_LABELS",
    "App",
    "AppSpec",
    "AppType",
    "Canary",
    "ContainerPort",
    "CustomMetric",
    "EdgeOptions",
    "File",
    "HealthCheck",
    "HttpHeader",
    "Logging",
    "Metadata",
    "Part",
    "PlainVariable",
    "RateLimit",
    "Resources",
    "Route",
    "Scaling",
    "ScheduledBounds",
    "SdkVariable",
    "SecretVariable",
    "Strategy",
    "Tls",
    "Variable",
    "Volume",
    "cpu_millicores",
    "memory_bytes",
]

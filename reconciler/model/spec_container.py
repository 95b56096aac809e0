"""What runs: ports, limits, log, environment, volumes and files of one replica."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from reconciler.model.spec_types import (
    AbsolutePath,
    CpuQuantity,
    DnsLabel,
    EnvName,
    LogSize,
    MemoryQuantity,
    MountPath,
    Part,
    Port,
    RelativePath,
    SecretName,
    Text,
    cpu_millicores,
    memory_bytes,
    wrong,
)

DEFAULT_MEMORY = "512Mi"
DEFAULT_CPU = "500m"


class ContainerPort(Part):
    """A port the program listens on. The first HTTP port is the routed one."""

    name: DnsLabel | None = Field(None, description="What the port is called, for whoever reads the spec.")
    container_port: Port = Field(description="The port inside the container.")
    protocol: Literal["HTTP", "TCP"] = Field("TCP", description="What is spoken on it.")


class Resources(Part):
    """Limits of one replica; 500m and 512Mi where a `resources` block leaves one out, none without the block."""

    cpu: CpuQuantity | None = Field(None, description="Share of the host's cores. Left out: 500m.")
    memory: MemoryQuantity | None = Field(None, description="Memory, without swap. Left out: 512Mi.")
    pids: Annotated[int, Field(ge=1, le=4_194_304)] | None = Field(None, description="Processes and threads.")

    @property
    def cpu_millicores(self) -> int:
        return cpu_millicores(DEFAULT_CPU if self.cpu is None else str(self.cpu))

    @property
    def memory_bytes(self) -> int:
        return memory_bytes(DEFAULT_MEMORY if self.memory is None else str(self.memory))


class Logging(Part):
    """Bounds of a replica's log, for log drivers of the Engine that keep files: `json-file` and `local`. Others refuse
    them."""

    max_size: LogSize | None = Field(
        None, description="The size at which a file is followed by the next. Left out: the Engine's own, or else 10M."
    )
    max_files: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="How many files are kept. Left out: the Engine's own, or else 3."
    )

    @property
    def max_bytes(self) -> int | None:
        return None if self.max_size is None else memory_bytes(str(self.max_size))


class PlainVariable(Part):
    """An environment variable with its value in git."""

    name: EnvName = Field(description="The variable's name.")
    value: Text = Field(description="Its value, always text: write numbers and true/false in quotes.")


class SdkVariable(Part):
    """An environment variable the controller knows the value of when it creates the replica."""

    name: EnvName = Field(description="The variable's name.")
    source: Literal["sdk"] = Field(description="The controller.")
    key: Literal["instance.ip", "instance.port", "app.name", "app.replicas"] = Field(
        description="Which of the things it knows: the replica's address or port, the app's name or replica count."
    )


class SecretVariable(Part):
    """An environment variable read from the controller's secrets directory: file `key`, or its `field`. A changed one
    replaces the replicas, one app after the other."""

    name: EnvName = Field(description="The variable's name.")
    source: Literal["secret"] = Field(description="The secrets directory.")
    key: SecretName = Field(description="The secret's name.")
    field: SecretName | None = Field(None, description="One field of the secret. Left out: the whole.")


def _kind_of_variable(value: object) -> str | None:
    if not isinstance(value, dict):
        known = isinstance(value, PlainVariable | SdkVariable | SecretVariable)
        return type(value).__name__ if known else None
    if "source" not in value:
        return "PlainVariable"
    kinds = {"sdk": "SdkVariable", "secret": "SecretVariable"}
    return kinds.get(value["source"]) if isinstance(value["source"], str) else None


Variable = Annotated[
    Annotated[PlainVariable, Tag("PlainVariable")]
    | Annotated[SdkVariable, Tag("SdkVariable")]
    | Annotated[SecretVariable, Tag("SecretVariable")],
    Discriminator(
        _kind_of_variable,
        custom_error_type="rule",
        custom_error_message="{expected}",
        custom_error_context={
            "expected": "a name with a value, or with source: sdk or source: secret",
            "found": "",
            "at": "source",
        },
    ),
]


class Volume(Part):
    """A named volume, or a host path where the controller's policy allows it."""

    name: SecretName | None = Field(
        None,
        description="The named volume; it outlives replicas and the app. One that somebody else made is mounted only "
        "where the controller's `allow_volumes` lends it.",
    )
    host_path: MountPath | None = Field(None, description="A path of the host, instead of `name`.")
    mount_path: MountPath = Field(description="Where it appears in the container.")
    read_only: bool = Field(False, description="Whether the container can only read it.")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.name is None and self.host_path is None:
            raise wrong("a name (a named volume) or a hostPath", found="neither name nor hostPath")
        if self.name is not None and self.host_path is not None:
            raise wrong("one of name and hostPath", found="both name and hostPath")
        return self

    def overlaps(self, other: Volume) -> bool:
        """Whether both are one: by name or, of paths on the host, where one is the other or lies in it."""
        if self.host_path is None or other.host_path is None:
            return self.name is not None and self.name == other.name
        here, there = PurePosixPath(self.host_path), PurePosixPath(other.host_path)
        return here.is_relative_to(there) or there.is_relative_to(here)


class File(Part):
    """A file of the same commit, placed into each replica; a changed content is a changed spec."""

    path: RelativePath = Field(description="The file, relative to the spec's own directory; at most 1 MiB.")
    mount_path: MountPath = Field(description="Where it appears in the container.")
    mode: Annotated[
        str,
        Field(pattern=r"^0[0-7]{3}$", json_schema_extra={"patternErrorMessage": 'file mode bits such as "0444"'}),
    ] = Field("0444", description="Its mode bits, octal, in quotes.")


__all__ = [
    "AbsolutePath",
    "ContainerPort",
    "File",
    "Logging",
    "PlainVariable",
    "Resources",
    "SdkVariable",
    "SecretVariable",
    "Variable",
    "Volume",
]

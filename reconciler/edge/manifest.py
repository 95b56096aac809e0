"""The manifest of a generation: what it serves, in a file that tells it to a controller that was restarted."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from reconciler.edge.virtual_servers import Certificate
from reconciler.model.routes import RouteTable


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a generation serves.

    ``digest`` names the configuration without its replicas where those are pushed, ``servers_digest`` the replicas.
    ``control_socket`` is where it is served: that of the generation nginx was last loaded with. ``certificates`` are
    those in use, by secret name, and ``assets`` the files it refers to. ``edition`` tells what earlier versions did
    otherwise, of which people are told as it changes.
    """

    # The files of earlier versions call the control socket ``door``.
    __pydantic_config__ = ConfigDict(serialize_by_alias=True)

    digest: str
    control_socket: Annotated[str, Field(alias="door")]
    table: RouteTable
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    servers_digest: str = ""
    assets: tuple[str, ...] = ()
    edition: Annotated[int, Field(exclude_if=operator.not_)] = 0

    @property
    def state(self) -> str:
        """What its control socket answers when it is being served."""
        return f"{self.control_socket} {self.servers_digest}".rstrip()


# 1: apps get no Forwarded and X-Forwarded headers of clients' own, and nginx listens on IPv6 as well.
EDITION = 1
MANIFEST_JSON = TypeAdapter(Manifest)
NOTHING = Manifest(digest="", control_socket="", table=RouteTable())

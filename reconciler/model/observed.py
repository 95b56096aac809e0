"""What the world reported: one moment, seen once and completely, before anything is decided.

Absence counts only where the observation was complete; an adapter that could not see raises instead of
returning less.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from reconciler.model.actions import Action, Outcome
from reconciler.model.defaults import FIRST_EDITION
from reconciler.model.desired import Desired
from reconciler.model.health import CheckKind, EngineHealth
from reconciler.model.image import Image
from reconciler.model.load import Loads
from reconciler.model.scaling import Bounds


class ContainerState(StrEnum):
    """The Engine's own words for what a container is doing."""

    CREATED = "created"
    RUNNING = "running"
    RESTARTING = "restarting"
    PAUSED = "paused"
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Container:
    """A container that carries our labels, as the Engine lists it.

    ``slot`` is the replica's number, from 1; ``address`` its IPv4 address on our network, None while it has none.
    ``defaults`` is the edition of container defaults it was made with, ``image_id`` the id of the image, ``secrets``
    the combined digest of the secrets it was made with: "" without any, or where nobody has noted it.
    ``exit_code`` is known once it has exited. ``restart_count`` and ``started_at`` (epoch seconds) are known only
    for containers the adapter had reason to look at closely; ``last_log`` holds the last lines of one that died, or
    that keeps a rollout from going on, and ``out_of_memory`` says that the kernel ended it, the last time, for want of
    memory. ``engine_health`` is what the Engine's own check of it (HEALTHCHECK) says, "" where it has none.
    ``created_at`` is when it was made, by the Engine's clock. ``ended`` of one that is being removed: a closer look has
    shown that its program doesn't run any more.
    """

    id: str
    name: str
    app_name: str
    slot: int
    spec_hash: str
    revision: str
    state: ContainerState
    address: str | None = None
    defaults: int = FIRST_EDITION
    image_id: str = ""
    secrets: str = ""
    exit_code: int | None = None
    restart_count: int | None = None
    started_at: float | None = None
    last_log: str = ""
    out_of_memory: bool = False
    engine_health: EngineHealth = ""
    created_at: float | None = None
    ended: bool = False

    @property
    def may_run(self) -> bool:
        """Whether its program runs, or the Engine might start it."""
        return self.state in (ContainerState.RUNNING, ContainerState.RESTARTING, ContainerState.PAUSED)


@dataclass(frozen=True, slots=True)
class Network:
    """The network replicas join, and the addresses on it that are ours to give (first and last, inclusive)."""

    name: str
    first_address: str
    last_address: str

    @property
    def bounds(self) -> tuple[int, int]:
        return int(ipaddress.IPv4Address(self.first_address)), int(ipaddress.IPv4Address(self.last_address))


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the machine has in all: thousandths of a core, and bytes of memory."""

    cpu_millicores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """All containers at one moment, and what bounds them.

    ``foreign_names`` and ``foreign_addresses`` belong to containers that are not ours: to be avoided, never touched.
    ``capacity`` is None where it isn't known. ``images`` are those on the host, by each of their familiar names and by
    their ids.
    """

    containers: tuple[Container, ...]
    network: Network
    foreign_names: frozenset[str] = frozenset()
    foreign_addresses: frozenset[str] = frozenset()
    capacity: Capacity | None = None
    images: Mapping[str, Image] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listener:
    """A replica whose connections are asked for: its container, and the address and ports that others reach it at."""

    container_id: str
    address: str
    ports: frozenset[int]


@dataclass(frozen=True, slots=True)
class ProbeSample:
    """One answer, or failure to answer, of one container to one check. ``at``: epoch seconds. ``unreached``: it is the
    network that failed, and the program was not asked."""

    container_id: str
    check: CheckKind
    at: float
    ok: bool
    detail: str
    unreached: bool = False


@dataclass(frozen=True, slots=True)
class SecretsSeen:
    """The digests of an app's secrets, by reference. ``agreed``: an earlier look said the same, so that nobody is in
    the midst of writing them."""

    digests: Mapping[str, str]
    agreed: bool


Side = Literal["source", "engine", "edge", "store", "disk"]
# Of each side: what it is, and what is so of it while it is out of reach, and again afterwards.
SIDES: dict[Side, tuple[str, str, str]] = {
    "source": ("the source", "can't be read", "can be read"),
    "engine": ("the Docker Engine", "can't be seen", "can be seen"),
    "edge": ("the route table", "can't be published", "can be published"),
    "store": ("the database", "can't be written", "can be written"),
    "disk": ("the disk of the state directory", "is full", "has room"),
}


@dataclass(frozen=True, slots=True)
class Outage:
    """A side that could not be reached: ``error`` is what it said, ``meanwhile`` what holds until it can be again."""

    side: Side
    error: str
    meanwhile: str = ""

    @property
    def sentence(self) -> str:
        what, away, _ = SIDES[self.side]
        return f"{what} {away}: {self.error}"

    def __str__(self) -> str:
        return f"{self.side}: {self.error}" + (f"; {self.meanwhile}" if self.meanwhile else "")


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything seen since the last tick, as of ``at`` (epoch seconds); no moment in it is later.

    ``desired`` is what the source asks for by its last reading. ``in_flight`` are actions submitted earlier that have
    not finished; ``outcomes`` those that have.
    ``queued`` are those of the actions in flight that have not begun, by key: how many others come first.
    ``open_requests`` counts requests in flight by replica address, where the edge can tell; ``callers`` are the
    addresses of those who have a connection open to a container's ports, once for each, where that can be seen: by
    container id. ``bounds`` are those that
    an app's schedule puts in force now. ``secrets`` are those of apps by name, where all of an app's can be read.
    """

    at: float
    desired: Desired
    inventory: Inventory
    samples: tuple[ProbeSample, ...] = ()
    in_flight: tuple[Action, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    queued: Mapping[str, int] = field(default_factory=dict)
    loads: Loads = Loads()
    open_requests: Mapping[str, int] = field(default_factory=dict)
    callers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    secrets: Mapping[str, SecretsSeen] = field(default_factory=dict)
    outages: tuple[Outage, ...] = ()

    @property
    def containers(self) -> tuple[Container, ...]:
        return self.inventory.containers


@dataclass(frozen=True, slots=True)
class Blind:
    """A moment at which the Engine could not be seen, so that there is nothing to decide about but who gets requests,
    by ``samples``: why is in ``outages``, last."""

    at: float
    desired: Desired
    outages: tuple[Outage, ...]
    samples: tuple[ProbeSample, ...] = ()

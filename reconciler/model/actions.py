"""The few things the controller may do to a container runtime, and what came of them.

An action is complete: name, slot, address and image are fixed, so that whoever performs it has no choice left and a
retry is the same call. Every action carries its cause, one sentence for logs, events, `plan` and tests alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from reconciler.model.reasons import Reason
from reconciler.model.version import Version


@dataclass(frozen=True, slots=True)
class EnsureImage:
    """Make the version's image present on the host, by its pull policy."""

    verb: ClassVar[str] = "pull"
    app_name: str
    version: Version
    cause: str

    @property
    def key(self) -> str:
        return f"image {self.version.app.spec.image} of {self.app_name}"

    @property
    def summary(self) -> str:
        """The action in a few words."""
        return f"pull {self.version.app.spec.image}"


@dataclass(frozen=True, slots=True)
class CreateReplica:
    """Create a container from the version, place its files, and start it.

    ``replicas`` is the app's desired count, for the ``app.replicas`` variable; it is no part of the spec hash.
    """

    verb: ClassVar[str] = "create"
    app_name: str
    version: Version
    slot: int
    name: str
    address: str
    replicas: int
    cause: str

    @property
    def key(self) -> str:
        return self.name

    @property
    def summary(self) -> str:
        """The action in a few words."""
        return f"create {self.name} at {self.address} from {self.version.app.spec.image}"


@dataclass(frozen=True, slots=True)
class CheckCreation:
    """Find out whether the Engine would create this replica, by a container that is removed again and never started.

    It is for replicas that can be created only once another has ended: then it is too late to find out.
    """

    verb: ClassVar[str] = "check"
    app_name: str
    replica: CreateReplica
    cause: str

    @property
    def key(self) -> str:
        return f"check of {self.app_name}"

    @property
    def summary(self) -> str:
        """The action in a few words."""
        return f"check that {self.app_name} can be created from {self.replica.version.app.spec.image}"


@dataclass(frozen=True, slots=True)
class _OnContainer:
    """What actions on the container of a replica have in common."""

    verb: ClassVar[str]
    app_name: str
    name: str
    container_id: str
    cause: str

    @property
    def key(self) -> str:
        return self.name

    @property
    def summary(self) -> str:
        """The action in a few words."""
        return f"{self.verb} {self.name}"


@dataclass(frozen=True, slots=True)
class StartReplica(_OnContainer):
    """Start a container that exists and does not run."""

    verb: ClassVar[str] = "start"


@dataclass(frozen=True, slots=True)
class StopReplica(_OnContainer):
    """Ask a container's program to end: send its stop signal, unless it was sent one since it was started.

    It is waited for elsewhere, ``grace_seconds`` at most. ``keeps_log``: it was unwell, and what it said before it was
    asked goes on record.
    """

    verb: ClassVar[str] = "stop"
    grace_seconds: float
    keeps_log: bool = False


@dataclass(frozen=True, slots=True)
class RemoveReplica(_OnContainer):
    """Remove a container at once: SIGKILL where its program still runs, then removal (never of named volumes).

    ``keeps_log``: it was unwell, and its last lines go on record, since nobody can read them afterwards.
    """

    verb: ClassVar[str] = "remove"
    keeps_log: bool = False


@dataclass(frozen=True, slots=True)
class TakeOverRestarts(_OnContainer):
    """Switch the Engine's restart policy off, because the controller's back-off governs from here."""

    verb: ClassVar[str] = "take over"

    @property
    def summary(self) -> str:
        """The action in a few words."""
        return f"take over restarts of {self.name}"


@dataclass(frozen=True, slots=True)
class GiveBackRestarts(_OnContainer):
    """Switch the Engine's restart policy on again, because the crash loop is long over."""

    verb: ClassVar[str] = "give back"

    @property
    def summary(self) -> str:
        """The action in a few words."""
        return f"give restarts of {self.name} back to the Engine"


# Before a replica is there, and on one that is.
Preparation = EnsureImage | CheckCreation | CreateReplica
Change = StartReplica | StopReplica | RemoveReplica | TakeOverRestarts | GiveBackRestarts
Action = Preparation | Change


class FailureKind(StrEnum):
    """What a failed action means for the next one."""

    TRY_LATER = "try later"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class ActionFailure:
    """Why an action failed: ``reason`` in one CamelCase word for machines, ``message`` for people."""

    kind: FailureKind
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one action ended; ``failure`` is None when what it asked for is so. Times in epoch seconds. ``log`` are the
    last lines of a container that was stopped or removed, where the action asked for them."""

    action: Action
    started_at: float
    finished_at: float
    failure: ActionFailure | None = None
    log: str = ""

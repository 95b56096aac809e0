"""What the loop needs of the world, and the errors adapters translate theirs into.

Each Protocol has one real adapter at least, and one contract suite in ``tests/contract`` that every implementation,
fakes included, has to pass. Adapters catch their library's errors and raise these; nobody else catches broadly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from reconciler.model.actions import Action, Outcome
from reconciler.model.desired import Desired
from reconciler.model.events import Event, EventType
from reconciler.model.load import Loads, LoadSample
from reconciler.model.observed import Container, Inventory, Listener, ProbeSample, SecretsSeen
from reconciler.model.plan import ProbeTarget
from reconciler.model.reasons import Reason
from reconciler.model.recorded import ActionRecord, Recorded, RevisionRecord, SignOfLife
from reconciler.model.routes import Publication, RouteTable
from reconciler.model.scaling import ScalingDecision
from reconciler.model.spec import App
from reconciler.model.state import State
from reconciler.model.status import AppStatus


class Unavailable(Exception):
    """The other side can't be reached just now: nothing is known, nothing changes. The message names the remedy."""


class Unfit(Unavailable):
    """The other side can be reached and can't be used as it is: to wait for it doesn't help."""


class LeadershipUnknown(Unavailable):
    """It can't be told just now whether this controller still holds its instance. What changes anything waits."""


class NothingRecorded(Unavailable):
    """There is no database yet, or nothing of this instance in it."""


class AlreadyRunning(Exception):
    """Another controller holds this instance: this one has to stop. The message says who, where and since when."""


class ActionError(Exception):
    """An action failed. ``reason`` is one CamelCase word for machines; the message is for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TryLater(ActionError):
    """An action failed, and the same may succeed later."""


class Rejected(ActionError):
    """An action failed, and the same will fail again until the spec changes."""


# How often, at the least, the loop makes a checkpoint. A lease on the instance outlives three of them, and is renewed
# at the same pace.
CHECKPOINT_SECONDS = 10.0


# Asked right before anything outside is changed: raises AlreadyRunning where another controller has taken this instance
# over, LeadershipUnknown where that can't be told. Any thread may call it.
Fence = Callable[[], None]


def no_fence() -> None:
    """The `Fence` of whoever needs none: nobody else may hold what it changes."""


class Clock(Protocol):
    """Time as a value. Only the loop reads it, once per tick."""

    def now(self) -> float:
        """The time, in seconds since the epoch."""


class Source(Protocol):
    """The desired state: a directory, a git work tree, a git URL."""

    def read(self) -> Desired:
        """The last finished reading: one consistent snapshot, parsed. A later one may take longer than a tick: it is
        not waited for, and wakes the loop. Raises Unavailable when there is none to be had."""

    def refresh(self) -> None:
        """Look anew now, in the background, and wake the loop if there is news. Never waits."""

    def close(self) -> None: ...


class Runtime(Protocol):
    """The container runtime: containers, seen and changed. It sees everything on the host, changes only what carries
    our labels."""

    def prepare(self) -> None:
        """Make sure our network exists. Raises Unavailable, or Rejected where a foreign network has its name."""

    def looking(self) -> AbstractContextManager[None]:
        """The look of a tick: within it all that is asked takes a few seconds together, however the other side hangs.
        What comes later raises Unavailable."""

    def inventory(self) -> Inventory:
        """All containers in one list call, and the images there are. Raises Unavailable rather than report less than
        there is."""

    def log_of(self, container_id: str) -> str:
        """The last lines that one of our containers has written, without secrets; "" where there are none to be had.
        Raises Unavailable."""

    def callers_of(self, called: Sequence[Listener]) -> Mapping[str, tuple[str, ...]]:
        """The address of whoever has a connection open to one of these, once for each connection, by container id; of
        none where it can't be seen. Raises Unavailable."""

    def secrets_of(self, apps: Sequence[App], now: float) -> Mapping[str, SecretsSeen]:
        """What is known of the secrets of these apps at this moment, by app; of none of which one can't be read."""

    def perform(self, action: Action) -> None:
        """Perform the action; return quietly when it is already so. Raises TryLater or Rejected. Safe to call
        concurrently."""

    def give_up_pulls(self) -> None:
        """Let images that are being pulled go at their next sign of progress, since the end is near. No more are
        pulled."""

    def close(self) -> None: ...


class Prober(Protocol):
    """Asks containers how they are, in the background."""

    def watch(self, targets: Sequence[ProbeTarget]) -> None:
        """Watch these targets and no others. A target that was already watched keeps its rhythm; where it is asked
        otherwise from now on, its samples so far are forgotten, since they answer another question."""

    def collect(self) -> tuple[ProbeSample, ...]:
        """The samples since the last call, oldest first."""

    def close(self) -> None: ...


class LoadMeter(Protocol):
    """Measures what apps and replicas use and serve. Never blocks a tick."""

    def read(self, apps: Sequence[App], containers: Sequence[Container], healthy: Collection[str], now: float) -> Loads:
        """The measurements as they are known now; what is not known is None. ``healthy`` names the replicas that an app
        is the mean of."""

    def recorded(self, samples: Sequence[LoadSample]) -> None:
        """Take note that these samples are on record for good: they need not be handed out again, nor measured again
        after a restart."""

    def close(self) -> None: ...


class Edge(Protocol):
    """The reverse proxy in front of the replicas."""

    def publish(self, table: RouteTable) -> Publication:
        """Make the table live, prove that it is, and return what is served. Raises Unavailable with the previous
        configuration still in place."""

    def open_requests(self) -> Mapping[str, int]:
        """Requests in flight by the address of each replica served: 0 where there are none, no entry where it can't be
        told."""

    def requests_left(self, addresses: Collection[str]) -> Mapping[str, int]:
        """The requests that may still reach these addresses, which the table published last doesn't route to: never too
        few, 0 only where there are none, no entry where it can't be told."""

    def describe(self) -> str:
        """Which way is in use, for `status`: for instance ``nginx 1.22.1 (process), changes by reload``."""

    def close(self) -> None:
        """Release resources. The proxy goes on serving."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that a tick wants kept, in one transaction. ``notices``, ``edge`` and ``source``, with its ``branch`` and
    ``path``, stay as they were saved last where they are None."""

    at: float
    state: State
    statuses: Mapping[str, AppStatus]
    events: tuple[Event, ...] = ()
    intents: tuple[Action, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    notices: tuple[str, ...] | None = None
    edge: str | None = None
    samples: tuple[LoadSample, ...] = ()
    source: str | None = None
    branch: str | None = None
    path: str | None = None


class Store(Protocol):
    """State across restarts, and the record that `status`, `events` and `explain` read.

    Whoever has loaded from a store, and not closed it, is the instance's only controller.
    """

    def load(self) -> State:
        """The state saved last; an empty one where there is none. Who has loaded it is the instance's controller.
        Raises Unavailable, and AlreadyRunning where another is."""

    def save(self, record: Record, *, checkpoint: bool = False) -> None:
        """Write what differs from what was saved last, in one transaction; nothing at all where nothing does.

        Tallies and vitals alone are written only at a checkpoint, together with when that was.
        Raises Unavailable, with nothing written, when the database can't be; AlreadyRunning when another controller
        has taken this instance over.
        """

    def fence(self) -> None:
        """See `Fence`."""

    def renew(self) -> None:
        """Hold the instance for longer, where it is held for a time. Any thread may call it. Raises as `save` does."""

    def announce(self, sign: SignOfLife) -> None:
        """Let readers on other hosts know, where the database is shared with any. Any thread may call it. Raises
        Unavailable."""

    def close(self) -> None: ...


class StatusReader(Protocol):
    """What the store has on record, for reports. Never writes, needs no controller; each call sees one moment.

    Every method raises Unavailable where the database can't be read, NothingRecorded where there is none.
    Lists come newest first; ``since`` is in epoch seconds and inclusive.
    """

    def recorded(self) -> Recorded:
        """All that is on record of how things stand."""

    def state(self) -> State:
        """What `load` of the store would return."""

    def events(
        self,
        *,
        app_name: str | None = None,
        type: EventType | None = None,
        since: float | None = None,
        limit: int = 100,
    ) -> tuple[Event, ...]: ...

    def events_after(
        self,
        mark: int,
        *,
        app_name: str | None = None,
        type: EventType | None = None,
        since: float | None = None,
        limit: int | None = None,
    ) -> tuple[int, tuple[Event, ...]]:
        """The mark of the newest event on record, and what was recorded after ``mark``; after 0 all of it."""

    def actions(
        self, *, app_name: str | None = None, since: float | None = None, limit: int = 100
    ) -> tuple[ActionRecord, ...]: ...

    def revisions(self, *, since: float | None = None, limit: int = 100) -> tuple[RevisionRecord, ...]: ...

    def decisions(
        self, app_name: str, *, since: float | None = None, limit: int = 100
    ) -> tuple[ScalingDecision, ...]: ...

    def samples(self, app_name: str, *, since: float | None = None) -> tuple[LoadSample, ...]:
        """All samples that the store still keeps."""

    def close(self) -> None: ...

"""What must survive a restart: everything a decision needs that cannot be seen in the world.

State is a value. A tick takes one and makes the next; the store only keeps it. Whatever can be derived from what is
observed does not belong here. All times are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.desired import Version
from reconciler.model.health import Health
from reconciler.model.routes import Refusal, RouteTable
from reconciler.model.scaling import ScalingDecision, ScalingState
from reconciler.model.status import Condition


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures in a row and when to try again. ``reason`` is one CamelCase word, ``message`` for people.

    ``until_changed`` marks a failure that only another spec can mend; ``next_at`` then means nothing.
    """

    attempts: int
    next_at: float
    reason: str
    message: str
    until_changed: bool = False


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One replica, by its name. A new container in the same slot starts anew, but for its back-off.

    ``container_id`` is "" while there is no container. ``unrouted_at`` is when a successfully published table first
    lacked it, None while it is in one or never was; ``ever_routed`` tells those two apart. ``ready_at`` is when it last
    became fit for traffic, None while it is not. ``exited_at`` is when it was last seen to have ended, None while it
    runs; ``disturbed_at`` when it last ended or vanished, None once it is ready again. ``crashes`` are the times of
    recent exits; ``taken_over`` says that the Engine no longer restarts it. ``backoff`` paces its starts, ``removal``
    attempts to remove it.
    """

    name: str
    app_name: str
    slot: int
    container_id: str
    address: str
    spec_hash: str
    created_at: float
    health: Health = Health()
    readiness: Health = Health()
    ready_at: float | None = None
    ever_routed: bool = False
    unrouted_at: float | None = None
    restart_count: int = 0
    crashes: tuple[float, ...] = ()
    exited_at: float | None = None
    disturbed_at: float | None = None
    taken_over: bool = False
    backoff: Backoff | None = None
    removal: Backoff | None = None
    last_log: str = ""
    exit_code: int | None = None

    @property
    def in_service(self) -> bool:
        """Whether it takes its share of the load: fit for traffic, and not taken out of it."""
        return self.ready_at is not None and self.unrouted_at is None


@dataclass(frozen=True, slots=True)
class Rollout:
    """A change of version under way. ``max_available`` is how many new replicas could be relied on at once so far, and
    ``progressed_at`` when there last were more than ever before.

    ``canary_at`` is when the canary began to get its share of the traffic, None before; ``promoted`` says that the
    verdict was good.
    """

    from_hash: str | None
    to_hash: str
    started_at: float
    progressed_at: float
    canary_at: float | None = None
    promoted: bool = False
    max_available: int = 0

    @property
    def analysis_since(self) -> float | None:
        """Since when its canary waits for the verdict; None while there is none to wait for."""
        return None if self.promoted else self.canary_at


@dataclass(frozen=True, slots=True)
class FailedVersion:
    """A version that is not tried again until the spec changes.

    ``replica`` is the one that failed, "" where it wasn't one: with its last failed probe ``answer``, its exit code,
    and the last lines of its ``log``.
    """

    spec_hash: str
    revision: str
    at: float
    reason: str
    message: str
    replica: str = ""
    answer: str = ""
    exit_code: int | None = None
    log: str = ""


@dataclass(frozen=True, slots=True)
class Repetition:
    """How often one action succeeded since its app was last complete, and when it did so last."""

    action: str
    times: int
    at: float


@dataclass(frozen=True, slots=True)
class AppState:
    """One app.

    ``version`` is its last good spec; ``stable`` the last version all of whose replicas were ready, to return to;
    ``former`` are further versions that some replica still runs; ``failed`` says that ``version`` is not tried (again).
    ``scaling`` holds the number of replicas decided last, ``decision`` how it came about; ``image_ready`` is the spec
    hash whose image is known to be on the host; ``backoff`` paces creating replicas, ``replacement`` the replacing of
    unhealthy ones. ``missing_since`` is when the app was first absent from the source.
    """

    name: str
    version: Version
    registered_at: float
    updated_at: float
    scaling: ScalingState
    stable: Version | None = None
    former: tuple[Version, ...] = ()
    rollout: Rollout | None = None
    failed: FailedVersion | None = None
    decision: ScalingDecision | None = None
    image_ready: str | None = None
    backoff: Backoff | None = None
    repetitions: tuple[Repetition, ...] = ()
    replacement: Backoff | None = None
    missing_since: float | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def count(self) -> int:
        """The number of replicas decided last."""
        return self.scaling.count

    @property
    def scaled_at(self) -> float | None:
        """When that number last changed."""
        return self.scaling.scaled_at


@dataclass(frozen=True, slots=True)
class Published:
    """The last route table that was successfully published, since when, and what the edge would not take of it."""

    table: RouteTable = RouteTable()
    generation: str = ""
    at: float = 0.0
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """All of it. ``revision`` is the last one applied; ``last_address`` the last one given to a replica, so that
    addresses are not reused while an old nginx worker may still know them."""

    apps: Mapping[str, AppState] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaState] = field(default_factory=dict)
    published: Published = Published()
    revision: str = ""
    last_address: str = ""

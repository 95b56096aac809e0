"""Where each replica stands: what was seen of it, what is remembered, and one word for both."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.actions import Action, CreateReplica, RemoveReplica
from reconciler.model.health import Health, Verdict
from reconciler.model.observed import Container, ContainerState
from reconciler.model.state import ReplicaState


class Phase(StrEnum):
    """One word for where a replica stands, in the order in which they are tried."""

    LEAVING = "leaving"
    VANISHING = "vanishing"
    CREATING = "creating"
    GONE = "gone"
    DEAD = "dead"
    DISPLACED = "displaced"
    CREATED = "created"
    RESTARTING = "restarting"
    CRASHED = "crashed"
    PAUSED = "paused"
    UNHEALTHY = "unhealthy"
    READY = "ready"
    UNREADY = "unready"
    STARTING = "starting"


# How long a replica that ended, or is being removed by others, keeps its place while it comes back.
IN_PLACE_SECONDS = 10.0

# On their way to becoming ready, with nothing known against them yet.
PENDING = frozenset({Phase.CREATING, Phase.CREATED, Phase.STARTING})
_STOPPED = frozenset({ContainerState.CREATED, ContainerState.EXITED})

# Running, and able to answer requests however badly.
RUNNING = frozenset({Phase.READY, Phase.UNREADY, Phase.UNHEALTHY, Phase.STARTING})

_BY_STATE = {
    ContainerState.REMOVING: Phase.VANISHING,
    ContainerState.DEAD: Phase.DEAD,
    ContainerState.CREATED: Phase.CREATED,
    ContainerState.RESTARTING: Phase.RESTARTING,
    ContainerState.EXITED: Phase.CRASHED,
    ContainerState.PAUSED: Phase.PAUSED,
}


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica of one app, as one tick sees it. ``busy``: an action on it is still in flight."""

    state: ReplicaState
    phase: Phase
    container: Container | None = None
    busy: bool = False

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def slot(self) -> int:
        return self.state.slot

    @property
    def spec_hash(self) -> str:
        return self.state.spec_hash

    @property
    def log(self) -> str:
        """What it said last, as far as anybody asked: before it died, or while it keeps a rollout waiting."""
        return self.container and self.container.last_log or self.state.last_log

    @property
    def exists(self) -> bool:
        """Whether there is, or is just being made, a container."""
        return self.phase is not Phase.GONE

    @property
    def ready(self) -> bool:
        return self.phase is Phase.READY

    @property
    def in_place_until(self) -> float | None:
        """Until when it keeps its place after a disturbance; None where there was none, or it isn't expected back."""
        disturbed_at = self.state.disturbed_at
        return None if disturbed_at is None or self.state.taken_over else disturbed_at + IN_PLACE_SECONDS

    def available(self, min_ready_seconds: float, now: float) -> bool:
        """Ready for long enough, by answers of its own, to be relied on."""
        state = self.state
        if self.phase is not Phase.READY or state.ready_at is None:
            return False
        return now - state.ready_at >= min_ready_seconds and not (on_trust(state.health) or on_trust(state.readiness))


def on_trust(health: Health) -> bool:
    """Whether it is taken for healthy without having answered yet: so it is with an adopted replica."""
    return health.verdict is Verdict.HEALTHY and health.first_healthy_at is None


def classify(
    state: ReplicaState, container: Container | None, in_flight: Action | None, foreign_addresses: frozenset[str]
) -> Replica:
    """The replica with its phase. ``in_flight`` is the action on it that has not ended yet."""
    phase = _phase(state, container, in_flight, foreign_addresses)
    return Replica(state, phase, container, busy=in_flight is not None)


def _phase(
    state: ReplicaState, container: Container | None, in_flight: Action | None, foreign_addresses: frozenset[str]
) -> Phase:
    """The first rule that fits; the order is the meaning."""
    if isinstance(in_flight, RemoveReplica):
        return Phase.LEAVING
    if isinstance(in_flight, CreateReplica):
        return Phase.CREATING
    if container is None:  # Its slot is free only once nothing is in flight in it.
        return Phase.VANISHING if in_flight else Phase.GONE
    if container.state in _STOPPED and state.address in foreign_addresses:
        return Phase.DISPLACED
    if container.state is not ContainerState.RUNNING:
        return _BY_STATE[container.state]
    if state.health.verdict is Verdict.UNHEALTHY:
        return Phase.UNHEALTHY
    if state.ready_at is not None:
        return Phase.READY
    return Phase.UNREADY if state.readiness.verdict is Verdict.UNHEALTHY else Phase.STARTING

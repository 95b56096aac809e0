"""Phases: where each replica stands, one word for what was seen of it and what is remembered.

A phase says what is so. What follows from it, for whom and when, is for `reconcile`, `actions` and `routes` to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.actions import Action, CreateReplica, RemoveReplica
from reconciler.model.health import Verdict
from reconciler.model.observed import Container, ContainerState
from reconciler.model.replica_state import ReplicaState


class Phase(StrEnum):
    """One word for where a replica stands, in the order in which they are tried."""

    REMAINS = "remains"
    LEAVING = "leaving"
    CREATING = "creating"
    GONE = "gone"
    DEAD = "dead"
    VANISHING = "vanishing"
    STOPPING = "stopping"
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
# Running, and able to answer requests however badly.
RUNNING = frozenset({Phase.READY, Phase.UNREADY, Phase.UNHEALTHY, Phase.STARTING})
# On its way out by our doing: nothing brings it back.
ENDING = frozenset({Phase.LEAVING, Phase.STOPPING})
# Of no use to any version: whoever wants its place may have it.
_UNFIT = ENDING | {Phase.REMAINS, Phase.GONE, Phase.DEAD, Phase.DISPLACED, Phase.UNHEALTHY}

_UNWELL = frozenset({Phase.DEAD, Phase.RESTARTING, Phase.CRASHED, Phase.UNHEALTHY, Phase.UNREADY})

_STOPPED = frozenset({ContainerState.CREATED, ContainerState.EXITED})

_BY_STATE = {
    ContainerState.CREATED: Phase.CREATED,
    ContainerState.RESTARTING: Phase.RESTARTING,
    ContainerState.EXITED: Phase.CRASHED,
    ContainerState.PAUSED: Phase.PAUSED,
}


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica of one app, as one tick sees it. ``busy``: an action on it is still in flight, ``queued_behind`` so
    many others if it has not begun."""

    state: ReplicaState
    phase: Phase
    container: Container | None = None
    busy: bool = False
    queued_behind: int | None = None

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
        """The last lines of its log, as far as anybody asked: before it died, or while it keeps a rollout waiting."""
        return self.container and self.container.last_log or self.state.exits.log

    @property
    def exists(self) -> bool:
        """Whether there is, or is just being made, a container that is more than remains."""
        return self.phase not in (Phase.GONE, Phase.REMAINS)

    @property
    def takes_slot(self) -> bool:
        """Whether its slot is taken, be it by remains of a container."""
        return self.phase is not Phase.GONE

    @property
    def ready(self) -> bool:
        return self.phase is Phase.READY

    @property
    def withheld(self) -> bool:
        """Whether it is ready but for what it answered while the Engine couldn't be seen."""
        return self.ready and self.state.withheld

    @property
    def is_going(self) -> bool:
        """Whether there is no way back: its program was asked to end, or its container has only to be removed."""
        return self.phase in ENDING or self.phase is Phase.REMAINS or self.state.ending is not None

    @property
    def unwell(self) -> bool:
        """Whether something is known against it, so that people may ask what it said last."""
        state = self.state
        known = state.restarts.backoff is not None or state.last_failed_answer or state.exits.recent
        return self.phase in _UNWELL or (not self.ready and bool(known))

    @property
    def in_place_until(self) -> float | None:
        """Until when it keeps its place after a disturbance; None where there was none, or it isn't expected back."""
        disturbed_at = self.state.disturbed_at
        paced = self.state.restarts.by_controller
        return None if disturbed_at is None or paced else disturbed_at + IN_PLACE_SECONDS

    def fits(self, spec_hash: str, now: float) -> bool:
        """Whether it may stay where this version is wanted: it is of it, and not unhealthy or lost."""
        if self.phase is Phase.VANISHING and (self.is_going or now >= (self.in_place_until or 0.0)):
            return False
        return self.spec_hash == spec_hash and self.phase not in _UNFIT

    def available(self, min_ready_seconds: float, now: float) -> bool:
        """Whether it was ready for long enough, by answers of its own, to be relied on: it gets requests, or may."""
        state = self.state
        if self.phase is not Phase.READY or state.ready_at is None or state.withheld:
            return False
        return now - state.ready_at >= min_ready_seconds and not (state.health.on_trust or state.readiness.on_trust)


def classify(
    state: ReplicaState,
    container: Container | None,
    in_flight: Action | None,
    foreign_addresses: frozenset[str],
    queued_behind: int | None = None,
) -> Replica:
    """The replica with its phase. ``in_flight`` is the action on it that has not ended yet."""
    phase = _phase(state, container, in_flight, foreign_addresses)
    return Replica(state, phase, container, in_flight is not None, queued_behind)


def _phase(
    state: ReplicaState, container: Container | None, in_flight: Action | None, foreign_addresses: frozenset[str]
) -> Phase:
    """The phase, by the first rule that fits; the order is the meaning."""
    if container is not None and state.removal is not None and _has_ended(container):
        return Phase.REMAINS
    if isinstance(in_flight, RemoveReplica):
        return Phase.LEAVING
    if isinstance(in_flight, CreateReplica):
        return Phase.CREATING
    if container is None:  # Its slot is free only once nothing is in flight in it.
        return Phase.VANISHING if in_flight else Phase.GONE
    if container.state in (ContainerState.DEAD, ContainerState.REMOVING):
        return Phase.DEAD if _has_ended(container) else Phase.VANISHING
    if state.ending is not None:
        return Phase.STOPPING
    if container.state in _STOPPED and state.address in foreign_addresses:
        return Phase.DISPLACED
    if container.state is not ContainerState.RUNNING:
        return _BY_STATE[container.state]
    if state.health.verdict is Verdict.UNHEALTHY:
        return Phase.UNHEALTHY
    if state.ready_at is not None:
        return Phase.READY
    return Phase.UNREADY if state.readiness.verdict is Verdict.UNHEALTHY else Phase.STARTING


def _has_ended(container: Container) -> bool:
    """Whether its program is known to have ended, or never to have begun."""
    return container.ended if container.state is ContainerState.REMOVING else not container.may_run

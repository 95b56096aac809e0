"""How many replicas an app should have now: its situation put before `recommend`, and the answer put into the state.

A count that people set holds at once; what load asks for waits while the app is unsettled, because replicas that are
still starting are neither idle nor missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property, lru_cache

from reconciler.decide.app_view import AppView
from reconciler.decide.phases import PENDING, Replica
from reconciler.decide.scaling.recommend import recommend, remember
from reconciler.decide.scaling.writers import fixed_count
from reconciler.model.app_state import AppState
from reconciler.model.events import Event
from reconciler.model.load import AppLoad
from reconciler.model.observed import Capacity, Observed
from reconciler.model.scaling import Headroom, ScalingDecision, ScalingSituation
from reconciler.model.spec import Resources

# Measurements alone, without another decision, are kept this often; the store writes them at checkpoints only.
REFRESH_SECONDS = 2.0
# The share of the host that scaling leaves to everything else that runs on it.
HOST_RESERVE = 0.1

_UNKNOWN = AppLoad()


class HostHeadroom:
    """What the host can still hold, counted by limits, since a limit is what a replica may use.

    Mutable on purpose: what one app was given in this tick, the next can't have. Summed up only once somebody asks.
    """

    def __init__(self, capacity: Capacity | None, apps: Iterable[AppState]) -> None:
        self._capacity = capacity
        self._apps = apps

    def for_app(self, app: AppState) -> Headroom | None:
        """How many more replicas there is room for; None where the host, or what one of them may use, is unknown."""
        resources = app.version.app.spec.resources
        if self._capacity is None or resources is None:
            return None
        cpu, memory = _limits(resources)
        by_cpu, by_memory = self._free[0] // cpu, self._free[1] // memory
        scarce, holds = ("cpu", by_cpu) if by_cpu < by_memory else ("memory", by_memory)
        more = max(0, int(holds))
        return Headroom(more, f"the host's {scarce} holds {more} more of {cpu}m and {memory / 1024**2:g} MiB")

    def give(self, app: AppState, replicas: int) -> None:
        """So many more replicas of the app were decided on."""
        _take(self._free, app, replicas)

    @cached_property
    def _free(self) -> list[float]:
        if self._capacity is None:
            return [0.0, 0.0]
        free = [self._capacity.cpu_millicores * (1 - HOST_RESERVE), self._capacity.memory_bytes * (1 - HOST_RESERVE)]
        for app in self._apps:
            _take(free, app, app.count)
        return free


def _take(free: list[float], app: AppState, replicas: int) -> None:
    if resources := app.version.app.spec.resources:
        for index, limit in enumerate(_limits(resources)):
            free[index] -= limit * replicas


@lru_cache(maxsize=4096)
def _limits(resources: Resources) -> tuple[int, int]:
    return resources.cpu_millicores, resources.memory_bytes


def decide_count(view: AppView, observed: Observed, host_headroom: HostHeadroom) -> tuple[AppState, tuple[Event, ...]]:
    """The app's state with the count for this tick, and the event that tells of a change."""
    app, scaling = view.app, view.scaling
    if view.suspended:
        return app, ()
    situation = ScalingSituation(
        state=app.scaling,
        healthy=sum(r.ready and r.state.in_service for r in view.existing),
        load=observed.loads.apps.get(app.name, _UNKNOWN),
        unsettled=_unsettled(view),
        bounds=observed.bounds.get(app.name),
        fixed=fixed_count(app),
    )
    decision = recommend(scaling, situation, view.now)
    if decision.target > app.count and scaling.mode == "auto":
        situation = replace(situation, headroom=host_headroom.for_app(app))
        decision = recommend(scaling, situation, view.now)
    kept, latest = remember(scaling, situation, decision), _latest(app.decision, decision)
    if kept.count != app.count:
        host_headroom.give(app, kept.count - app.count)
        details = {"from": str(app.count), "to": str(kept.count), "metric": decision.winner or ""}
        event = Event(view.now, "scaling", decision.reason, app.name, details)
        return app.scaled(kept, latest), (event,)
    if latest is app.decision and kept == app.scaling:
        return app, ()
    return app.scaled(kept, latest), ()


def change_ended(before: AppState, after: AppState, now: float) -> Event | None:
    """The event that tells how long a change of the count took, once every replica of the new count is ready."""
    ready = {condition.type: condition for condition in before.conditions}.get("Ready")
    is_ready = any(condition.type == "Ready" and condition.status for condition in after.conditions)
    scaling = after.scaling
    if ready is None or ready.status or not is_ready or scaling.scaled_from is None or scaling.scaled_at is None:
        return None
    if scaling.scaled_at < ready.since:  # It became unready by something else, after the change had ended.
        return None
    seconds = now - scaling.scaled_at
    message = f"scaled from {scaling.scaled_from} to {scaling.count} in {seconds:.1f} s"
    details = {"from": str(scaling.scaled_from), "to": str(scaling.count), "seconds": f"{seconds:.2f}"}
    return Event(now, "scaling", message, after.name, details)


def _latest(before: ScalingDecision | None, decision: ScalingDecision) -> ScalingDecision:
    """The decision worth keeping: the one before, as long as it says the same or was just made."""
    if before is None or before.gist != decision.gist:
        return decision
    recent = decision.at - before.at < REFRESH_SECONDS
    return before if recent or replace(decision, at=before.at) == before else decision


def _unsettled(view: AppView) -> str:
    """What scaling has to wait for, in words that follow "waiting for"."""
    if view.paused:
        return "a changed spec, since the rollout is paused"
    if view.app.rollout is not None or view.app.stable is None or view.is_change:
        return "the rollout to end"
    if starting := [r.name for r in view.fit if _is_starting(view, r)]:
        return f"{', '.join(starting)} to become ready"
    unreached = [r.name for r in view.fit if r.ready and r.state.in_service and r.name not in view.routed]
    return f"{', '.join(unreached)} to be routed" if unreached and view.target.app.routes else ""


def _is_starting(view: AppView, replica: Replica) -> bool:
    """Whether it may be ready any moment: not one that failed before, or should have been ready long ago."""
    state = replica.state
    since = state.created_at if state.disturbed_at is None else state.disturbed_at
    patience_seconds = view.target.app.spec.strategy.progress_deadline_seconds
    return replica.phase in PENDING and not state.restarts.backoff and view.now - since < patience_seconds

"""What a clock that was set back means: nothing remembered lies in the future.

Without this, a wait would become as long as the clock's step: a drain, a deadline, a back-off of hours. Clamped to
now, each costs its own length once more at the most. A clock set forward needs no rule: it is as if nobody had looked
for a while, which a controller that was down has to cope with as well.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.state.backoff import LONGEST_SECONDS
from reconciler.model.state import AppState, Backoff, ReplicaState, Rollout, State


def without_future(state: State, now: float) -> State:
    """The state with every moment later than ``now`` moved to it; itself where there is none."""
    apps = {name: _app(app, now) for name, app in state.apps.items() if _latest_of_app(app) > now}
    replicas = {name: _replica(replica, now) for name, replica in state.replicas.items() if _latest(replica) > now}
    if not apps and not replicas:
        return state
    return replace(state, apps={**state.apps, **apps}, replicas={**state.replicas, **replicas})


def _latest(replica: ReplicaState) -> float:
    """The latest moment that is remembered of a replica."""
    return max(
        replica.created_at,
        replica.ready_at or 0.0,
        replica.unrouted_at or 0.0,
        replica.exited_at or 0.0,
        replica.disturbed_at or 0.0,
        _start_of(replica.backoff),
        _start_of(replica.removal),
        *replica.crashes,
    )


def _latest_of_app(app: AppState) -> float:
    """The latest moment that is remembered of an app and of its rollout. Scaling looks after its own."""
    rollout = app.rollout
    return max(
        _start_of(app.backoff),
        _start_of(app.replacement),
        max(rollout.started_at, rollout.progressed_at, rollout.canary_at or 0.0) if rollout else 0.0,
        *(repetition.at for repetition in app.repetitions),
    )


def _start_of(backoff: Backoff | None) -> float:
    """The latest moment a back-off can have begun at, if it is to make sense."""
    return backoff.next_at - LONGEST_SECONDS if backoff else 0.0


def _replica(replica: ReplicaState, now: float) -> ReplicaState:
    return replace(
        replica,
        created_at=min(replica.created_at, now),
        ready_at=_at_most(replica.ready_at, now),
        unrouted_at=_at_most(replica.unrouted_at, now),
        exited_at=_at_most(replica.exited_at, now),
        disturbed_at=_at_most(replica.disturbed_at, now),
        crashes=tuple(min(at, now) for at in replica.crashes),
        backoff=_sooner(replica.backoff, now),
        removal=_sooner(replica.removal, now),
    )


def _app(app: AppState, now: float) -> AppState:
    return replace(
        app,
        rollout=_rollout(app.rollout, now),
        backoff=_sooner(app.backoff, now),
        replacement=_sooner(app.replacement, now),
        repetitions=tuple(replace(one, at=min(one.at, now)) for one in app.repetitions),
    )


def _rollout(rollout: Rollout | None, now: float) -> Rollout | None:
    if rollout is None:
        return None
    return replace(
        rollout,
        started_at=min(rollout.started_at, now),
        progressed_at=min(rollout.progressed_at, now),
        canary_at=_at_most(rollout.canary_at, now),
    )


def _at_most(moment: float | None, now: float) -> float | None:
    return None if moment is None else min(moment, now)


def _sooner(backoff: Backoff | None, now: float) -> Backoff | None:
    return backoff and replace(backoff, next_at=min(backoff.next_at, now + LONGEST_SECONDS))

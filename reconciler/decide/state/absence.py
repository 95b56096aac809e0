"""What it means that the Engine could not be seen for a while: no deadline passes by that, and nobody is to blame.

The same goes for time in which this process did not look at all: it was held up, its host was suspended, the database
could not be written. An Engine that is restarted may moreover stop all containers and start them again.
Those ends are no crashes, no back-off comes of them, and whoever was started again starts anew: not healthy by what its
program before answered. It decides nothing of what is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.model.app_state import AppState
from reconciler.model.replica_state import ReplicaState
from reconciler.model.state import Absence, State

# The loop looks every ten seconds at the least: after so long something has kept it from that.
UNWATCHED_SECONDS = 20.0


def noted(state: State, now: float) -> State:
    """The state as the Engine is seen: where it could not be until now, that time is lost to whoever had a deadline."""
    since = state.outages.get("engine")
    if since is None:
        unwatched = now - state.looked_at if state.looked_at else 0.0
        if unwatched < UNWATCHED_SECONDS and "store" not in state.outages:
            return state
        return replace(state, apps={name: _unseen_for(app, unwatched, now) for name, app in state.apps.items()})
    absence = Absence(min(since, now), now)
    if state.absence == absence:  # noted before, at this very look
        return state
    lost_seconds = now - min(absence.since, state.as_of or absence.since)
    apps = {name: _unseen_for(app, lost_seconds, now) for name, app in state.apps.items()}
    return replace(state, apps=apps, absence=absence)


def pardoned(replica: ReplicaState, absence: Absence | None) -> ReplicaState:
    """The replica without the ends and failed starts that the absence explains."""
    return replica if absence is None else replica.pardoned(absence.explains, absence.until)


def without_failures_of_then(state: State, now: float) -> State:
    """The state without back-offs of creations that failed as the Engine went away, or while it was."""
    absence = state.absence
    if absence is None or absence.until != now:
        return state
    apps = {name: _pardoned_creation(app, absence) for name, app in state.apps.items()}
    return replace(state, apps=apps)


def rollouts_begun_anew(state: State, before: Mapping[str, ReplicaState], now: float) -> Mapping[str, AppState]:
    """The apps. A rollout has its time anew, where the program of one of its replicas was found ended with the
    Engine."""
    absence, apps = state.absence, dict(state.apps)
    for name, replica in state.replicas.items() if absence and absence.explains(now) else ():
        app, old = apps.get(replica.app_name), before.get(name)
        ended = replica.disturbed_at == now and (old is None or old.disturbed_at != now)
        if app is not None and app.rollout and ended and replica.spec_hash == app.rollout.to_hash:
            apps[app.name] = app.rollout_advanced(app.rollout.begun_anew(now))
    return apps


def _pardoned_creation(app: AppState, absence: Absence) -> AppState:
    backoff = app.pacing.creation
    explained = backoff and not backoff.until_changed and absence.explains(backoff.failed_at)
    return app.creation_recovered(absence.until) if explained else app


def _unseen_for(app: AppState, seconds: float, now: float) -> AppState:
    return app.rollout_advanced(app.rollout.unseen_for(seconds, now)) if app.rollout else app

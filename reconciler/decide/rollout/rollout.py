"""The record of a change of version: started, making progress, under analysis, complete, or given up.

It keeps the record and tells of its changes. Who is to be created or let go for it is `reconcile`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.decide.app_view import AppView
from reconciler.decide.differences import recreating, told
from reconciler.decide.rollout import canary as canary_analysis
from reconciler.decide.rollout.failure import RolloutFailure, details_of, failure_of, recorded
from reconciler.decide.state.checks import on_trial
from reconciler.decide.versions import is_change
from reconciler.decide.words import naming
from reconciler.model.app_state import AppState, Rollout
from reconciler.model.events import Event
from reconciler.model.load import VersionLoad
from reconciler.model.plan import Wait
from reconciler.model.reasons import Reason
from reconciler.model.spec import Canary
from reconciler.model.version import Version


@dataclass(frozen=True, slots=True)
class Advance:
    """A rollout after one look at it: the app's state after it, what happened, and what the rollout waits for."""

    app: AppState
    events: tuple[Event, ...] = ()
    waits: tuple[Wait, ...] = ()


def advance(view: AppView, loads: Mapping[tuple[str, str], VersionLoad]) -> Advance:
    """Carry the rollout's record forward. ``loads`` are the versions' own, by app name and spec hash."""
    app, target = view.app, view.target
    if view.suspended:
        return Advance(app)
    if app.rollout is None and app.stable is not None and not view.is_change:
        return _settled(view)
    if app.rollout is None or app.rollout.to_hash != target.spec_hash:
        return _started(view)
    if view.complete:
        return _complete(view, app.rollout)
    if view.paused:
        return Advance(app)
    progressed = view.after(_progressed(view, app.rollout))
    if failure := failure_of(view):
        return _give_up(progressed, failure)
    return _analyse(progressed, loads)


def _settled(view: AppView) -> Advance:
    """An advance while no rollout is under way: the stable version is what the newest spec makes of it, once its checks
    were answered, and old failures are over."""
    if on_trial(view.app):
        return Advance(view.app)
    app = view.app.stable_at(view.target)
    return Advance(app.settled() if view.complete else app)


def _started(view: AppView) -> Advance:
    """An advance by a new rollout; one that finds everything there already is over at once."""
    started = _start(view.app, view.target, view.now)
    if not view.complete or started.app.rollout is None:
        return started
    complete = _complete(view.after(started.app), started.app.rollout)
    return replace(complete, events=(*started.events, *complete.events))


def _start(app: AppState, target: Version, now: float) -> Advance:
    if app.stable is None:
        message = f"first rollout: {naming(target)}"
    elif is_change(app, target):
        message = f"rolling out {naming(target)}: {told(recreating(app.stable, target))}"
    else:
        message = f"{'rolling' if app.failed else 'going'} back to {naming(target)}"
    return Advance(app.rollout_started(target, now), (Event(now, "rollout", message, app.name),))


def _complete(view: AppView, rollout: Rollout) -> Advance:
    target, now = view.target, view.now
    app = view.app.rollout_completed(target)
    done = f"rolled back to {naming(target)}" if app.failed else f"rollout of {naming(target)} complete"
    message = f"{done} after {now - rollout.started_at:.1f} s"
    event = Event(now, "rollout", message, view.name, {"spec_hash": target.spec_hash, "revision": target.revision})
    return Advance(app, (event,))


def _progressed(view: AppView, rollout: Rollout) -> AppState:
    """The app with the progress of its rollout, which is to rely on more new replicas than ever before: one that comes
    and goes again makes none. An analysis that was called off, by taking the canary out of the spec, is over, and the
    rollout goes on from here."""
    if view.composition.canary is None and rollout.analysis_since is not None:
        return view.app.rollout_advanced(rollout.canary_called_off(view.now))
    available = len(view.available)
    if available > rollout.max_available:
        rollout = rollout.progressed(available, view.now)
    made = [r.state.created_at for r in view.existing if r.spec_hash == view.target.spec_hash and r.container]
    if len(made) > (rollout.max_made or 0):
        rollout = rollout.joined(len(made), max(made))
    return view.app if rollout is view.app.rollout else view.app.rollout_advanced(rollout)


def _analyse(view: AppView, loads: Mapping[tuple[str, str], VersionLoad]) -> Advance:
    """Put the canary into traffic, hold it there, and promote it or fail the rollout."""
    rollout, canary = view.app.rollout, view.composition.canary
    if rollout is None or canary is None:
        return Advance(view.app)
    if sick := canary_analysis.sick(view):
        message = f"its canary {sick.name} is unhealthy: {sick.state.health.detail}"
        return _give_up(view, RolloutFailure(Reason.CANARY_FAILED, message, sick))
    if rollout.canary_at is None and canary_analysis.in_traffic(view):
        return _begin_canary(view, rollout, canary)
    due_at = canary_analysis.due_at(view, canary)
    if due_at is None or view.now < due_at:
        return Advance(view.app, waits=(canary_analysis.waiting(view, canary, None),))
    served = {r.spec_hash: loads[view.name, r.spec_hash] for r in view.existing if (view.name, r.spec_hash) in loads}
    new = served.pop(rollout.to_hash, None)
    # Usually there is one old version; more, where a rollout was retargeted: then the one that served most.
    old = max(served.values(), key=lambda load: load.requests, default=None)
    return _conclude_canary(view, rollout, canary, canary_analysis.analyse(canary, new, old))


def _begin_canary(view: AppView, rollout: Rollout, canary: Canary) -> Advance:
    app = view.app.rollout_advanced(rollout.canary_entered_traffic(view.now))
    message = f"canary of {naming(view.target)} gets {canary.weight} % of the traffic for {canary.hold_seconds:g} s"
    event = Event(view.now, "rollout", message, view.name)
    return Advance(app, (event,), (canary_analysis.waiting(view.after(app), canary, None),))


def _conclude_canary(view: AppView, rollout: Rollout, canary: Canary, analysis: canary_analysis.Analysis) -> Advance:
    if analysis.good is None or (analysis.good and not canary_analysis.in_traffic(view)):
        return Advance(view.app, waits=(canary_analysis.waiting(view, canary, analysis),))
    if not analysis.good:
        failure = RolloutFailure(Reason.CANARY_FAILED, f"its canary: {analysis.message}", details=analysis.details)
        return _give_up(view, failure)
    app = view.app.rollout_advanced(rollout.canary_promoted(view.now))
    message = f"canary of {naming(view.target)} promoted: {analysis.message}"
    return Advance(app, (Event(view.now, "rollout", message, view.name, analysis.details),))


def _give_up(view: AppView, failure: RolloutFailure) -> Advance:
    """Try the version no more; with ``onFailure: rollback`` the last stable one is the target from here."""
    target, now = view.target, view.now
    failed = recorded(target, failure, now)
    message = f"rollout of {naming(target)} failed: {failure.message}"
    event = Event(now, "rollout", message, view.name, details_of(failed) | dict(failure.details))
    app = view.app.rollout_failed(failed)
    after = view.after(app)
    if after.target.spec_hash == target.spec_hash:
        return Advance(app, (event,))
    started = _started(after)
    return replace(started, events=(event, *started.events))

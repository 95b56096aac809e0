"""The record of a change of version: started, making progress, on trial, complete, or given up.

It keeps the record and tells of its changes. Who is to be created or let go for it is `choice`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.decide.app_view import AppView
from reconciler.decide.rollout import canary as canary_analysis
from reconciler.decide.rollout.failure import RolloutFailure, details_of, failure_of, recorded
from reconciler.decide.versions import CANARY_FAILED, differences, is_change, naming, target_of
from reconciler.model.desired import Version
from reconciler.model.events import Event
from reconciler.model.load import VersionLoad
from reconciler.model.plan import Wait
from reconciler.model.spec import Canary
from reconciler.model.state import AppState, Rollout


@dataclass(frozen=True, slots=True)
class Advance:
    """The app's state after this look, what happened, and what the rollout waits for."""

    app: AppState
    events: tuple[Event, ...] = ()
    waits: tuple[Wait, ...] = ()


def advance(view: AppView, loads: Mapping[tuple[str, str], VersionLoad]) -> Advance:
    """Carry the rollout's record forward. ``loads`` are the versions' own, by app name and spec hash."""
    app, target, now = view.app, view.target, view.now
    if view.suspended:
        return Advance(app)
    if app.rollout is None and app.stable is not None and not is_change(app, target):
        return Advance(_settled(view))
    if app.rollout is None or app.rollout.to_hash != target.spec_hash:
        return _started(view)
    if view.complete:
        return _complete(view, app.rollout)
    if app.failed and app.failed.spec_hash == target.spec_hash:
        return Advance(app)
    app = _progressed(view, app.rollout)
    if failure := failure_of(view):
        return _give_up(app, target, failure, now)
    return _try_canary(view.after(app), loads)


def _settled(view: AppView) -> AppState:
    """No rollout is under way: the stable version is what the newest spec makes of it, and old trouble is over."""
    app = view.app if view.app.stable is view.target else replace(view.app, stable=view.target)
    if view.complete and (app.repetitions or app.backoff or app.former):
        app = replace(app, repetitions=(), backoff=None, former=())
    return app


def _started(view: AppView) -> Advance:
    """A new rollout; one that finds everything there already is over at once."""
    started = _start(view.app, view.target, view.now)
    if not view.complete or started.app.rollout is None:
        return started
    complete = _complete(view.after(started.app), started.app.rollout)
    return replace(complete, events=(*started.events, *complete.events))


def _start(app: AppState, target: Version, now: float) -> Advance:
    rollout = Rollout(app.stable.spec_hash if app.stable else None, target.spec_hash, now, now)
    if app.stable is None:
        message = f"first rollout: {naming(target)}"
    elif is_change(app, target):
        message = f"rolling out {naming(target)}: {'; '.join(differences(app.stable, target))}"
    else:
        message = f"{'rolling' if app.failed else 'going'} back to {naming(target)}"
    return Advance(replace(app, rollout=rollout), (Event(now, "rollout", message, app.name),))


def _complete(view: AppView, rollout: Rollout) -> Advance:
    target, now = view.target, view.now
    failed = view.app.failed if view.app.version is not target else None
    done = f"rolled back to {naming(target)}" if failed else f"rollout of {naming(target)} complete"
    message = f"{done} after {now - rollout.started_at:.1f} s"
    event = Event(now, "rollout", message, view.name, {"spec_hash": target.spec_hash, "revision": target.revision})
    app = replace(view.app, stable=target, failed=failed, rollout=None, backoff=None, repetitions=(), former=())
    return Advance(app, (event,))


def _progressed(view: AppView, rollout: Rollout) -> AppState:
    """Progress is to rely on more new replicas than ever before: one that comes and goes again makes none. A trial that
    was called off, by taking it out of the spec, is over, and the rollout goes on from here."""
    if view.canary is None and rollout.analysis_since is not None:
        return replace(view.app, rollout=replace(rollout, canary_at=None, progressed_at=view.now))
    available = len(view.available)
    if available <= rollout.max_available:
        return view.app
    return replace(view.app, rollout=replace(rollout, progressed_at=view.now, max_available=available))


def _try_canary(view: AppView, loads: Mapping[tuple[str, str], VersionLoad]) -> Advance:
    """Put the canary into traffic, hold it there, and promote it or fail the rollout."""
    rollout, canary = view.app.rollout, view.canary
    if rollout is None or canary is None:
        return Advance(view.app)
    if sick := canary_analysis.sick(view):
        message = f"its canary {sick.name} is unhealthy: {sick.state.health.detail}"
        return _give_up(view.app, view.target, RolloutFailure(CANARY_FAILED, message, sick), view.now)
    if rollout.canary_at is None and canary_analysis.in_traffic(view):
        return _begin_canary(view, rollout, canary)
    if rollout.canary_at is None or view.now < rollout.canary_at + canary.hold_seconds:
        return Advance(view.app, waits=(canary_analysis.waiting(view, canary, None),))
    served = {r.spec_hash: loads[view.name, r.spec_hash] for r in view.existing if (view.name, r.spec_hash) in loads}
    new = served.pop(rollout.to_hash, None)
    # Usually there is one old version; more, where a rollout was retargeted: then the one that served most.
    old = max(served.values(), key=lambda load: load.requests, default=None)
    return _conclude_canary(view, rollout, canary, canary_analysis.judge(canary, new, old))


def _begin_canary(view: AppView, rollout: Rollout, canary: Canary) -> Advance:
    app = replace(view.app, rollout=replace(rollout, canary_at=view.now))
    message = f"canary of {naming(view.target)} gets {canary.weight} % of the traffic for {canary.hold_seconds:g} s"
    event = Event(view.now, "rollout", message, view.name)
    return Advance(app, (event,), (canary_analysis.waiting(view.after(app), canary, None),))


def _conclude_canary(view: AppView, rollout: Rollout, canary: Canary, verdict: canary_analysis.Analysis) -> Advance:
    if verdict.good is None or (verdict.good and not canary_analysis.in_traffic(view)):
        return Advance(view.app, waits=(canary_analysis.waiting(view, canary, verdict),))
    if not verdict.good:
        failure = RolloutFailure(CANARY_FAILED, f"its canary: {verdict.message}", details=verdict.details)
        return _give_up(view.app, view.target, failure, view.now)
    app = replace(view.app, rollout=replace(rollout, promoted=True, progressed_at=view.now))
    message = f"canary of {naming(view.target)} promoted: {verdict.message}"
    return Advance(app, (Event(view.now, "rollout", message, view.name, verdict.details),))


def _give_up(app: AppState, target: Version, failure: RolloutFailure, now: float) -> Advance:
    """Try the version no more; with ``onFailure: rollback`` the last stable one is the target from here."""
    failed = recorded(target, failure, now)
    message = f"rollout of {naming(target)} failed: {failure.message}"
    event = Event(now, "rollout", message, app.name, details_of(failed) | dict(failure.details))
    app = replace(app, failed=failed, backoff=None, repetitions=())
    aim = target_of(app)
    if aim.spec_hash == target.spec_hash:
        return Advance(app, (event,))
    started = _start(app, aim, now)
    return replace(started, events=(event, *started.events))

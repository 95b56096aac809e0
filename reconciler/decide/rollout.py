"""The record of a change of version: started, making progress, complete, or failed.

A rollout fails by evidence, never by silence: a crash loop, a refusal, a bad verdict on its canary, or a deadline
after which something is known to be wrong. What was missed while nobody looked is no evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.decide import canary as trial
from reconciler.decide.replicas import Phase, Replica
from reconciler.decide.tracking import CRASH_LOOP, exit_words
from reconciler.decide.versions import differences, is_change, naming, target_of
from reconciler.decide.view import AppView
from reconciler.model.desired import Version
from reconciler.model.events import Event
from reconciler.model.load import VersionLoad
from reconciler.model.memory import AppMemory, FailedVersion, Memory, ReplicaMemory, Rollout
from reconciler.model.plan import Wait
from reconciler.model.spec import Canary

CANARY_FAILED = "CanaryFailed"


@dataclass(frozen=True, slots=True)
class Advance:
    """The app's memory after this look, what happened, and what the rollout waits for."""

    app: AppMemory
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
    if failure := _failure(view):
        return _fail(app, target, failure, now)
    return _try_canary(view.after(app), loads)


def deadline_of(view: AppView) -> float | None:
    """When the rollout under way fails if no further replica becomes ready; None while that isn't expected."""
    return _deadline(view.app, view.target)


def overdue(memory: Memory, now: float) -> frozenset[str]:
    """The containers, one for each app, that keep a rollout from going on past its deadline. People will ask what
    these have to say."""
    found: dict[str, ReplicaMemory] = {}
    late = {app.name: target_of(app).spec_hash for app in memory.apps.values() if _is_overdue(app, now)}
    for replica in memory.replicas.values() if late else ():
        wanted = replica.spec_hash == late.get(replica.app_name) and replica.ready_at is None and replica.container_id
        before = found.get(replica.app_name)
        if wanted and (before is None or replica.slot < before.slot):
            found[replica.app_name] = replica
    return frozenset(replica.container_id for replica in found.values())


def evidence(failed: FailedVersion) -> str:
    """What is known of the replica that failed, in lines for people; "" where nothing is."""
    lines = []
    if failed.answer and failed.answer not in failed.message:
        lines.append(f"last answer of {failed.replica}: {failed.answer}")
    if failed.exit_code is not None and exit_words(failed.exit_code) not in failed.message:
        lines.append(f"{failed.replica} {exit_words(failed.exit_code)}")
    lines += [f"last log lines of {failed.replica}:", failed.log] if failed.log else []
    return "\n".join(lines)


def _is_overdue(app: AppMemory, now: float) -> bool:
    deadline = _deadline(app, target_of(app))
    return deadline is not None and now >= deadline


def _deadline(app: AppMemory, target: Version) -> float | None:
    rollout = app.rollout
    if rollout is None or app.failed or rollout.canary_at is not None and not rollout.promoted:
        return None
    return rollout.progressed_at + target.app.spec.strategy.progress_deadline_seconds


# -- how it goes ----------------------------------------------------------------------------------------------------


def _settled(view: AppView) -> AppMemory:
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


def _start(app: AppMemory, target: Version, now: float) -> Advance:
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


def _progressed(view: AppView, rollout: Rollout) -> AppMemory:
    ready_times = [r.memory.ready_at for r in view.fit if r.memory.ready_at is not None]
    progressed_at = max([rollout.progressed_at, *ready_times])
    if progressed_at == rollout.progressed_at:
        return view.app
    return replace(view.app, rollout=replace(rollout, progressed_at=progressed_at))


def _try_canary(view: AppView, loads: Mapping[tuple[str, str], VersionLoad]) -> Advance:
    """Put the canary into traffic, hold it there, and promote it or fail the rollout."""
    rollout, canary = view.app.rollout, view.canary
    if rollout is None or canary is None:
        return Advance(view.app)
    if rollout.canary_at is None and trial.in_traffic(view):
        return _begin_canary(view, rollout, canary)
    if rollout.canary_at is None or view.now < rollout.canary_at + canary.hold_seconds:
        return Advance(view.app, waits=(trial.waiting(view, canary, None),))
    served = {r.spec_hash: loads[view.name, r.spec_hash] for r in view.existing if (view.name, r.spec_hash) in loads}
    new = served.pop(rollout.to_hash, None)
    # Usually there is one old version; more, where a rollout was retargeted: then the one that served most.
    old = max(served.values(), key=lambda load: load.requests, default=None)
    return _conclude_canary(view, rollout, canary, trial.judge(canary, new, old))


def _begin_canary(view: AppView, rollout: Rollout, canary: Canary) -> Advance:
    app = replace(view.app, rollout=replace(rollout, canary_at=view.now))
    message = f"canary of {naming(view.target)} gets {canary.weight} % of the traffic for {canary.hold_seconds:g} s"
    event = Event(view.now, "rollout", message, view.name)
    return Advance(app, (event,), (trial.waiting(view.after(app), canary, None),))


def _conclude_canary(view: AppView, rollout: Rollout, canary: Canary, verdict: trial.Verdict) -> Advance:
    if verdict.good is None:
        return Advance(view.app, waits=(trial.waiting(view, canary, verdict),))
    if not verdict.good:
        failure = _Failure(CANARY_FAILED, f"its canary: {verdict.message}", details=verdict.details)
        return _fail(view.app, view.target, failure, view.now)
    app = replace(view.app, rollout=replace(rollout, promoted=True, progressed_at=view.now))
    message = f"canary of {naming(view.target)} promoted: {verdict.message}"
    return Advance(app, (Event(view.now, "rollout", message, view.name, verdict.details),))


# -- how it fails ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a rollout has failed, and by which replica if it was one."""

    reason: str
    message: str
    replica: Replica | None = None
    details: Mapping[str, str] | None = None


def _failure(view: AppView) -> _Failure | None:
    """Why the rollout under way has failed, or None. Only a change of version can: the others have no alternative."""
    backoff = view.app.backoff
    if not is_change(view.app, view.target):
        return None
    for replica in view.fit:
        own = replica.memory.backoff
        if own and own.reason == CRASH_LOOP:
            return _Failure(CRASH_LOOP, f"{replica.name} {own.message}", replica)
    if backoff and backoff.until_changed:
        return _Failure(backoff.reason, backoff.message)
    deadline = deadline_of(view)
    trouble = None if deadline is None or view.now < deadline else _trouble(view, deadline)
    if trouble is None:
        return None
    seconds = view.target.app.spec.strategy.progress_deadline_seconds
    message = f"no further replica became ready within {seconds:g} s: {trouble.message}"
    return replace(trouble, reason="ProgressDeadlineExceeded", message=message)


def _trouble(view: AppView, deadline: float) -> _Failure | None:
    """What keeps the new replicas from becoming ready, as far as it is known at the deadline."""
    if view.app.backoff:
        return _Failure("", view.app.backoff.message)
    for replica in view.fit:
        memory = replica.memory
        answer = memory.health.detail or memory.readiness.detail
        if replica.phase in (Phase.CRASHED, Phase.RESTARTING):
            return _Failure("", f"{replica.name} {exit_words(memory.exit_code)}", replica)
        if replica.phase in (Phase.CREATED, Phase.PAUSED):
            return _Failure("", f"{replica.name} is {replica.phase}", replica)
        asked_at = max(memory.health.tally.last_check_at or 0.0, memory.readiness.tally.last_check_at or 0.0)
        if replica.phase in (Phase.STARTING, Phase.UNREADY) and asked_at >= deadline:
            return _Failure("", f"{replica.name}: {answer}" if answer else f"{replica.name} is not ready", replica)
    return None


def _fail(app: AppMemory, target: Version, failure: _Failure, now: float) -> Advance:
    """Give the version up; with ``onFailure: rollback`` the last stable one is the target from here."""
    memory = failure.replica.memory if failure.replica else None
    failed = FailedVersion(
        spec_hash=target.spec_hash,
        revision=target.revision,
        at=now,
        reason=failure.reason,
        message=failure.message,
        replica=memory.name if memory else "",
        answer=(memory.health.detail or memory.readiness.detail) if memory else "",
        exit_code=memory.exit_code if memory else None,
        log=failure.replica.log if failure.replica else "",
    )
    event = Event(
        now, "rollout", f"rollout of {naming(target)} failed: {failure.message}", app.name, _details(failed, failure)
    )
    app = replace(app, failed=failed, backoff=None, repetitions=())
    aim = target_of(app)
    if aim.spec_hash == target.spec_hash:
        return Advance(app, (event,))
    started = _start(app, aim, now)
    return replace(started, events=(event, *started.events))


def _details(failed: FailedVersion, failure: _Failure) -> Mapping[str, str]:
    details = {
        "reason": failed.reason,
        "revision": failed.revision,
        "spec_hash": failed.spec_hash,
        "replica": failed.replica,
        "answer": failed.answer,
        "exit_code": "" if failed.exit_code is None else str(failed.exit_code),
        "log": failed.log,
    }
    return {key: value for key, value in details.items() if value} | dict(failure.details or {})

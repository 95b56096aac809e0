"""Which replicas an app should have: how many to create, which ones to let go, and why.

One algorithm serves first deploys, changed versions, scaling, healing and rollback: replicas that fit (the target's
spec hash, not unhealthy) are kept up to the wanted count, the others go as fast as `maxSurge` and `maxUnavailable`
allow. It says who should go, never when a container may be stopped; that is `steps`' gate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.decide.apps import short
from reconciler.decide.backoff import FORGOTTEN_AFTER_SECONDS, after_failure, blocks
from reconciler.decide.replicas import Phase, Replica
from reconciler.decide.versions import differences, failure_of, target_of
from reconciler.model.desired import Version
from reconciler.model.events import Event
from reconciler.model.memory import AppMemory, FailedVersion, Rollout
from reconciler.model.plan import Wait

# How long the first replicas of a step that became ready wait for the others, to share one change of routes.
SETTLE_SECONDS = 2.0
KEPT_FAILURES = 10

_PENDING = (Phase.CREATING, Phase.CREATED, Phase.STARTING)


@dataclass(frozen=True, slots=True)
class AppView:
    """One app as one tick sees it: what is wanted, what there is, and who is being routed to."""

    app: AppMemory
    target: Version
    count: int
    replicas: tuple[Replica, ...]
    routed: frozenset[str]
    now: float

    @property
    def surge(self) -> int:
        return resolve(self.target.app.max_surge, self.count, round_up=True)

    @property
    def unavailable(self) -> int:
        allowed = resolve(self.target.app.max_unavailable, self.count, round_up=False)
        return allowed if allowed or self.surge else 1

    @property
    def existing(self) -> tuple[Replica, ...]:
        return tuple(r for r in self.replicas if r.exists)

    def fits(self, replica: Replica) -> bool:
        gone = (Phase.LEAVING, Phase.DEAD, Phase.GONE, Phase.UNHEALTHY)
        return replica.spec_hash == self.target.spec_hash and replica.phase not in gone

    def available(self, replica: Replica) -> bool:
        return replica.available(self.target.app.spec.strategy.min_ready_seconds, self.now)

    def serving(self, replica: Replica) -> bool:
        return replica.ready or replica.name in self.routed


@dataclass(frozen=True, slots=True)
class Choice:
    """``create`` replicas more, for ``create_cause``; let those in ``retire`` go, each for its cause."""

    create: int = 0
    create_cause: str = ""
    retire: Mapping[str, str] = field(default_factory=dict)
    waits: tuple[Wait, ...] = ()
    replacing: bool = False


def resolve(amount: int | str, count: int, *, round_up: bool) -> int:
    """Replicas of a count or a percentage: surge rounds up, unavailable rounds down, as in Kubernetes."""
    if isinstance(amount, int):
        return amount
    share = count * int(amount.rstrip("%")) / 100
    return math.ceil(share) if round_up else math.floor(share)


def choose(view: AppView) -> Choice:
    """Who should be there. Pure arithmetic over phases; the same view always gives the same choice."""
    if frozen := _frozen(view):
        return Choice(waits=(Wait(view.app.name, frozen),))
    present = [r for r in view.existing if r.phase is not Phase.LEAVING]
    fit = sorted((r for r in present if view.fits(r)), key=_last_to_go_first)
    kept, surplus = fit[: view.count], fit[view.count :]
    misfit = [r for r in present if not view.fits(r)]
    retire = {r.name: _surplus_cause(view) for r in surplus}
    retire |= _retire_misfits(view, kept, misfit)
    return _creations(view, kept, misfit, retire)


def settling_until(view: AppView) -> float | None:
    """Until when changes of routes wait for the rest of the step; None when there is nothing to wait for."""
    fit = [r for r in view.existing if view.fits(r)]
    fresh = [r.memory.ready_at for r in fit if r.ready and r.name not in view.routed and r.memory.ready_at]
    if not fresh or not any(r.phase in _PENDING for r in fit):
        return None
    until = min(fresh) + SETTLE_SECONDS
    return until if view.now < until else None


def _frozen(view: AppView) -> str:
    if view.app.version.app.spec.suspend:
        return "suspended by its spec: left exactly as it is"
    failed = failure_of(view.app)
    if failed and view.target.spec_hash == failed.spec_hash and view.app.stable is not None:
        return f"rollout paused, since {failed.message}; a changed spec or restartToken goes on"
    return ""


def _last_to_go_first(replica: Replica) -> tuple[bool, float, int]:
    """Scaling in takes unready replicas first, then the newest."""
    return not replica.ready, replica.memory.created_at, replica.slot


def _surplus_cause(view: AppView) -> str:
    return f"{view.count} replica{'s' if view.count != 1 else ''} wanted{_by(view)}, this one is surplus"


def _by(view: AppView) -> str:
    return f" by {view.target.app.scaling.mode} scaling"


def _retire_misfits(view: AppView, kept: list[Replica], misfit: list[Replica]) -> dict[str, str]:
    """Replicas that don't fit go at once where they serve nobody, else only as others take their place."""
    replaceable = [r for r in misfit if view.serving(r) or r.phase is Phase.UNHEALTHY]
    idle = [r for r in misfit if r not in replaceable]
    retire = {r.name: _misfit_cause(view, r) for r in idle}
    if settling_until(view):
        return retire
    available = sum(view.available(r) for r in kept)
    spare = available + len(replaceable) - max(0, view.count - view.unavailable)
    replaceable.sort(key=lambda r: (r.phase is not Phase.UNHEALTHY, r.slot))
    return retire | {r.name: _misfit_cause(view, r) for r in replaceable[: max(0, spare)]}


def _misfit_cause(view: AppView, replica: Replica) -> str:
    if replica.phase is Phase.DEAD:
        return "the Engine reports its container as dead"
    if replica.spec_hash == view.target.spec_hash:
        return f"unhealthy ({replica.memory.health.detail}), and replaced"
    return f"replaced by {_naming(view.target)}"


def _naming(version: Version) -> str:
    return f"{version.app.spec.image} of revision {short(version.revision)} (spec {version.spec_hash})"


def _creations(view: AppView, kept: list[Replica], misfit: list[Replica], retire: dict[str, str]) -> Choice:
    unhealthy = [r for r in misfit if r.phase is Phase.UNHEALTHY and r.spec_hash == view.target.spec_hash]
    missing = max(0, view.count - len(kept))
    plainly_missing = max(0, missing - len(unhealthy))
    replacements, waits = _replacements(view, kept, unhealthy, missing - plainly_missing)
    room = max(0, view.count + view.surge - len(view.existing))
    create = min(room, plainly_missing + replacements)
    if create:
        if blocked := _blocked(view):
            return Choice(retire=retire, waits=(*waits, blocked))
    elif missing and not replacements and not waits:
        waits = (*waits, Wait(view.app.name, f"waiting for room to create {missing} more: surge is {view.surge}"))
    replacing = create > plainly_missing
    return Choice(create, _create_cause(view, unhealthy if replacing else []), retire, waits, replacing)


def _replacements(
    view: AppView, kept: list[Replica], unhealthy: list[Replica], wanted: int
) -> tuple[int, tuple[Wait, ...]]:
    """How many unhealthy replicas to replace now. Most failing at once is probably the checker, or a dependency."""
    if not wanted:
        return 0, ()
    name = view.app.name
    if blocks(view.app.replacement, view.now) and view.app.replacement:
        waits = Wait(name, "replaced unhealthy replicas lately, waiting before the next", view.app.replacement.next_at)
        return 0, (waits,)
    present = len(kept) + len(unhealthy)
    if len(unhealthy) <= present / 2:
        return wanted, ()
    message = f"{len(unhealthy)} of {present} replicas turned unhealthy together: replacing one at a time"
    pending = any(not r.ready for r in kept)
    return (0 if pending else 1), (Wait(name, message),)


def _blocked(view: AppView) -> Wait | None:
    backoff = view.app.backoff
    if backoff is None or not blocks(backoff, view.now):
        return None
    if backoff.until_changed:
        return Wait(view.app.name, f"{backoff.message}; waiting for a changed spec")
    return Wait(view.app.name, f"{backoff.message}; trying again (attempt {backoff.attempts + 1})", backoff.next_at)


def _create_cause(view: AppView, unhealthy: Iterable[Replica]) -> str:
    names = ", ".join(r.name for r in unhealthy)
    if names:
        return f"replaces unhealthy {names}"
    if view.app.stable is None:
        return f"first deploy at revision {short(view.target.revision)}"
    if view.app.stable.spec_hash != view.target.spec_hash:
        changed = "; ".join(differences(view.app.stable, view.target))
        return f"changed at revision {short(view.target.revision)}: {changed}"
    have = sum(view.fits(r) for r in view.existing)
    return f"{view.count} replica{'s' if view.count != 1 else ''} wanted{_by(view)}, {have} there"


def paced(app: AppMemory, choice: Choice, now: float) -> AppMemory:
    """Remember that unhealthy replicas were replaced, so that replacing again and again slows down."""
    if choice.replacing:
        return replace(app, replacement=after_failure(app.replacement, "Unhealthy", "replaced", now))
    if app.replacement and now - app.replacement.next_at > FORGOTTEN_AFTER_SECONDS:
        return replace(app, replacement=None)
    return app


def advance(view: AppView) -> tuple[AppMemory, tuple[Event, ...]]:
    """Carry the rollout record forward: started, progressed, complete or failed."""
    app, target, now = view.app, view.target, view.now
    if app.version.app.spec.suspend:
        return app, ()
    if app.stable is not None and app.stable.spec_hash == target.spec_hash and app.rollout is None:
        return (app if app.stable == target else replace(app, stable=target)), ()
    if app.rollout is None or app.rollout.to_hash != target.spec_hash:
        return _start(app, target, now)
    if complete(view):
        message = f"rollout of {_naming(target)} complete after {now - app.rollout.started_at:.1f} s"
        event = Event(now, "rollout", message, app.name, {"spec_hash": target.spec_hash})
        return replace(app, stable=target, rollout=None, backoff=None), (event,)
    ready_times = [r.memory.ready_at for r in view.existing if view.fits(r) and r.memory.ready_at]
    progressed_at = max([app.rollout.progressed_at, *ready_times])
    if progressed_at != app.rollout.progressed_at:
        app = replace(app, rollout=replace(app.rollout, progressed_at=progressed_at))
    if failure := _failure(view):
        return _fail(app, target, failure, now)
    return app, ()


def _start(app: AppMemory, target: Version, now: float) -> tuple[AppMemory, tuple[Event, ...]]:
    rollout = Rollout(app.stable.spec_hash if app.stable else None, target.spec_hash, now, now)
    if failure_of(app) and target is app.stable:
        message = f"rolling back to {_naming(target)}"
    elif app.stable is None:
        message = f"first rollout: {_naming(target)}"
    else:
        changed = "; ".join(differences(app.stable, target))
        message = f"rolling out {_naming(target)}: {changed}"
    return replace(app, rollout=rollout), (Event(now, "rollout", message, app.name),)


def complete(view: AppView) -> bool:
    """Whether exactly the wanted replicas are there, all of the target version and available."""
    available = sum(view.fits(r) and view.available(r) for r in view.existing)
    return available == view.count and len(view.existing) == view.count


def deadline_of(view: AppView) -> float | None:
    """When the rollout under way fails if no further replica becomes ready."""
    if view.app.rollout is None or failure_of(view.app):
        return None
    return view.app.rollout.progressed_at + view.target.app.spec.strategy.progress_deadline_seconds


def moments(view: AppView) -> list[float]:
    """Epoch seconds at which the app's standing changes by itself."""
    least = view.target.app.spec.strategy.min_ready_seconds
    found = [r.memory.ready_at + least for r in view.existing if r.memory.ready_at is not None]
    deadline = deadline_of(view)
    return found if deadline is None else [*found, deadline]


def _failure(view: AppView) -> tuple[str, str] | None:
    """Reason and message why the rollout under way has failed, or None. Only a change of version can fail."""
    app = view.app
    if app.stable is None or app.stable.spec_hash == view.target.spec_hash or failure_of(app):
        return None
    for replica in view.existing:
        backoff = replica.memory.backoff
        if view.fits(replica) and backoff and backoff.reason == "CrashLoopBackOff":
            return "CrashLoopBackOff", f"{replica.name} {backoff.message}"
    if app.backoff and app.backoff.until_changed:
        return app.backoff.reason, app.backoff.message
    deadline = deadline_of(view)
    if deadline is None or view.now < deadline or _pending_only_on_drain(view):
        return None
    trouble = app.backoff.message if app.backoff else _unready(view)
    seconds = view.target.app.spec.strategy.progress_deadline_seconds
    return "ProgressDeadlineExceeded", f"no further replica became ready within {seconds:g} s: {trouble}"


def _pending_only_on_drain(view: AppView) -> bool:
    return sum(view.fits(r) and view.available(r) for r in view.existing) >= view.count


def _unready(view: AppView) -> str:
    for replica in view.existing:
        if view.fits(replica) and not replica.ready:
            answer = replica.memory.health.detail or replica.memory.readiness.detail or replica.phase
            return f"{replica.name}: {answer}"
    return "none was created"


def _fail(app: AppMemory, target: Version, failure: tuple[str, str], now: float) -> tuple[AppMemory, tuple[Event, ...]]:
    reason, message = failure
    failed = FailedVersion(target.spec_hash, target.revision, now, reason, message)
    logs = {"reason": reason, "revision": target.revision}
    event = Event(now, "rollout", f"rollout of {_naming(target)} failed: {message}", app.name, logs)
    rollout = replace(app.rollout, message=message) if app.rollout else None
    app = replace(app, failed=(*app.failed, failed)[-KEPT_FAILURES:], rollout=rollout, backoff=None)
    aim = target_of(app)
    if app.stable is not None and aim.spec_hash == app.stable.spec_hash:
        app, events = _start(replace(app, rollout=None), aim, now)
        return app, (event, *events)
    return app, (event,)

"""Changed checks: what becomes of a commit that changes how replicas are asked, and not what they are made of.

The replicas that serve are trusted by the new check until one of them has answered it: up to then the check is on
trial. Where one that was well by the check before fails the new one instead, it is the check that is at fault: with
``onFailure: rollback`` its version has failed, and the check before it is in force again. No container is touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from reconciler.decide.differences import changed_checks
from reconciler.decide.rollout.failure import details_of
from reconciler.decide.state.health import asked_of, checks_of, trusted
from reconciler.decide.versions import version_for
from reconciler.model.app_state import AppState, FailedVersion
from reconciler.model.events import Event
from reconciler.model.health import KINDS, CheckKind, Health, Verdict
from reconciler.model.reasons import Reason
from reconciler.model.replica_state import ReplicaState
from reconciler.model.spec import HealthCheck
from reconciler.model.state import State
from reconciler.model.version import short


def on_trial(app: AppState) -> bool:
    """Whether the newest version asks the stable one's replicas something else, which none of them has answered yet."""
    stable, newest = app.stable, app.version
    if stable is None or stable is newest or stable.spec_hash != newest.spec_hash or app.failed:
        return False
    if app.rollout and app.rollout.to_hash != stable.spec_hash:  # else one that goes back to these very containers
        return False
    return asked_of(stable.app) != asked_of(newest.app)


def tried(before: Mapping[str, AppState], state: State, now: float) -> tuple[State, tuple[Event, ...]]:
    """The state after this look at checks on trial, and which of them have failed. ``before`` are the apps as they were
    before this reading of the source."""
    changed = {name: kinds for name, app in state.apps.items() if (kinds := _asked_otherwise(before.get(name), app))}
    trials = {name for name, app in state.apps.items() if on_trial(app)}
    if not changed and not trials:
        return state, ()
    apps, replicas, events = dict(state.apps), dict(state.replicas), []
    for name, members in sorted(_members(state.replicas.values(), changed.keys() | trials).items()):
        app = apps[name]
        own = [replica for replica in members if replica.spec_hash == app.version.spec_hash]
        since = state.absence.until if state.absence else 0.0
        failing = next((r for r in own if _fails_untried(r) or _never_well(r, app, since, now)), None)
        if name in changed:
            replicas |= {replica.name: _trusted_anew(replica, app, changed[name], now) for replica in own}
        elif any(_has_answered(replica, app) for replica in own):
            apps[name] = app.stable_at(app.version)
        elif failing and app.version.app.spec.strategy.on_failure == "rollback":
            apps[name], event = _given_up(app, failing, now)
            changed_back = _asked_otherwise(app, apps[name])
            replicas |= {replica.name: _trusted_anew(replica, apps[name], changed_back, now) for replica in own}
            events.append(event)
    return replace(state, apps=apps, replicas=replicas), tuple(events)


def _asked_otherwise(before: AppState | None, after: AppState) -> frozenset[CheckKind]:
    """By which checks the replicas of the newest version are asked otherwise after this."""
    spec_hash = after.version.spec_hash
    if before is None or before is after or spec_hash not in {version.spec_hash for version in before.versions}:
        return frozenset()
    old, new = (asked_of(version_for(app, spec_hash).app) for app in (before, after))
    return frozenset(kind for kind in KINDS if old.get(kind) != new.get(kind))


def _checks(app: AppState, spec_hash: str) -> dict[CheckKind, HealthCheck]:
    return checks_of(version_for(app, spec_hash).app)


def _members(replicas: Iterable[ReplicaState], names: AbstractSet[str]) -> Mapping[str, list[ReplicaState]]:
    members: defaultdict[str, list[ReplicaState]] = defaultdict(list)
    for replica in replicas:
        if replica.app_name in names:
            members[replica.app_name].append(replica)
    return members


def _has_answered(replica: ReplicaState, app: AppState) -> bool:
    """Whether it is well by each check of the newest version, and has said so itself."""
    asked = [replica.health_by(kind) for kind in checks_of(app.version.app)]
    return all(health.verdict is Verdict.HEALTHY and not health.on_trust for health in asked)


def _fails_untried(replica: ReplicaState) -> bool:
    """Whether it fails a check by which it was trusted and has never been well."""
    return any(
        health.verdict is Verdict.UNHEALTHY and health.on_trust and not health.unreached
        for health in (replica.health, replica.readiness)
    )


def _never_well(replica: ReplicaState, app: AppState, seen_since: float, now: float) -> bool:
    """Whether it was started while the check was on trial, and has failed it for as long as a new version may, with the
    Engine to be seen."""
    since = max(app.updated_at, replica.created_at, replica.restarts.last_at or 0.0, seen_since)
    if replica.ready_at is not None or now - since < app.version.app.spec.strategy.progress_deadline_seconds:
        return False
    if replica.unreached:
        return False
    return any(replica.health_by(kind).consecutive_failures for kind in checks_of(app.version.app))


def _trusted_anew(replica: ReplicaState, app: AppState, changed: AbstractSet[CheckKind], now: float) -> ReplicaState:
    """A replica that serves, or would but for a check nobody has answered, trusted by those that were changed."""
    if replica.ready_at is None and not _fails_untried(replica):
        return replica
    checks = _checks(app, replica.spec_hash)
    for kind in changed:
        totals = replace(replica.health_by(kind).tally, consecutive_successes=0)
        replica = replica.checked(kind, replace(trusted(now), tally=totals) if kind in checks else Health())
    well = all(replica.health_by(kind).verdict is Verdict.HEALTHY for kind in checks)
    return replica.became_ready(now) if well else replica


def _given_up(app: AppState, failing: ReplicaState, now: float) -> tuple[AppState, Event]:
    """The app once its newest version has failed by its check, and what happened."""
    version, answer = app.version, failing.last_failed_answer
    changed = changed_checks(app.stable, version)
    who = "well by the check before, fails the new one" if _fails_untried(failing) else "started since, fails it"
    message = f"{failing.name}, {who}: {answer}; {changed}"
    failed = FailedVersion(
        version.spec_hash, version.revision, now, Reason.CHECK_FAILED, message, replica=failing.name, answer=answer
    )
    back = f"; back to the check of revision {short(app.stable.revision)}" if app.stable else ""
    text = f"revision {short(version.revision)} failed: {message}{back}"
    return app.rollout_failed(failed), Event(now, "rollout", text, app.name, details_of(failed))

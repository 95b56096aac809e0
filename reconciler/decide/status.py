"""What people are told about an app: its conditions, its counts, and where each replica stands.

Derived from the same view the actions came from, so that status and deeds can't disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from reconciler.decide.apps import short
from reconciler.decide.replicas import Phase, Replica
from reconciler.decide.rollout import AppView, Choice
from reconciler.decide.versions import failure_of, version_for
from reconciler.model.desired import Problem
from reconciler.model.health import Verdict
from reconciler.model.load import ReplicaLoad
from reconciler.model.memory import Memory
from reconciler.model.plan import Wait
from reconciler.model.spec import Route
from reconciler.model.status import AppStatus, Condition, InstanceStatus, Vitals


@dataclass(frozen=True, slots=True)
class AppFacts:
    """What one tick knows of an app once it has decided and published."""

    view: AppView
    choice: Choice
    waits: tuple[Wait, ...] = ()
    acting: bool = False
    problems: tuple[Problem, ...] = ()
    leaving: bool = False


def describe(facts: AppFacts, memory: Memory, loads: dict[str, ReplicaLoad]) -> AppStatus:
    """The status of one app. ``memory`` is the one after publication; its conditions keep their ``since``."""
    view = facts.view
    routed = memory.published.table.routed_names()
    instances = tuple(_instance(facts, r, memory, routed, loads) for r in view.existing)
    error = _error(facts, memory)
    ready = sum(view.fits(r) and view.available(r) for r in view.existing)
    wants_routes = bool(view.target.app.routes)
    routed_fit = sum(view.fits(r) and r.name in routed for r in view.existing)
    complete = (
        ready == view.count == len(view.existing)
        and view.app.rollout is None
        and (not wants_routes or routed_fit == view.count)
        and not facts.leaving
    )
    return AppStatus(
        name=view.app.name,
        revision=view.target.revision,
        spec_hash=view.target.spec_hash,
        mode=view.target.app.scaling.mode,
        desired=0 if facts.leaving else view.count,
        current=sum(r.container is not None and r.phase not in (Phase.CRASHED, Phase.CREATED) for r in view.existing),
        ready=ready,
        routed=sum(r.name in routed for r in view.existing),
        conditions=_conditions(facts, complete, ready, error),
        instances=instances,
        routes=tuple(route_text(route) for route in view.target.app.routes),
        error=error[1],
    )


def route_text(route: Route) -> str:
    """A route as people write it: ``shop.example.com/`` or ``*/web``."""
    return f"{route.host or '*'}{route.path}"


def _conditions(facts: AppFacts, complete: bool, ready: int, error: tuple[str, str]) -> tuple[Condition, ...]:
    view = facts.view
    suspended = view.app.version.app.spec.suspend
    waiting = facts.waits[0].message if facts.waits else ""
    counts = f"{ready} of {view.count} replicas ready"
    if complete:
        ready_words, progress_words = ("Converged", counts), ("Idle", "nothing to do")
    else:
        ready_words = ("NotReady", f"{counts}; {waiting}" if waiting else counts)
        progress_words = (_progress_reason(facts), waiting or "acting")
    return (
        _condition(view, "Ready", complete or (suspended and ready >= view.count), ready_words),
        _condition(view, "Progressing", not complete and not suspended, progress_words),
        _condition(view, "Degraded", bool(error[0]), error if error[0] else ("AsExpected", "")),
    )


def _progress_reason(facts: AppFacts) -> str:
    if facts.view.app.version.app.spec.suspend:
        return "Suspended"
    if facts.leaving:
        return "Leaving"
    return "Acting" if facts.acting else "Waiting"


def _condition(
    view: AppView, type_: Literal["Ready", "Progressing", "Degraded"], status: bool, words: tuple[str, str]
) -> Condition:
    before = next((c for c in view.app.conditions if c.type == type_), None)
    since = before.since if before is not None and before.status == status else view.now
    return Condition(type_, status, words[0], words[1], since)


def _error(facts: AppFacts, memory: Memory) -> tuple[str, str]:
    """Reason and message of the worst trouble, or two empty strings. The order is by what people must mend first."""
    for reason, message in _errors(facts, memory):
        return reason, message
    return "", ""


def _errors(facts: AppFacts, memory: Memory) -> Iterable[tuple[str, str]]:
    view, app = facts.view, facts.view.app
    if facts.problems:
        more = f" (and {len(facts.problems) - 1} more)" if len(facts.problems) > 1 else ""
        yield "InvalidSpec", f"{facts.problems[0]}{more}; the last good spec keeps running"
    if failed := failure_of(app):
        serving = f"; serving revision {short(app.stable.revision)}" if app.stable else ""
        yield "RolloutFailed", f"revision {short(failed.revision)} failed: {failed.message}{serving}"
    if app.backoff:
        yield app.backoff.reason, app.backoff.message
    for refusal in memory.published.refusals:
        if refusal.app_name == app.name:
            yield "RoutesRefused", refusal.message
    for replica in view.existing:
        if replica.memory.backoff:
            backoff = replica.memory.backoff
            yield backoff.reason, f"{replica.name} {backoff.message} (attempt {backoff.attempts})"
    unhealthy = [r.name for r in view.existing if r.phase is Phase.UNHEALTHY and r.name not in facts.choice.retire]
    if unhealthy:
        yield "Unhealthy", f"{', '.join(unhealthy)} unhealthy: {_detail(view, unhealthy[0])}"
    yield from _overdue(facts)


def _overdue(facts: AppFacts) -> Iterable[tuple[str, str]]:
    view = facts.view
    if view.app.rollout is None:
        return
    seconds = view.target.app.spec.strategy.progress_deadline_seconds
    late = view.now - view.app.rollout.progressed_at >= seconds
    starting = [r.name for r in view.existing if view.fits(r) and not r.ready]
    if late and starting:
        yield "ProgressDeadlineExceeded", f"not ready within {seconds:g} s: {_detail(view, starting[0])}"


def _detail(view: AppView, name: str) -> str:
    replica = next(r for r in view.existing if r.name == name)
    return replica.memory.health.detail or replica.memory.readiness.detail or f"{name} is {replica.phase}"


def _instance(
    facts: AppFacts, replica: Replica, memory: Memory, routed: frozenset[str], loads: dict[str, ReplicaLoad]
) -> InstanceStatus:
    kept = memory.replicas.get(replica.name, replica.memory)
    load = loads.get(replica.name, ReplicaLoad())
    leaving = facts.leaving or replica.name in facts.choice.retire or replica.phase is Phase.LEAVING
    state: Literal["ready", "draining", "down"] = "down"
    if leaving:
        state = "draining"
    elif replica.ready and (replica.name in routed or not facts.view.target.app.routes):
        state = "ready"
    return InstanceStatus(
        name=replica.name,
        container_id=kept.container_id,
        slot=kept.slot,
        address=kept.address or None,
        port=version_for(facts.view.app, replica.spec_hash).app.main_port,
        spec_hash=replica.spec_hash,
        state=state,
        phase=str(replica.phase),
        note=_note(facts, replica, routed),
        health=kept.health,
        restarts=kept.restart_count,
        vitals=Vitals(load.cpu_percent, load.memory_percent, facts.view.now if replica.container else None),
    )


def _note(facts: AppFacts, replica: Replica, routed: frozenset[str]) -> str:
    """Why this replica is, or is not, routed."""
    view, memory = facts.view, replica.memory
    if cause := facts.choice.retire.get(replica.name):
        return f"leaving: {cause}"
    if memory.backoff:
        return f"{memory.backoff.reason}: {memory.backoff.message}"
    own = version_for(view.app, replica.spec_hash).app
    if replica.phase is Phase.STARTING:
        check = own.health_check
        needed = check.success_threshold if check else 1
        seen = memory.health.tally.consecutive_successes
        last = f"; last answer: {memory.health.detail}" if memory.health.detail else ""
        return f"not ready yet: {seen} of {needed} successes{last}"
    if memory.health.verdict is Verdict.UNHEALTHY:
        return f"unhealthy: {memory.health.detail}"
    if replica.phase is Phase.UNREADY:
        return f"readiness fails: {memory.readiness.detail}"
    if replica.ready and own.routes and replica.name not in routed:
        return "ready, waiting for the route table"
    return ""


def blinded(status: AppStatus, message: str, now: float) -> AppStatus:
    """The last status again while the Engine can't be seen: health unknown, and why."""
    instances = tuple(
        replace(instance, health=replace(instance.health, verdict=Verdict.UNKNOWN)) for instance in status.instances
    )
    kept = tuple(c for c in status.conditions if c.type != "Degraded")
    before = next((c for c in status.conditions if c.type == "Degraded" and c.status), None)
    degraded = Condition("Degraded", True, "EngineUnreachable", message, before.since if before else now)
    return replace(status, instances=instances, conditions=(*kept, degraded), error=message)

"""What people are told about an app: its conditions, its counts, and where each replica stands.

Derived from the same view the actions came from, so that status and deeds can't disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Literal

from reconciler.decide import warnings
from reconciler.decide.app_decision import AppDecision, Served
from reconciler.decide.app_view import AppView
from reconciler.decide.degraded import DegradedReason, degraded_reasons
from reconciler.decide.phases import ENDING, RUNNING, Phase, Replica
from reconciler.decide.state.health import checks_of
from reconciler.decide.versions import version_for
from reconciler.decide.words import exit_words, route_text
from reconciler.model.certificates import ServedCertificate
from reconciler.model.health import Verdict
from reconciler.model.load import Loads, ReplicaLoad
from reconciler.model.reasons import Reason
from reconciler.model.replica_state import ReplicaState
from reconciler.model.spec import App
from reconciler.model.status import AppStatus, CertificateStatus, Condition, ReplicaStatus, Vitals
from reconciler.model.unrest import UNREST_SECONDS

_NO_LOAD = ReplicaLoad()
_WITHHELD = "answers badly while the Docker Engine can't be seen: no requests until it answers well"

# Whoever doesn't run can't be asked how they are: what they answered last says nothing of now.
_MUTE = frozenset(Phase) - RUNNING - ENDING

# Of a condition: whether it holds, its reason in one CamelCase word, and a message for people.
Standing = tuple[bool, Reason, str]


def describe(decision: AppDecision, served: Served, replicas: Mapping[str, ReplicaState], loads: Loads) -> AppStatus:
    """The status of one app. ``replicas`` are as remembered after the edge has answered."""
    view, routed = decision.view, served.routed
    worst = next(iter(degraded_reasons(decision, served)), None)
    shown = tuple(
        _replica(decision, r, replicas.get(r.name, r.state), routed, loads.replicas.get(r.name, _NO_LOAD))
        for r in view.in_slots
    )
    traffic = loads.apps[view.name].traffic if view.name in loads.apps else None
    return AppStatus(
        name=view.name,
        revision=view.target.revision,
        spec_hash=view.target.spec_hash,
        mode=view.scaling.mode,
        desired=0 if decision.leaving else view.count,
        current=sum(r.phase in RUNNING for r in view.existing),
        ready=sum(r.ready for r in view.existing),
        routed=sum(r.name in routed for r in view.existing),
        conditions=_conditions(decision, routed, worst),
        replicas=shown,
        routes=tuple(route_text(route) for route in view.target.app.routes),
        error="" if worst is None else "\n".join(filter(None, (worst.message, worst.details))),
        replaced=view.app.unrest.replaced_lately(view.now),
        restarted=view.app.unrest.restarted_lately(view.now),
        unrest=view.app.unrest.words(view.now),
        change=view.app.version.change,
        traffic=traffic,
        warnings=(*warnings.of_certificates(served.certificates), *warnings.of_errors(traffic, shown)),
        certificates=tuple(_certificate(each, served) for each in served.certificates),
    )


def blinded(status: AppStatus, message: str, withheld: AbstractSet[str], now: float) -> AppStatus:
    """The last status again while the Engine can't be seen: health unknown, and why; and which replicas are
    ``withheld`` from requests for what they answer meanwhile."""
    replicas = tuple(_blinded(replica, withheld) for replica in status.replicas)
    if away := ", ".join(replica.name for replica in status.replicas if replica.name in withheld):
        message = f"{message}; {away} answers badly meanwhile, and gets no requests until it answers well"
    degraded = _condition("Degraded", (True, Reason.ENGINE_UNREACHABLE, message), status.conditions, now)
    conditions = (*(c for c in status.conditions if c.type != "Degraded"), degraded)
    routed = (
        status.routed + sum(r.state == "ready" for r in replicas) - sum(r.state == "ready" for r in status.replicas)
    )
    return replace(status, replicas=replicas, conditions=conditions, error=message, routed=routed)


def _blinded(replica: ReplicaStatus, withheld: AbstractSet[str]) -> ReplicaStatus:
    health = replace(replica.health, verdict=Verdict.UNKNOWN)
    if replica.name in withheld:
        return replace(replica, health=health, state="down", note=_WITHHELD)
    if replica.note == _WITHHELD:
        return replace(replica, health=health, state="ready", note="")
    return replace(replica, health=health)


def _certificate(certificate: ServedCertificate, served: Served) -> CertificateStatus:
    routes = served.part.routes if served.part else ()
    own = (route for route in routes if route.tls and route.tls.secret == certificate.secret)
    return CertificateStatus(
        certificate.secret,
        tuple(dict.fromkeys(route.host or "*" for route in own)),
        certificate.not_before,
        certificate.not_after,
        certificate.standing,
    )


# -- conditions -----------------------------------------------------------------------------------------------------


def _conditions(decision: AppDecision, routed: frozenset[str], worst: DegradedReason | None) -> tuple[Condition, ...]:
    degraded = (True, worst.reason, worst.message) if worst else (False, Reason.AS_EXPECTED, "")
    before, now = decision.view.app.conditions, decision.view.now
    return (
        _condition("Ready", _readiness(decision, routed), before, now),
        _condition("Progressing", _progress(decision, routed), before, now),
        _condition("Degraded", degraded, before, now),
    )


def _condition(
    type_: Literal["Ready", "Progressing", "Degraded"], standing: Standing, before: Iterable[Condition], now: float
) -> Condition:
    """The condition with the time at which its status last changed."""
    status, reason, message = standing
    since = next((c.since for c in before if c.type == type_ and c.status == status), now)
    return Condition(type_, status, reason, message, since)


def _readiness(decision: AppDecision, routed: frozenset[str]) -> Standing:
    """Whether as many replicas serve as are wanted, of whichever version."""
    view = decision.view
    serving = sum(r.ready and _reached(view, r, routed) for r in view.existing)
    ready = serving >= view.count and not decision.leaving
    message = "; ".join(filter(None, (f"{serving} of {view.count} replicas ready", view.app.unrest.words(view.now))))
    if not ready and decision.steps.waits:
        message += f"; {decision.steps.waits[0].message}"
    return ready, Reason.REPLICAS_READY if ready else Reason.REPLICAS_NOT_READY, message


def _progress(decision: AppDecision, routed: frozenset[str]) -> Standing:
    view = decision.view
    waits = decision.steps.waits
    waiting = decision.handover or (waits[0].message if waits else "")
    if decision.leaving:
        return True, Reason.LEAVING, waiting or "acting"
    if view.suspended:
        return False, Reason.SUSPENDED, waiting
    if view.paused:
        return False, Reason.ROLLOUT_FAILED, waiting
    reached = all(_reached(view, r, routed) for r in view.available)
    if view.complete and view.app.rollout is None and reached and not decision.handover:
        return False, Reason.IDLE, "nothing to do"
    reason = Reason.ROLLING_OUT if view.app.rollout else Reason.ACTING if decision.steps.actions else Reason.WAITING
    return True, reason, waiting or "acting"


def _reached(view: AppView, replica: Replica, routed: frozenset[str]) -> bool:
    """Whether requests reach it, where the app has any."""
    return replica.name in routed or not view.target.app.routes


# -- replicas -------------------------------------------------------------------------------------------------------


def _replica(
    decision: AppDecision, replica: Replica, state: ReplicaState, routed: frozenset[str], load: ReplicaLoad
) -> ReplicaStatus:
    view, container = decision.view, replica.container
    own = version_for(view.app, replica.spec_hash).app
    return ReplicaStatus(
        name=replica.name,
        container_id=state.container_id,
        slot=state.slot,
        address=state.address or None,
        port=own.main_port,
        spec_hash=replica.spec_hash,
        state=_state(decision, replica, routed),
        phase=str(replica.phase),
        note=_note(decision, replica, own, routed),
        health=state.health if replica.phase not in _MUTE else replace(state.health, verdict=Verdict.UNKNOWN),
        restarts=state.restarts.total,
        vitals=Vitals(load.cpu_percent, load.memory_percent, view.now if container else None, load.traffic),
        last_restarted_at=state.restarts.last_at,
        engine_health=container.engine_health if container else "",
        revision=container.revision if container else "",
        image_id=container.image_id if container else "",
        created_at=container.created_at if container else None,
    )


def _state(decision: AppDecision, replica: Replica, routed: frozenset[str]) -> Literal["ready", "draining", "down"]:
    if replica.name in decision.reconciliation.retire or replica.phase in ENDING:
        return "draining"
    return "ready" if replica.ready and _reached(decision.view, replica, routed) else "down"


def _note(decision: AppDecision, replica: Replica, own: App, routed: frozenset[str]) -> str:
    """Why this replica is, or is not, routed."""
    state = replica.state
    if cause := decision.reconciliation.retire.get(replica.name):
        return f"leaving: {cause}"
    if state.ending and replica.phase in ENDING:
        return f"leaving: {state.ending.cause}"
    if replica.phase is Phase.REMAINS:
        return "runs no more, and could not be removed so far"
    if (backoff := state.restarts.backoff) and not replica.ready:
        return f"{backoff.reason}: {backoff.message}"
    ended = exit_words(state.exits.code, state.exits.out_of_memory)
    if replica.phase in (Phase.CRASHED, Phase.RESTARTING):
        return ended
    if replica.phase is Phase.STARTING:
        return _not_ready_yet(state, own) + (f"; it {ended}" if state.exits.out_of_memory else "")
    if replica.phase is Phase.UNHEALTHY:
        return f"unhealthy: {state.health.detail}" + (", but still routed" if replica.name in routed else "")
    if replica.phase is Phase.UNREADY:
        return f"readiness fails: {state.readiness.detail}"
    if replica.withheld and state.blind and replica.name not in routed:
        return f"no requests until it answers well: {state.blind.detail}, while the Docker Engine could not be seen"
    if replica.ready and own.routes and replica.name not in routed:
        return "ready, waiting for the route table"
    if replica.ready and state.exits.out_of_memory and _is_recent(state.restarts.last_at, decision.view.now):
        return f"restarted: it {ended}"
    return ""


def _is_recent(at: float | None, now: float) -> bool:
    return at is not None and now - at < UNREST_SECONDS


def _not_ready_yet(state: ReplicaState, own: App) -> str:
    for kind, check in checks_of(own).items():
        health = state.health_by(kind)
        if health.verdict is not Verdict.HEALTHY:
            what = "" if kind == "health" else " of its readiness"
            last = f"; last answer: {health.detail}" if health.detail else ""
            successes = health.tally.consecutive_successes
            return f"not ready yet: {successes} of {check.success_threshold} successes{what}{last}"
    return "not ready yet"

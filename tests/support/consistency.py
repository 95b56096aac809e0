"""Consistency: what no state may say, since the world can't be so.

Nothing in the controller asks: the transitions of `model.app_state` and `model.replica_state` keep it. Tests ask after
every tick, of every state that a story or chance leads to.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model.app_state import AppState
from reconciler.model.health import Health, Verdict
from reconciler.model.reasons import Reason
from reconciler.model.replica_state import ReplicaState
from reconciler.model.state import State


def inconsistencies(state: State) -> tuple[str, ...]:
    """What contradicts itself, in sentences; empty for a state that can be."""
    return (
        *(f"app {name}: {words}" for name, app in state.apps.items() for words in _of_app(name, app)),
        *(
            f"replica {name}: {words}"
            for name, replica in state.replicas.items()
            for words in _of_replica(name, replica)
        ),
        *(f"{name} is routed, and never entered traffic" for name in _unnoticed(state)),
    )


def _of_app(name: str, app: AppState) -> Iterable[str]:
    if name != app.name or app.version.name != name:
        yield f"is kept under another name than {app.name}, {app.version.name}"
    if app.rollout and app.rollout.canary_at is None and app.rollout.promoted:
        yield "its canary was promoted before it was in traffic"
    if app.failed and app.stable is None:
        yield "a version failed though there was none to return to"
    by_its_check = app.failed and app.failed.reason is Reason.CHECK_FAILED  # its containers are those of before
    if app.failed and app.stable and app.failed.spec_hash == app.stable.spec_hash and not by_its_check:
        yield "its stable version is the failed one"
    if app.count < 0:
        yield f"wants {app.count} replicas"


def _of_replica(name: str, replica: ReplicaState) -> Iterable[str]:
    if name != replica.name:
        yield f"is kept under another name than {replica.name}"
    if replica.ready_at is not None and not replica.container_id:
        yield "is ready without a container"
    if replica.ready_at is not None and replica.exits.ended_at is not None:
        yield "is ready and has ended"
    if replica.ready_at is not None and replica.disturbed_at is not None:
        yield "is ready and still disturbed"
    if replica.traffic.left_at is not None and not replica.traffic.entered:
        yield "left traffic it never was in"
    for check, health in (("health", replica.health), ("readiness", replica.readiness)):
        yield from (f"has {words} by its {check} check" for words in _of_health(health))


def _of_health(health: Health) -> Iterable[str]:
    if health.on_trust and health.verdict is Verdict.UNKNOWN:
        yield "a trusted verdict that is unknown"
    if health.consecutive_failures and health.tally.consecutive_successes:
        yield "failures and successes in a row at once"
    if health.tally.failures > health.tally.checks:
        yield "more failures than checks"


def _unnoticed(state: State) -> list[str]:
    """Replicas in the published table that the state does not know to be in traffic."""
    routed = state.published.table.routed_names()
    return [name for name in sorted(routed & state.replicas.keys()) if not state.replicas[name].traffic.entered]

"""Builders for what a tick hands to the store, so that a test names only what it is about. Times start at NOW."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.model.app_state import AppState
from reconciler.model.health import Health, Tally, Verdict
from reconciler.model.reasons import Reason
from reconciler.model.replica_state import ReplicaState
from reconciler.model.routes import AppRoutes, RouteTable, Server
from reconciler.model.scaling import Factor, ScalingDecision, ScalingState
from reconciler.model.spec import Route
from reconciler.model.state import Published, State
from reconciler.model.status import AppStatus, Condition, ReplicaStatus, Vitals
from reconciler.ports import Record
from tests.support.apps import version

NOW = 1_800_000_000.0


def replica_state(name: str = "web-1", **changes: Any) -> ReplicaState:
    app_name, _, slot = name.rpartition("-")
    healthy = Health(
        Verdict.HEALTHY,
        NOW,
        tally=Tally(checks=4, consecutive_successes=4, last_check_at=NOW, last_success_at=NOW),
    )
    made = ReplicaState(name, app_name, int(slot), f"c0ffee{name}", f"10.0.0.{int(slot) + 1}", "abc123", NOW, healthy)
    return replace(made, **changes)


def app_state(name: str = "web", **changes: Any) -> AppState:
    made = AppState(name, version(name), NOW, NOW, ScalingState(2))
    return replace(made, **changes)


def replica_status(name: str = "web-1", **changes: Any) -> ReplicaStatus:
    state = replica_state(name)
    made = ReplicaStatus(
        name=name,
        container_id=state.container_id,
        slot=state.slot,
        address=state.address,
        port=8080,
        spec_hash=state.spec_hash,
        state="ready",
        phase="ready",
        note="",
        health=state.health,
        vitals=Vitals(12.5, 30.0, NOW),
    )
    return replace(made, **changes)


def conditions(ready: bool = True, progressing: bool = False, degraded: str = "") -> tuple[Condition, ...]:
    reason = Reason.REPLICAS_READY if ready else Reason.REPLICAS_NOT_READY
    message = f"{2 if ready else 1} of 2 replicas ready"
    acting, wrong = Reason.ACTING if progressing else Reason.IDLE, Reason.UNHEALTHY if degraded else Reason.AS_EXPECTED
    return (
        Condition("Ready", ready, reason, message, NOW),
        Condition("Progressing", progressing, acting, "nothing to do", NOW),
        Condition("Degraded", bool(degraded), wrong, degraded, NOW),
    )


def app_status(name: str = "web", count: int = 2, **changes: Any) -> AppStatus:
    made = AppStatus(
        name=name,
        revision="1f2e3d4c5b6a79880123456789abcdef01234567",
        spec_hash="abc123",
        mode="manual",
        desired=count,
        current=count,
        ready=count,
        routed=count,
        conditions=conditions(),
        replicas=tuple(replica_status(f"{name}-{slot}") for slot in range(1, count + 1)),
        routes=(f"*/{name}",),
    )
    return replace(made, **changes)


def published(*names: str) -> Published:
    server = [Server(name, f"10.0.0.{int(name.rpartition('-')[2]) + 1}", 8080) for name in names]
    return Published(RouteTable((AppRoutes("web", (Route(path="/web"),), tuple(server)),)), "generation-7", NOW)


def decision(at: float = NOW, current: int = 2, target: int = 3, **changes: Any) -> ScalingDecision:
    made = ScalingDecision(
        at=at,
        current=current,
        target=target,
        raw=target,
        reason=f"scale out from {current} to {target}: cpu is at 121 % of its target",
        winner="cpu",
        factors=(Factor("cpu", 84.7, 70.0, 1.21, "%"), Factor("rps", 20.0, 50.0, 0.4, "per replica")),
        next_step="to scale out again, cpu has to pass 80 % of its target",
    )
    return replace(made, **changes)


def state(apps: int = 1, replicas: int = 2, **changes: Any) -> State:
    names = ["web", *(f"app-{number}" for number in range(2, apps + 1))][:apps]
    slots = range(1, replicas + 1)
    made = State(
        apps={name: app_state(name) for name in names},
        replicas={f"{name}-{slot}": replica_state(f"{name}-{slot}") for name in names for slot in slots},
        published=published("web-1", "web-2"),
        revision="1f2e3d4c5b6a79880123456789abcdef01234567",
        last_address="10.0.0.3",
    )
    return replace(made, **changes)


def record(at: float = NOW, apps: int = 1, replicas: int = 2, **changes: Any) -> Record:
    kept = state(apps, replicas)
    made = Record(
        at=at,
        state=kept,
        statuses={name: app_status(name, replicas) for name in kept.apps},
        notices=(),
        edge="nginx 1.22.1 (process), changes by reload",
        source="/srv/specs",
    )
    return replace(made, **changes)

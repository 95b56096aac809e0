"""What happens after the moment of ``state-0``: twenty minutes in which much of what is remembered comes to bear.

The same world, and the same mishaps, for whichever version goes on from the database; what it tells in its events is
compared with what version 1.0.0 told.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.reasons import Reason
from reconciler.model.state import State
from tests.support.stage import Stage, try_later
from tests.support.upgrade import NAME, Plain, desired, observed


def continued(state: State, moment: Plain) -> str:
    """The events, a line for each, and how each app stands in the end."""
    began_at = moment["now"]
    stage = _stage(state, moment)
    _minutes(stage)
    stage.desired = desired(f"{NAME}-next")
    _run(stage, 40)
    told = [f"{event.at - began_at:>4g} s  {event.app_name or '-':<9} {event.message}" for event in stage.events]
    for name, status in sorted(stage.statuses.items()):
        told.append(f"{name}: {status.ready} of {status.desired} ready, {status.routed} routed, {status.spec_hash}")
        told += [f"  {it.type}={it.status}: {it.reason}: {it.message}" for it in status.conditions]
        told += [f"  {it.name}: {it.state}, {it.phase}" for it in status.replicas]
    return "\n".join([*told, ""])


def _stage(state: State, moment: Plain) -> Stage:
    """The world as it was, with all that was wrong in it."""
    case = moment["decisions"]["at once"]
    look = observed(moment["seen"], case)
    stage = Stage(
        desired(case["specs"]),
        now=case["now"],
        state=state,
        containers={container.name: container for container in look.containers},
        foreign_addresses=look.inventory.foreign_addresses,
        loads=dict(look.loads.apps),
        version_loads=dict(look.loads.versions),
        capacity=look.inventory.capacity,
        failing={"lab-1-2": try_later(Reason.ENGINE_FAILED, "remove lab-1-2: device or resource busy")},
        refused={"feeds"},
        _ids=100,
    )
    stage.sicken("billing-1", "gallery-1")
    stage.sicken("lab-3-2", check="readiness")
    return stage


def _minutes(stage: Stage) -> None:
    """The crash loop goes on, then ends; the gallery gets well; more of what was there breaks; load comes and goes."""
    _run(stage, 30)
    stage.crash("reports-2", 1, "still no database")
    stage.failing.clear()
    stage.sicken("api-1")
    _run(stage, 8)
    _run(stage, 60, step=5)
    stage.crash("reports-1", 1)
    stage.restart("accounts-1", 1)
    stage.refused.clear()
    stage.heal()
    stage.sicken("billing-1")
    _run(stage, 20)
    _run(stage, 80, step=5)
    stage.sicken("api-3")
    stage.remove("billing-3")
    _run(stage, 30)
    _run(stage, 80, step=5)
    idle = {"cpu_percent": 5, "memory_percent": 5, "rps": 5, "connections": 1, "custom": {"queue-length": 1.0}}
    stage.loads["api"] = replace(stage.loads["api"], **idle)
    _run(stage, 700, step=10)


def _run(stage: Stage, seconds: int, step: int = 1) -> None:
    """So many seconds, with a tick in each, or in each ``step`` of them."""
    for _ in range(seconds // step):
        stage.tick(step)

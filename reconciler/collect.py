"""One complete observation, collected in one place for the tick and for `plan` alike.

What to look at is `decide.questions`' to say; here it is asked, in an order that leaves nothing out between two
answers. A side that can't be read is no error: what holds meanwhile stands in the observation. Only without the Engine
there is nothing to decide about but who gets requests: answers of probes made blindly say no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.decide.blanks import judged
from reconciler.decide.questions import Questions, last_desired, questions
from reconciler.executor import Executor
from reconciler.model.desired import Desired
from reconciler.model.load import Loads
from reconciler.model.observed import Blind, Inventory, Listener, Observed, Outage
from reconciler.model.scaling import Bounds
from reconciler.model.spec import App
from reconciler.model.state import State
from reconciler.ports import Edge, LoadMeter, Prober, Rejected, Runtime, Source, Unavailable
from reconciler.schedule import bounds_in_force


@dataclass(frozen=True, slots=True)
class Observers:
    """All that is asked for an observation. Of those but source and runtime each may be None, as for `plan`: what it
    would tell is unknown then. ``recover`` brings back what the runtime needs in order to see; whoever must touch
    nothing gives none."""

    source: Source
    runtime: Runtime
    recover: Callable[[], None] | None = None
    executor: Executor | None = None
    prober: Prober | None = None
    meter: LoadMeter | None = None
    edge: Edge | None = None


def collect(observers: Observers, state: State, now: float) -> Observed | Blind:
    """All that a decision needs to know of this moment."""
    desired, outages = _read(observers.source, state)
    asked = questions(desired, state, now)
    executor, prober = observers.executor, observers.prober
    # Collected before we look, so that what is seen includes what they did.
    outcomes = executor.collect() if executor else ()
    in_flight, queued = (executor.in_flight, executor.queued) if executor else ((), {})
    answers = prober.collect() if prober else ()
    samples = tuple(replace(sample, at=now) if sample.at > now else sample for sample in answers)
    with observers.runtime.looking():
        inventory = _inventory(observers)
        if isinstance(inventory, Outage):
            return Blind(now, desired, (*outages, inventory), samples)
        inventory = _with_logs(inventory, asked.logs, observers.runtime)
        callers = _callers(observers.runtime, asked.called)
    return Observed(
        at=now,
        desired=desired,
        inventory=inventory,
        samples=samples,
        in_flight=in_flight,
        queued=queued,
        outcomes=outcomes,
        loads=_loads(observers.meter, asked, inventory, now),
        open_requests=observers.edge.requests_left(asked.drained) if observers.edge and asked.drained else {},
        callers=callers,
        bounds=_scheduled(asked.apps, now),
        secrets=observers.runtime.secrets_of(asked.secret_users, now) if asked.secret_users else {},
        outages=outages,
    )


def _read(source: Source, state: State) -> tuple[Desired, tuple[Outage, ...]]:
    try:
        return judged(source.read(), state), ()
    except Unavailable as error:
        return last_desired(state), (Outage("source", str(error), "the last revision applied stays in force"),)


def _inventory(observers: Observers) -> Inventory | Outage:
    """The containers, or why they can't be seen."""
    try:
        try:
            return observers.runtime.inventory()
        except Unavailable:  # the network may be gone, or not be there yet
            if observers.recover is None:
                raise
            observers.recover()
            return observers.runtime.inventory()
    except (Unavailable, Rejected) as error:
        return Outage("engine", str(error), "nothing is changed until that is so no more")


def _with_logs(inventory: Inventory, container_ids: frozenset[str], runtime: Runtime) -> Inventory:
    """The inventory with the last log lines of containers that keep a rollout from going on. Unheard, they still fail
    it."""
    silent = [c.id for c in inventory.containers if c.id in container_ids and not c.last_log]
    try:
        logs = {container_id: runtime.log_of(container_id) for container_id in silent}
    except Unavailable:
        return inventory
    if not logs:
        return inventory
    containers = (replace(c, last_log=logs.get(c.id, c.last_log)) for c in inventory.containers)
    return replace(inventory, containers=tuple(containers))


def _callers(runtime: Runtime, called: Sequence[Listener]) -> Mapping[str, tuple[str, ...]]:
    """Who has connections open to these replicas. Unseen, they drain for as long as they may."""
    try:
        return runtime.callers_of(called) if called else {}
    except Unavailable:
        return {}


def _loads(meter: LoadMeter | None, asked: Questions, inventory: Inventory, now: float) -> Loads:
    return meter.read(asked.apps, inventory.containers, asked.measured, now) if meter else Loads()


def _scheduled(apps: Iterable[App], now: float) -> dict[str, Bounds]:
    """The bounds that schedules put in force, by app."""
    in_force = {app.name: bounds_in_force(app.scaling, now) for app in apps}
    return {name: bounds for name, bounds in in_force.items() if bounds is not None}

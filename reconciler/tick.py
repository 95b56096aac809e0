"""One pass, top to bottom: collect → decide → act → publish → conclude → record.

A tick waits for nothing and sleeps never. What it can't see it doesn't decide about: without the Engine nothing is
done but to keep requests from those that answer badly, without the source the last desired state holds, without the
edge the old routes (and so the old replicas) stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.collect import Observers, collect
from reconciler.decide.blind import conclude_blindly, decide_blindly, withheld
from reconciler.decide.outages import news
from reconciler.decide.plan import Conclusion, Decision, conclude, decide
from reconciler.decide.probes import blind_targets
from reconciler.decide.status import blinded
from reconciler.executor import Executor
from reconciler.model.events import Event
from reconciler.model.observed import SIDES, Blind, Observed, Outage
from reconciler.model.plan import DecisionSettings, Plan
from reconciler.model.routes import Publication, RouteTable
from reconciler.model.state import State
from reconciler.model.status import AppStatus
from reconciler.ports import Clock, Edge, LoadMeter, Prober, Record, Runtime, Source, Store, Unavailable
from reconciler.pulse import Pulse

# A configuration is tested, loaded and proven in this time as a rule; apps are looked after all the same.
NGINX_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside, as the loop knows it. ``pulse`` is told what it is at; ``state_disk`` tells of one that is
    full."""

    source: Source
    runtime: Runtime
    prober: Prober
    meter: LoadMeter
    edge: Edge
    store: Store
    executor: Executor
    clock: Clock
    settings: DecisionSettings
    source_name: str = ""
    branch: str | None = None
    path: str | None = None
    pulse: Pulse = field(default_factory=Pulse)
    state_disk: Callable[[], Outage | None] = lambda: None

    @property
    def observers(self) -> Observers:
        return Observers(
            self.source, self.runtime, self.runtime.prepare, self.executor, self.prober, self.meter, self.edge
        )


@dataclass(frozen=True, slots=True)
class TickResult:
    """What one tick hands to the next. ``outages`` are sides that could not be reached; ``unwritten`` are events that
    could not be recorded yet; ``branch`` is the one that the source was read from last."""

    state: State
    statuses: Mapping[str, AppStatus] = field(default_factory=dict)
    plan: Plan | None = None
    events: tuple[Event, ...] = ()
    outages: tuple[Outage, ...] = ()
    problems: tuple[str, ...] = ()
    unwritten: tuple[Event, ...] = ()
    branch: str = ""

    @property
    def converged(self) -> bool:
        """Whether everything asked for is so, and nothing is left to do."""
        plan = self.plan
        quiet = plan is not None and not plan.actions and not self.outages and not self.problems
        return quiet and all(status.converged for status in self.statuses.values())


def tick(world: World, last: TickResult, *, checkpoint: bool = False) -> TickResult:
    """One pass. Raises Unavailable only for the store, and then nothing was done: without a record nothing may be."""
    world.pulse.at("waiting for the Docker Engine")
    observed = collect(world.observers, last.state, world.clock.now())
    if isinstance(observed, Blind):
        return _blind(world, last, observed, checkpoint=checkpoint)
    world.pulse.at("deciding what to do")
    decision = decide(observed, last.state, world.settings)
    recorded = _act(world, last, observed, decision)
    world.pulse.at("waiting for nginx", NGINX_SECONDS)
    publication, unpublished = _publish(world.edge, decision.plan.routes)
    # From the moment of the proof, which may have taken its time, replicas drain.
    conclusion = conclude(decision, publication, world.clock.now())
    outages = (*observed.outages, *unpublished, *_full_disk(world))
    changed = news(conclusion.state, (*outages, *_out_of_date(observed)), observed.at)
    result = TickResult(
        changed.state,
        conclusion.statuses,
        decision.plan,
        (*decision.plan.events, *conclusion.events, *changed.ended),
        outages,
        tuple(str(problem) for problem in observed.desired.problems),
        branch=last.branch if any(outage.side == "source" for outage in observed.outages) else observed.desired.branch,
    )
    concluded = replace(conclusion, events=(*conclusion.events, *changed.begun, *changed.ended))
    return _record(world, result, observed, concluded, recorded, checkpoint=checkpoint)


def _out_of_date(observed: Observed) -> tuple[Outage, ...]:
    """The outage of a source whose last good reading stands in for it."""
    why = observed.desired.unfetched
    return (Outage("source", why, "the last revision fetched stays in force"),) if why else ()


def unstored(last: TickResult, error: Unavailable, now: float) -> TickResult:
    """The result of a tick that could not be recorded: what was so before, and that the database is out of reach."""
    outage = Outage("store", str(error), "nothing is done until it can be")
    changed = news(last.state, (outage,), now, unseen=tuple(SIDES))
    others = tuple(other for other in last.outages if other.side != "store")
    return replace(last, state=changed.state, outages=(*others, outage), unwritten=(*last.unwritten, *changed.begun))


def _act(world: World, last: TickResult, observed: Observed, decision: Decision) -> Record | None:
    """Begin what was decided. Returns what is still to be recorded of it, None where that was done before.

    Intent before the deed, be it an action or a publication: a crash in between is repaired by the next tick.
    """
    plan = decision.plan
    events = (*last.unwritten, *plan.events)
    intents = Record(observed.at, plan.state, last.statuses, events, plan.actions, observed.outcomes)
    acting = bool(plan.actions) or plan.routes != last.state.published.table
    if acting:
        world.pulse.at("waiting for the database")
        world.store.save(intents)
        world.executor.acknowledge()
        world.executor.submit(plan.actions, plan.urgent)
    world.prober.watch(plan.probes)
    return None if acting else intents


def _publish(edge: Edge, table: RouteTable) -> tuple[Publication | None, tuple[Outage, ...]]:
    try:
        return edge.publish(table), ()
    except Unavailable as error:
        return None, (Outage("edge", str(error), "the routes published before stay"),)


def _record(
    world: World,
    result: TickResult,
    observed: Observed,
    concluded: Conclusion,
    unrecorded: Record | None,
    *,
    checkpoint: bool,
) -> TickResult:
    """Keep all that became of the tick: one transaction, and none where nothing changed."""
    assert result.plan is not None
    # Measuring alone is no reason to write: samples wait for the next checkpoint.
    samples = observed.loads.samples if checkpoint else ()
    record = Record(
        at=observed.at,
        state=result.state,
        statuses=result.statuses,
        events=(*(unrecorded.events if unrecorded else ()), *concluded.events),
        outcomes=unrecorded.outcomes if unrecorded else (),
        notices=(*map(str, result.outages), *result.plan.notices, *concluded.notices, *observed.loads.notices),
        samples=samples,
        edge=world.edge.describe(),
        source=world.source_name,
        branch=world.branch or result.branch or None,
        path=world.path,
    )
    world.pulse.at("waiting for the database")
    try:
        world.store.save(record, checkpoint=checkpoint)
    except Unavailable as error:
        if unrecorded is not None:
            raise
        # What was done is done, and nobody but us knows of it until it can be written.
        return unstored(replace(result, unwritten=record.events), error, observed.at)
    world.executor.acknowledge()
    if samples:
        world.meter.recorded(samples)
    return result


def _blind(world: World, last: TickResult, blind: Blind, *, checkpoint: bool) -> TickResult:
    """The result of a tick that could not see: replicas are unknown, not unhealthy, and nothing is done but that those
    which answer badly get no requests meanwhile."""
    state, happened, unpublished = _route_blindly(world, last, blind)
    outages = (*blind.outages, *unpublished, *_full_disk(world))
    changed = news(state, outages, blind.at, unseen=["edge"])
    why, away = str(blind.outages[-1]), withheld(state)
    statuses = {name: blinded(status, why, away, blind.at) for name, status in last.statuses.items()}
    record = Record(
        blind.at,
        replace(changed.state, problems=blind.desired.problems),
        statuses,
        (*last.unwritten, *happened, *changed.begun, *changed.ended),
        notices=tuple(map(str, outages)),
        edge=world.edge.describe(),
    )
    world.pulse.at("waiting for the database")
    world.store.save(record, checkpoint=checkpoint)
    return replace(
        last,
        state=changed.state,
        statuses=statuses,
        plan=None,
        events=(*happened, *changed.ended),
        outages=outages,
        unwritten=(),
    )


def _route_blindly(world: World, last: TickResult, blind: Blind) -> tuple[State, tuple[Event, ...], tuple[Outage, ...]]:
    """The state once the edge was told who gets requests, what happened, and whether the edge is out of reach. Where
    nobody comes or goes it isn't asked."""
    world.prober.watch(blind_targets(last.state))  # a controller that was started meanwhile asks nobody yet
    decision = decide_blindly(blind, last.state)
    if decision.table == last.state.published.table:
        return decision.state, decision.events, ()
    world.pulse.at("waiting for the database")
    world.store.save(Record(blind.at, decision.state, last.statuses))  # intent before the deed
    world.pulse.at("waiting for nginx", NGINX_SECONDS)
    publication, unpublished = _publish(world.edge, decision.table)
    if publication is None:
        return decision.state, decision.events, unpublished
    return *conclude_blindly(decision, publication, blind.at), ()


def _full_disk(world: World) -> tuple[Outage, ...]:
    outage = world.state_disk()
    return () if outage is None else (outage,)

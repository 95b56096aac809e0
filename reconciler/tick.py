"""One pass, top to bottom: source → observe → decide → act → publish → record.

A tick waits for nothing and sleeps never. What it can't see it doesn't decide about: without the Engine nothing is
done at all, without the source the last desired state holds, without the edge the old routes (and so the old
replicas) stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.decide.plan import conclude, decide
from reconciler.decide.rollout.failure import overdue
from reconciler.decide.state.apps import last_desired
from reconciler.decide.state.images import unsure
from reconciler.decide.status import blinded
from reconciler.executor import Executor
from reconciler.model.desired import Desired
from reconciler.model.events import Event
from reconciler.model.observed import Observed
from reconciler.model.plan import DecisionSettings, Plan
from reconciler.model.routes import Publication, RouteTable
from reconciler.model.scaling import Bounds
from reconciler.model.spec import App
from reconciler.model.state import State
from reconciler.model.status import AppStatus
from reconciler.ports import Clock, Edge, LoadMeter, Prober, Record, Rejected, Runtime, Source, Store, Unavailable
from reconciler.schedule import bounds_in_force


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside, as the loop knows it."""

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


@dataclass(frozen=True, slots=True)
class TickResult:
    """What one tick hands to the next. ``trouble`` are sides that could not be reached, in words for people;
    ``unwritten`` are events that could not be recorded yet."""

    state: State
    statuses: Mapping[str, AppStatus] = field(default_factory=dict)
    plan: Plan | None = None
    events: tuple[Event, ...] = ()
    trouble: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    unwritten: tuple[Event, ...] = ()

    @property
    def converged(self) -> bool:
        """Everything asked for is so, and nothing is left to do."""
        plan = self.plan
        quiet = plan is not None and not plan.actions and not self.trouble and not self.problems
        return quiet and all(status.converged for status in self.statuses.values())


def tick(world: World, last: TickResult, *, checkpoint: bool = False) -> TickResult:
    """One pass. Raises Unavailable only for the store, and then nothing was done: without a record nothing may be."""
    now = world.clock.now()
    desired, trouble = _read(world.source, last.state)
    # Collected before we look, so that what is seen includes what they did.
    outcomes, in_flight = world.executor.collect(), world.executor.in_flight
    observed = _observe(world, desired, last.state, now)
    if isinstance(observed, str):
        return _blind(world, last, desired, (*trouble, observed), now, checkpoint=checkpoint)
    apps = known_apps(desired, last.state)
    loads = world.meter.read(apps, observed.containers, _in_service(last.state), now)
    observed = replace(
        observed,
        outcomes=outcomes,
        in_flight=in_flight,
        loads=loads.apps,
        replica_loads=loads.replicas,
        version_loads=loads.versions,
        bounds=scheduled(apps, now),
    )
    # Measuring alone is no reason to write: samples wait for the next checkpoint.
    samples = loads.samples if checkpoint else ()
    decision = decide(desired, observed, last.state, now, world.settings)
    plan = decision.plan
    news = Record(now, plan.state, last.statuses, (*last.unwritten, *plan.events), plan.actions, outcomes)
    # Intent before the deed, be it an action or a publication: a crash in between is repaired by the next tick.
    acting = bool(plan.actions) or plan.routes != last.state.published.table
    if acting:
        world.store.save(news)
        world.executor.acknowledge()
        news = Record(now, plan.state, last.statuses)
        world.executor.submit(plan.actions)
    world.prober.watch(plan.probes)
    # From the moment of the proof, which may have taken its time, replicas drain.
    publication, refused = _publish(world.edge, plan.routes)
    trouble += refused
    state, statuses, published = conclude(decision, publication, observed, world.clock.now())
    record = replace(
        news,
        state=state,
        statuses=statuses,
        events=(*news.events, *published),
        intents=(),
        notices=(*trouble, *plan.notices, *loads.notices),
        problems=desired.problems,
        samples=samples,
        edge=world.edge.describe(),
        source=world.source_name,
    )
    problems = tuple(str(problem) for problem in desired.problems)
    after = TickResult(state, statuses, plan, (*plan.events, *published), trouble, problems)
    try:
        world.store.save(record, checkpoint=checkpoint)
    except Unavailable as error:
        if not acting:
            raise
        # What was done is done, and nobody but us knows of it until it can be written.
        return replace(after, trouble=(*trouble, f"store: {error}"), unwritten=record.events)
    world.executor.acknowledge()
    if samples:
        world.meter.recorded(samples)
    return after


def _read(source: Source, state: State) -> tuple[Desired, tuple[str, ...]]:
    try:
        return source.read(), ()
    except Unavailable as error:
        return last_desired(state), (f"source: {error}; the last revision applied stays in force",)


def _observe(world: World, desired: Desired, state: State, now: float) -> Observed | str:
    """What is seen now, or why nothing can be seen. Answers of probes made blindly are thrown away."""
    samples = world.prober.collect()
    try:
        seen = world.runtime.observe(now)
    except Unavailable:  # the network may be gone, or not be there yet
        try:
            world.runtime.prepare()
            seen = world.runtime.observe(now)
        except (Unavailable, Rejected) as error:
            return f"engine: {error}; nothing is changed until that is so no more"
    drained = _drained(state)
    open_requests = world.edge.requests_left(drained) if drained else {}
    seen = with_images(_with_logs(seen, state, world.runtime), desired, state, world.runtime)
    return replace(seen, samples=samples, open_requests=open_requests)


def with_images(seen: Observed, desired: Desired, state: State, runtime: Runtime) -> Observed:
    """Which images are there already, of those that may have to be pulled."""
    wanted = unsure(desired, state.apps)
    try:
        return replace(seen, images=runtime.present(wanted)) if wanted else seen
    except Unavailable:
        return seen


def _with_logs(seen: Observed, state: State, runtime: Runtime) -> Observed:
    """What those that keep a rollout from going on have to say. Unheard, they still fail it."""
    late = overdue(state, seen.at)
    try:
        logs = {c.id: runtime.log_of(c.id) for c in seen.containers if c.id in late and not c.last_log}
    except Unavailable:
        return seen
    if not logs:
        return seen
    return replace(seen, containers=tuple(replace(c, last_log=logs.get(c.id, c.last_log)) for c in seen.containers))


def _in_service(state: State) -> list[str]:
    """The replicas that an app's measurements are about."""
    return [name for name, replica in state.replicas.items() if replica.in_service]


def known_apps(desired: Desired, state: State) -> list[App]:
    """All apps that there are: also those whose file is broken now, or absent, by their last good spec."""
    versions = {name: app.version for name, app in state.apps.items()} | dict(desired.apps)
    return [version.app for version in versions.values()]


def scheduled(apps: Iterable[App], now: float) -> dict[str, Bounds]:
    """The bounds that schedules put in force, by app."""
    found = {app.name: bounds_in_force(app.scaling, now) for app in apps}
    return {name: bounds for name, bounds in found.items() if bounds is not None}


def _drained(state: State) -> frozenset[str]:
    """The addresses that a proven route table has left out: only for those is the edge asked what is in flight."""
    return frozenset(it.address for it in state.replicas.values() if it.address and it.unrouted_at is not None)


def _publish(edge: Edge, table: RouteTable) -> tuple[Publication | None, tuple[str, ...]]:
    try:
        return edge.publish(table), ()
    except Unavailable as error:
        return None, (f"edge: {error}; the routes published before stay",)


def _blind(
    world: World, last: TickResult, desired: Desired, trouble: tuple[str, ...], now: float, *, checkpoint: bool
) -> TickResult:
    """A tick that could not see: replicas are unknown, not unhealthy, and nothing is done."""
    statuses = {name: blinded(status, trouble[-1], now) for name, status in last.statuses.items()}
    record = Record(now, last.state, statuses, notices=trouble, problems=desired.problems, edge=world.edge.describe())
    world.store.save(record, checkpoint=checkpoint)
    return replace(last, statuses=statuses, plan=None, events=(), trouble=trouble)

"""The world a simulated controller lives in: everything but the controller, and it outlives each of them.

The Engine is the fake that the runtime's contract suite holds to the real one; beside it are an edge, probes, a source
and a store in memory. They fail as `fate` has it: before taking effect, or after it. What they check for themselves are
the promises that hold whatever happens: nothing that is being served is stopped, and nothing foreign is touched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from reconciler.executor import Executor
from reconciler.model.actions import Action, RemoveReplica
from reconciler.model.desired import Desired
from reconciler.model.load import Loads, LoadSample, VersionLoad
from reconciler.model.observed import Container, ProbeSample
from reconciler.model.plan import ProbeTarget
from reconciler.model.routes import Publication, Refusal, RouteTable
from reconciler.model.spec import App
from reconciler.model.state import State
from reconciler.ports import Record, Unavailable
from reconciler.store import codec
from tests.fakes.engine import FakeEngine, refusal
from tests.fakes.runtime import FakeRuntime
from tests.simulation.fate import Fate, Killed

APP = "orchestry.app"


class FaultyEngine(FakeEngine):
    """Calls that change something may fail before they do anything, or after."""

    def __init__(self, fate: Fate) -> None:
        super().__init__(1_700_000_000.0)
        self.fate = fate

    def create(self, body: dict[str, Any], name: str) -> str:
        self._before("create")
        created = super().create(body, name)
        self._after("create")
        return created

    def start(self, container: str) -> None:
        self._before("start")
        super().start(container)
        self._after("start")

    def remove_container(self, container: str, *, v: bool = False, force: bool = False) -> None:
        self._before("remove")
        super().remove_container(container, v=v, force=force)
        self._after("remove")

    def update_container(self, container: str, *, restart_policy: dict[str, Any]) -> dict[str, Any]:
        self._before("update")
        return super().update_container(container, restart_policy=restart_policy)

    def vanish(self, name: str) -> None:
        """Somebody removes it by hand, whatever fate has in store for the controller's own calls."""
        FakeEngine.remove_container(self, self.named(name).id, force=True)

    def ours(self, app_name: str | None = None) -> list[Any]:
        """Containers that carry our labels."""
        labelled = [c for c in self.containers_by_id.values() if APP in c.config["Labels"]]
        return [c for c in labelled if app_name in (None, c.config["Labels"][APP])]

    def _before(self, call: str) -> None:
        self.fate.may_kill(f"before {call}")
        if self.fate.strikes("engine stumbles"):
            raise refusal(500, f"{call}: something went wrong")
        if self.fate.strikes("engine hangs up"):
            raise ConnectionResetError("the fake Engine hung up")

    def _after(self, call: str) -> None:
        self.fate.may_kill(f"after {call}")
        if self.fate.strikes("engine answers too late"):
            raise TimeoutError(f"the fake Engine did it and did not say so: {call}")


class SimulatedClock:
    """The machine's clock: the Engine's time, plus whatever people did to it."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.offset_seconds = 0.0

    def now(self) -> float:
        return self._engine.now + self.offset_seconds


class SimulatedRuntime(FakeRuntime):
    """The product's runtime. Time passes only by the simulation; removals are held against what the edge serves."""

    def __init__(self, engine: FaultyEngine, edge: SimulatedEdge) -> None:
        super().__init__(engine)
        self._edge = edge

    def perform(self, action: Action) -> None:
        if isinstance(action, RemoveReplica):
            self._edge.check_removal(action)
        super().perform(action)


class SimulatedEdge:
    """What nginx serves, whoever controls it. ``down``: can't be reached; ``refuses``: apps it won't take."""

    def __init__(self, fate: Fate, engine: FaultyEngine) -> None:
        self.fate = fate
        self.engine = engine
        self.served = RouteTable()
        self.down = False
        self.refuses: frozenset[str] = frozenset()
        self.tells_open_requests = False
        self._left_at: dict[str, float] = {}
        self._generation = 0

    def publish(self, table: RouteTable) -> Publication:
        self.fate.may_kill("before publishing")
        if self.down or self.fate.strikes("edge stumbles"):
            raise Unavailable("the simulated nginx does not answer")
        kept = tuple(app for app in self.served.apps if app.app_name in self.refuses)
        taken = tuple(app for app in table.apps if app.app_name not in self.refuses)
        served = RouteTable(tuple(sorted((*kept, *taken), key=lambda app: app.app_name)))
        refused = sorted(self.refuses & {app.app_name for app in table.apps})
        how = "unchanged" if served == self.served else "reloaded"
        self._serve(served)
        self.fate.may_kill("after publishing")
        refusals = tuple(Refusal(name, "unknown directive") for name in refused)
        return Publication(served, f"g{self._generation}", how, refusals)

    def requests_left(self, addresses: Collection[str]) -> Mapping[str, int]:
        if not self.tells_open_requests:
            return {}
        return {address: self.fate.chance.choice([0, 0, 3]) for address in sorted(addresses)}

    def describe(self) -> str:
        return "a simulated nginx"

    def close(self) -> None:
        """It goes on serving."""

    def check_removal(self, action: RemoveReplica) -> None:
        """What the controller is about to stop gets no requests, and has had its time to finish those it had."""
        left_at, now = self._left_at.get(action.container_id), self.engine.now
        container = self.engine.containers_by_id.get(action.container_id)
        served = {(s.name, s.address) for app in self.served.apps for s in app.servers if not s.draining}
        address = container and container.endpoint["IPAMConfig"]["IPv4Address"]
        assert (action.name, address) not in served, f"{action.name} is being served, and would be removed"
        if left_at is None or container is None or container.state != "running" or self.tells_open_requests:
            return
        if container.started_at and container.started_at >= left_at:
            return  # It ended since, and whatever it was answering with it.
        assert now - left_at >= action.grace_seconds - 1e-6, f"{action.name} had {now - left_at:g} s to drain"

    def forget_times(self) -> None:
        """The clock was set: how long somebody has been draining can't be told any more."""
        self._left_at.clear()

    def _serve(self, table: RouteTable) -> None:
        if table != self.served:
            self._generation += 1
            self.fate.tell(f"served: {', '.join(sorted(table.routed_names())) or 'nobody'}")
        ids = {container.name: container.id for container in self.engine.ours()}
        for name in self.served.routed_names() - table.routed_names():
            if name in ids:
                self._left_at[ids[name]] = self.engine.now
        for name in table.routed_names():
            self._left_at.pop(ids.get(name, ""), None)
        self.served = table


class SimulatedProber:
    """Asks every container that is due once per collection. ``sick`` are containers, ``broken`` images that fail."""

    def __init__(self, engine: FaultyEngine, clock: SimulatedClock, sick: set[str], broken: set[str]) -> None:
        self._engine = engine
        self._clock = clock
        self._sick = sick
        self._broken = broken
        self._targets: tuple[ProbeTarget, ...] = ()
        self._asked_at: dict[tuple[str, str], float] = {}

    def watch(self, targets: Sequence[ProbeTarget]) -> None:
        self._targets = tuple(targets)

    def collect(self) -> tuple[ProbeSample, ...]:
        return tuple(self._ask(target) for target in self._targets if self._due(target))

    def close(self) -> None:
        """Nothing goes on."""

    def _due(self, target: ProbeTarget) -> bool:
        asked_at = self._asked_at.get((target.container_id, target.kind))
        if self._clock.now() < target.first_at:
            return False
        return target.quick or asked_at is None or self._engine.now - asked_at >= target.check.period_seconds

    def _ask(self, target: ProbeTarget) -> ProbeSample:
        self._asked_at[target.container_id, target.kind] = self._engine.now
        container = self._engine.containers_by_id.get(target.container_id)
        reached = container is not None and container.state == "running" and container.address == target.address
        well = reached and container.id not in self._sick and container.config["Image"] not in self._broken
        detail = "" if well else "answered 503" if reached else "connection refused"
        return ProbeSample(target.container_id, target.kind, self._clock.now(), bool(well), detail)


class SimulatedMeter:
    """Both versions of whatever is compared serve many requests, and serve them alike."""

    def read(self, apps: Sequence[App], containers: Sequence[Container], healthy: Collection[str], now: float) -> Loads:
        load = VersionLoad(requests=1000, error_rate=0.0, p95_latency_ms=10.0, window_seconds=60.0)
        return Loads(versions={(c.app_name, c.spec_hash): load for c in containers})

    def recorded(self, samples: Sequence[LoadSample]) -> None:
        """There are none."""

    def close(self) -> None:
        """Nothing goes on."""


@dataclass
class SimulatedSource:
    """What is asked for; it can't be read as fate has it."""

    fate: Fate
    desired: Desired

    def read(self) -> Desired:
        if self.fate.strikes("source can't be read"):
            raise Unavailable("the simulated remote does not answer")
        return self.desired

    def close(self) -> None:
        """Nothing goes on."""


class SimulatedStore:
    """What was saved last survives; through the product's own codec, so that nothing survives which couldn't."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.state = State()

    def load(self) -> State:
        state = self.state
        return replace(
            state,
            apps={name: codec.APP_STATE.decode(codec.APP_STATE.encode(one)) for name, one in state.apps.items()},
            replicas={
                name: codec.REPLICA_STATE.decode(codec.REPLICA_STATE.encode(one))
                for name, one in state.replicas.items()
            },
            published=codec.PUBLISHED.decode(codec.PUBLISHED.encode(state.published)),
        )

    def save(self, record: Record, *, checkpoint: bool = False) -> None:
        self.fate.may_kill("before saving")
        if self.fate.strikes("store can't be written"):
            raise Unavailable("the simulated database is away")
        self.state = record.state
        self.fate.may_kill("after saving")

    def close(self) -> None:
        """What was saved stays."""


class SteppedPool:
    """Stands in for the executor's threads: what was submitted runs when the simulation says so."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Future[Any], Any, tuple[Any, ...]]] = []

    def submit(self, call: Any, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, call, args))
        return future

    def run(self, fate: Fate, likelihood: float) -> None:
        """Run each of those waiting with this likelihood, in any order. Raises Killed."""
        waiting, self._waiting = self._waiting, []
        fate.chance.shuffle(waiting)
        while waiting:
            future, call, args = waiting.pop()
            if fate.chance.random() >= likelihood:
                self._waiting.append((future, call, args))
                continue
            try:
                future.set_result(call(*args))
            except Killed:
                raise
            except Exception as error:  # noqa: BLE001 - as a pool does: it surfaces where the future is asked
                future.set_exception(error)


class SteppedExecutor(Executor):
    """The product's executor, without threads."""

    def __init__(self, runtime: SimulatedRuntime, clock: SimulatedClock) -> None:
        super().__init__(runtime, clock, wake=lambda: None, wake_at_once=lambda: None, concurrency=1)
        self.pool = SteppedPool()
        self._quick = self._slow = self.pool  # type: ignore[assignment]

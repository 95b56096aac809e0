"""The world a simulated controller lives in: everything but the controller, and it outlives each of them.

The Engine is the fake that the runtime's contract suite holds to the real one; beside it are an edge, probes, a meter,
a source and a store in memory. They fail as the fault injector has it, before taking effect or after it, and tell the
witness what they were asked to do, which alone decides whether a promise was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from docker.errors import APIError

from reconciler.executor import Executor
from reconciler.model.actions import Action
from reconciler.model.desired import Desired
from reconciler.model.load import Loads, LoadSample, VersionLoad
from reconciler.model.observed import Container, ProbeSample
from reconciler.model.plan import ProbeTarget
from reconciler.model.recorded import SignOfLife
from reconciler.model.routes import Publication, Refusal, RouteTable
from reconciler.model.spec import App
from reconciler.model.state import State
from reconciler.ports import Record, Unavailable
from reconciler.store import codec
from tests.fakes.engine import FakeContainer, FakeEngine, refusal
from tests.fakes.runtime import FakeRuntime
from tests.scenarios.faults import FaultInjector
from tests.scenarios.witness import Witness

# When an action begins is the simulation's to say.
_EVERY_ACTION = 1_000_000


class EngineLine:
    """The Engine as the controller reaches it. People reach it without, so that only the controller's calls fail.

    ``on_behalf_of`` names the app that the calls are for.
    """

    def __init__(self, engine: FakeEngine, faults: FaultInjector, witness: Witness) -> None:
        self.engine = engine
        self.on_behalf_of = ""
        self._faults = faults
        self._witness = witness

    def __getattr__(self, name: str) -> Any:
        if name not in ("subscribe", "unsubscribe"):
            self._reach()
        return getattr(self.engine, name)

    def containers(self, **options: Any) -> list[dict[str, Any]]:
        if self._faults.strikes("engine can't be seen"):
            raise TimeoutError("the fake Engine is overloaded")
        self._reach()
        self._witness.saw()
        return self.engine.containers(**options)

    def pull(self, repository: str, **options: Any) -> Iterator[dict[str, Any]]:
        with self._change("pull"):
            return self.engine.pull(repository, **options)

    def create(self, body: dict[str, Any], name: str) -> str:
        with self._change("create"):
            return self.engine.create(body, name)

    def start(self, container: str) -> None:
        self._witness.touched(self._container(container))
        with self._change("start"):
            self.engine.start(container)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        self._witness.ended(self._container(container))
        with self._change("kill"):
            self._witness.signalled(self._container(container), signal)
            self.engine.kill(container, signal)

    def remove_container(self, container: str, *, v: bool = False, force: bool = False) -> None:
        if (found := self._container(container)) and found.state in ("running", "paused"):
            self._witness.ended(found)
        with self._change("remove"):
            self.engine.remove_container(container, v=v, force=force)

    def update_container(self, container: str, *, restart_policy: dict[str, Any]) -> dict[str, Any]:
        self._witness.touched(self._container(container))
        with self._change("update"):
            return self.engine.update_container(container, restart_policy=restart_policy)

    @contextmanager
    def _change(self, call: str) -> Iterator[None]:
        """A call that changes something: it may fail before it does anything, or after."""
        self._faults.may_kill(f"before {call}")
        try:
            self._reach()
            if self._faults.strikes("engine stumbles"):
                raise refusal(500, f"{call}: something went wrong")
            if self._faults.strikes("engine hangs up"):
                raise ConnectionResetError("the fake Engine hung up")
            yield
            self._faults.may_kill(f"after {call}")
            if self._faults.strikes("engine answers too late"):
                raise TimeoutError(f"the fake Engine did it and did not say so: {call}")
        except (APIError, OSError) as error:
            self._witness.failed(self.on_behalf_of, refused=isinstance(error, APIError) and error.status_code == 400)
            raise

    def _reach(self) -> None:
        if "engine" in self._faults.gone:
            raise ConnectionRefusedError("the fake Engine is switched off")

    def _container(self, reference: str) -> FakeContainer | None:
        return self.engine.containers_by_id.get(reference)


class SimulatedRuntime(FakeRuntime):
    """The product's runtime. Time passes only by the simulation."""

    def __init__(self, line: EngineLine) -> None:
        self._line = line
        super().__init__(cast(FakeEngine, line))

    def cut_off(self) -> None:
        """The stream of events was broken: some may be missing."""
        self._deaths.missed()

    def perform(self, action: Action) -> None:
        self._line.on_behalf_of = action.app_name
        super().perform(action)


class SimulatedClock:
    """The machine's clock: the Engine's time, plus whatever people did to it."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.offset_seconds = 0.0

    def now(self) -> float:
        return self._engine.now + self.offset_seconds


class SimulatedEdge:
    """What nginx serves, whoever controls it. ``refuses`` are apps whose changes it won't take; ``requests`` are in
    flight at every address it is asked about, None where it can't tell."""

    def __init__(self, faults: FaultInjector, witness: Witness) -> None:
        self.served = RouteTable()
        self.refuses: set[str] = set()
        self.requests: int | None = None
        self.generation = 0
        self._faults = faults
        self._witness = witness

    def publish(self, table: RouteTable) -> Publication:
        self._faults.may_kill("before publishing")
        if "edge" in self._faults.gone or self._faults.strikes("edge stumbles"):
            raise Unavailable("the simulated nginx does not answer")
        served = self._accepted(table)
        how = "unchanged" if served == self.served else "reloaded"
        if served != self.served:
            self.generation += 1
            self._witness.served(self.served, served)
            self.served = served
        self._witness.proven()
        self._faults.may_kill("after publishing")
        refused = sorted(self.refuses & {app.app_name for app in table.apps})
        refusals = tuple(Refusal(name, "unknown directive") for name in refused)
        return Publication(served, f"g{self.generation}", how, refusals)

    def requests_left(self, addresses: Collection[str]) -> Mapping[str, int]:
        if self.requests is None:
            return {}
        self._witness.counted(addresses, self.requests)
        return dict.fromkeys(addresses, self.requests)

    def describe(self) -> str:
        return "a simulated nginx"

    def close(self) -> None:
        """It goes on serving."""

    def _accepted(self, table: RouteTable) -> RouteTable:
        """What is refused stays as it was, with the replicas of now, as the real edge has it."""
        before = {app.app_name: app for app in self.served.apps}
        kept = (
            replace(before[a.app_name], servers=a.servers) if a.app_name in self.refuses else a
            for a in table.apps
            if a.app_name not in self.refuses or a.app_name in before
        )
        return RouteTable(tuple(kept))


class SimulatedProber:
    """Asks every container that is due once per collection; asked again at the same moment, it says the same.

    ``sick`` are containers and the check that they fail, ``broken`` images that fail every check, and ``slow`` ones
    that do so for some seconds after their start.
    """

    def __init__(self, engine: FakeEngine, clock: SimulatedClock, witness: Witness) -> None:
        self.sick: set[tuple[str, str]] = set()
        self.broken: set[str] = set()
        self.slow: dict[str, float] = {}
        self._engine = engine
        self._clock = clock
        self._witness = witness
        self.begin_anew()

    def begin_anew(self) -> None:
        """Another controller is alive."""
        self._targets: tuple[ProbeTarget, ...] = ()
        self._asked_at: dict[tuple[str, str], float] = {}
        self._answers: tuple[float, tuple[ProbeSample, ...]] = (0.0, ())

    def watch(self, targets: Sequence[ProbeTarget]) -> None:
        self._targets = tuple(targets)

    def collect(self) -> tuple[ProbeSample, ...]:
        now = self._engine.now
        if self._answers[0] != now:
            self._answers = now, tuple(self._ask(target) for target in self._targets if self._due(target))
        return self._answers[1]

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
        if container is None or container.state != "running" or container.address != target.address:
            return ProbeSample(target.container_id, target.kind, self._clock.now(), False, "connection refused")
        well = self._is_well(container, target.kind)
        self._witness.answered(container, target.kind, well)
        return ProbeSample(container.id, target.kind, self._clock.now(), well, "" if well else "answered 503")

    def _is_well(self, container: FakeContainer, kind: str) -> bool:
        image = container.image_name
        if image in self.broken or (container.id, kind) in self.sick:
            return False
        return self._engine.now - (container.started_at or 0.0) >= self.slow.get(image, 0.0)


class SimulatedMeter:
    """All versions serve many requests; those of ``bad`` images fail half of theirs."""

    def __init__(self, engine: FakeEngine, witness: Witness) -> None:
        self.bad: set[str] = set()
        self._engine = engine
        self._witness = witness

    def read(self, apps: Sequence[App], containers: Sequence[Container], healthy: Collection[str], now: float) -> Loads:
        loads = {}
        for container in containers:
            bad = self._engine.containers_by_id[container.id].image_name in self.bad
            loads[container.app_name, container.spec_hash] = VersionLoad(1000, 0.5 if bad else 0.0, 10.0, 60.0)
            if bad:
                self._witness.served_badly(container.app_name, container.spec_hash)
        return Loads(versions=loads)

    def recorded(self, samples: Sequence[LoadSample]) -> None:
        """There are none."""

    def close(self) -> None:
        """Nothing goes on."""


@dataclass
class SimulatedSource:
    """What is asked for."""

    faults: FaultInjector
    witness: Witness
    desired: Desired

    def read(self) -> Desired:
        if "source" in self.faults.gone or self.faults.strikes("source can't be read"):
            raise Unavailable("the simulated remote does not answer")
        self.witness.readings.hand_out(self.desired)
        return self.desired

    def refresh(self) -> None:
        """Every reading is of now."""

    def close(self) -> None:
        """Nothing goes on."""


class SimulatedStore:
    """What was saved last survives; through the product's own codec, so that nothing survives which couldn't.

    ``told`` counts the events that were to be kept.
    """

    def __init__(self, faults: FaultInjector, witness: Witness) -> None:
        self.state = State()
        self.told = 0
        self._faults = faults
        self._witness = witness

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
        self._faults.may_kill("before saving")
        if "store" in self._faults.gone or self._faults.strikes("store can't be written"):
            self._witness.not_written()
            raise Unavailable("the simulated database is away")
        self.state = record.state
        self.told += len(record.events)
        self._faults.may_kill("after saving")

    def fence(self) -> None:
        """Nobody else may take over."""

    def renew(self) -> None:
        """It is held for good."""

    def announce(self, sign: SignOfLife) -> None:
        """Nobody reads it elsewhere."""

    def close(self) -> None:
        """What was saved stays."""


class SteppedPool:
    """Stands in for the executor's threads: what was submitted runs when the simulation says so."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self.waiting: list[tuple[Future[Any], Callable[[Action], Any], Action]] = []

    def submit(self, call: Callable[[Action], Any], action: Action) -> Future[Any]:
        self._witness.asked_for(action)
        future: Future[Any] = Future()
        self.waiting.append((future, call, action))
        return future

    def run(self, *, late: int = 0, backwards: bool = False) -> None:
        """Run what waits but for the first ``late`` ones. Raises Killed."""
        due, self.waiting = self.waiting[late:], self.waiting[:late]
        for future, call, action in reversed(due) if backwards else due:
            self._witness.performed(action)
            try:
                outcome = call(action)
                self._witness.came_to(action, failed=outcome.failure is not None)
                future.set_result(outcome)
            except Exception as error:  # noqa: BLE001 - as a pool does: it surfaces where the future is asked
                future.set_exception(error)


class SteppedExecutor(Executor):
    """The product's executor, without threads."""

    def __init__(self, runtime: SimulatedRuntime, clock: SimulatedClock, witness: Witness) -> None:
        super().__init__(runtime, clock, wake=lambda: None, wake_at_once=lambda: None, concurrency=_EVERY_ACTION)
        self.pool = SteppedPool(witness)
        self._threads = self.pool  # type: ignore[assignment]
        self._turns.pulls = _EVERY_ACTION

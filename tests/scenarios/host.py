"""One simulated host: the world on it, and the controller that is alive there at the moment.

Drives the product's own tick. Between two ticks time passes, and what was submitted is performed; after each the
promises are asked for, and whether the state can be at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from unittest.mock import patch

from reconciler.decide.plan import Decision, decide
from reconciler.model.desired import Desired
from reconciler.model.observed import Observed
from reconciler.model.plan import DecisionSettings
from reconciler.model.state import State
from reconciler.ports import Unavailable
from reconciler.tick import TickResult, World, tick, unstored
from tests.fakes.engine import FakeEngine, Program
from tests.scenarios.ending import complaints
from tests.scenarios.faults import FaultInjector, Killed
from tests.scenarios.witness import Witness
from tests.scenarios.world import (
    EngineLine,
    SimulatedClock,
    SimulatedEdge,
    SimulatedMeter,
    SimulatedProber,
    SimulatedRuntime,
    SimulatedSource,
    SimulatedStore,
    SteppedExecutor,
)
from tests.support.consistency import inconsistencies

IMAGES = ("demo:1", "demo:2", "demo:3")
# In the end: ticks at which most things are over, and then ones so far apart that every back-off and deadline is.
SECONDS_TO_CONVERGE = (*[5.0] * 40, *[30.0] * 30)
QUIET_TICKS = 3
FAILURES = ("fails its checks", "crashes", "can't be started", "is slow to start", "serves badly", "is not to be had")

Undo = Callable[[], None]
# Looks at one decision: at what it was made of, and at what was decided.
Look = Callable[[Observed, State, Decision], None]


class Host:
    """``tell`` is told what happens, in words. ``look`` is shown every decision."""

    def __init__(self, tell: Callable[[str], None], look: Look) -> None:
        self.engine = FakeEngine(1_700_000_000.0)
        self.programs = {image: Program() for image in IMAGES}
        self.engine.images |= {"demo:1": self.programs["demo:1"]}
        self.engine.registry |= self.programs
        self.faults = FaultInjector(self.tell)
        self.witness = Witness(self.engine, self.tell)
        self.clock = SimulatedClock(self.engine)
        self.edge = SimulatedEdge(self.faults, self.witness)
        self.prober = SimulatedProber(self.engine, self.clock, self.witness)
        self.meter = SimulatedMeter(self.engine, self.witness)
        self.source = SimulatedSource(self.faults, self.witness, Desired("r0", {}))
        self.store = SimulatedStore(self.faults, self.witness)
        self.foreign: set[str] = set()
        self._tell, self._look = tell, look
        self._began_at = self.engine.now
        self._boot()

    # --- the Engine

    def engine_goes_down(self, *, with_containers: bool) -> Undo:
        """The Engine ends; without live-restore its containers do. Undone, it is there again."""
        self.faults.gone.add("engine")
        if with_containers:
            self.engine.go_down([container.name for container in self.witness.ours()])

        def come_up() -> None:
            self.engine.come_up()
            self.faults.gone.discard("engine")
            self.witness.wellness.not_noticed(self.witness.ours())
            self.runtime.cut_off()

        return come_up

    # --- the controller

    def restart(self, *, without_database: bool = False) -> None:
        """The controller ends, and another one begins."""
        self.runtime.close()
        if without_database:
            self.store.state = State()
            self.witness.lose_database()
        self.prober.begin_anew()
        self.witness.another_controller()
        self._boot()

    def set_clock(self, seconds: float) -> None:
        """Somebody sets the clock so much forward, or back."""
        self.clock.offset_seconds += seconds
        self.witness.clock_set(seconds)

    def pass_time(
        self,
        ticks: int = 1,
        seconds: float = 1.0,
        faults: Mapping[str, Collection[int]] = {},
        late: int = 0,
        backwards: bool = False,
    ) -> None:
        """So many ticks, with so many seconds before each. ``faults`` strike at the points of these numbers; ``late``
        actions stay in flight, and the others are performed in order or ``backwards``."""
        with self.faults.armed(faults):
            for _ in range(ticks):
                self._step(seconds, late, backwards)

    def _boot(self) -> None:
        line = EngineLine(self.engine, self.faults, self.witness)
        self.runtime = SimulatedRuntime(line)
        self.executor = SteppedExecutor(self.runtime, self.clock, self.witness)
        self.world = World(
            source=self.source,
            runtime=self.runtime,
            prober=self.prober,
            meter=self.meter,
            edge=self.edge,
            store=self.store,
            executor=self.executor,
            clock=self.clock,
            settings=DecisionSettings(),
        )
        self.last = TickResult(self.store.load())

    def _step(self, seconds: float, late: int = 0, backwards: bool = False) -> None:
        self.engine.advance(seconds)
        self.witness.evidence.at += seconds
        try:
            self.executor.pool.run(late=late, backwards=backwards)
            self.witness.begin_tick()
            with patch("reconciler.tick.decide", self._decide):
                self.last = tick(self.world, self.last)
            self.witness.end_tick()
        except Unavailable as error:
            self.tell(f"nothing is done: {error}")
            self.last = unstored(self.last, error, self.clock.now())
        except Killed:
            self.restart()
        containers = self.engine.containers_by_id
        touched = [i for i in self.foreign if i not in containers or containers[i].state != "running"]
        assert not touched, f"containers that are not ours were stopped or removed: {touched}"
        assert not self.witness.broken, "; ".join(self.witness.broken)
        contradictions = inconsistencies(self.last.state)
        assert not contradictions, contradictions
        bugs = (
            [wait.message for wait in self.last.plan.waits if "which is a bug" in wait.message]
            if self.last.plan
            else []
        )
        assert not bugs, bugs

    def _decide(self, observed: Observed, state: State, settings: DecisionSettings) -> Decision:
        decision = decide(observed, state, settings)
        self._look(observed, state, decision)
        return decision

    # --- the end

    def mend(self) -> None:
        """Everything that fails is mended. What people have set up stays."""
        for image in IMAGES:
            self.mend_image(image)
        for container in self.witness.ours():
            container.ends_at, container.stuck = None, False
            if container.state == "paused":
                container.state = "running"
            if container.state == "removing":
                self.engine.finish_removal(container.name)
        self.engine.come_up()
        self.runtime.cut_off()
        for bad in (self.faults.gone, self.edge.refuses, self.prober.sick):
            bad.clear()

    def spoil_image(self, image: str, how: str) -> Undo:
        """What is made of this image fails from now on, until that is undone."""
        program = self.programs[image]
        match how:
            case "fails its checks":
                self.prober.broken.add(image)
            case "crashes":
                program.exits_after_seconds, program.exit_code = 2.0, 3
            case "can't be started":
                program.start_error = 'exec: "/bin/wbe": no such file or directory'
            case "is slow to start":
                self.prober.slow[image] = 30.0
            case "serves badly":
                self.meter.bad.add(image)
            case "is not to be had":
                self.engine.images.pop(image, None)
                self.engine.registry.pop(image, None)
        return lambda: self.mend_image(image)

    def mend_image(self, image: str) -> None:
        """It can be had, and what is started from it from now on works."""
        self.programs[image].exits_after_seconds, self.programs[image].start_error = None, ""
        self.engine.registry[image] = self.programs[image]
        for bad in (self.prober.broken, self.meter.bad):
            bad.discard(image)
        self.prober.slow.pop(image, None)

    def until_well(self) -> None:
        """Nothing goes wrong from here on, and everything becomes as asked for, and quiet."""
        self.mend()
        quiet = 0
        for seconds in SECONDS_TO_CONVERGE:
            before = self._activity()
            self._step(seconds)
            still = self._activity() == before and not self.executor.pool.waiting
            wrong = complaints(self.witness, self.source.desired, self.edge.served)
            quiet = quiet + 1 if still and not wrong else 0
            if quiet == QUIET_TICKS:
                return
        raise AssertionError(f"not well after {sum(SECONDS_TO_CONVERGE):g} s: {'; '.join(wrong) or 'never quiet'}")

    def _activity(self) -> tuple[int, int, int]:
        """What changes with everything that the controller does, or has to tell."""
        return self.witness.asked, self.edge.generation, self.store.told

    # --- what there is

    def replicas(self, *states: str) -> list[str]:
        """The names of our containers in one of these states."""
        return [container.name for container in self.witness.ours() if container.state in states]

    def free_names(self, names: Iterable[str]) -> list[str]:
        """Those that no container has."""
        taken = {container.name for container in self.engine.containers_by_id.values()}
        return [name for name in names if name not in taken]

    def free_addresses(self) -> list[str]:
        """Addresses of ours that a container of somebody else could have now."""
        held = {container.address for container in self.engine.containers_by_id.values()}
        return sorted(self.witness.addresses - held)

    def tell(self, what: str) -> None:
        self._tell(f"{self.engine.now - self._began_at:g} s: {what}")

"""One simulated life: apps are changed, things go wrong everywhere, then nothing does any more, and all must be well.

What is checked at each step is written against the world and not against the controller's own view of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from reconciler.model.actions import CreateReplica
from reconciler.model.desired import Desired, Problem
from reconciler.model.plan import DecisionSettings
from reconciler.model.state import State
from reconciler.model.version import Version
from reconciler.ports import Unavailable
from reconciler.tick import TickResult, World, tick
from tests.fakes.engine import Program
from tests.simulation.fate import Fate, Killed
from tests.simulation.world import (
    APP,
    FaultyEngine,
    SimulatedClock,
    SimulatedEdge,
    SimulatedMeter,
    SimulatedProber,
    SimulatedRuntime,
    SimulatedSource,
    SimulatedStore,
    SteppedExecutor,
)
from tests.support.apps import version

APP_NAMES = ("web", "api", "jobs")
IMAGES = ("demo:1", "demo:2", "demo:3")
FAULTS = {
    "kill": 0.01,
    "engine stumbles": 0.05,
    "engine hangs up": 0.03,
    "engine answers too late": 0.05,
    "edge stumbles": 0.05,
    "source can't be read": 0.1,
    "store can't be written": 0.03,
}
MOST_TICKS_TO_CONVERGE = 150


class Life:
    """A world, and the controller that is alive in it at the moment."""

    def __init__(self, seed: int) -> None:
        self.fate = Fate(seed)
        self.chance = self.fate.chance
        self.engine = FaultyEngine(self.fate)
        self.programs = {image: Program() for image in IMAGES}
        self.engine.images |= {"demo:1": self.programs["demo:1"]}
        self.engine.registry |= self.programs
        self.clock = SimulatedClock(self.engine)
        self.edge = SimulatedEdge(self.fate, self.engine)
        self.source = SimulatedSource(self.fate, Desired("r0", {}))
        self.store = SimulatedStore(self.fate)
        self.sick: set[str] = set()
        self.broken: set[str] = set()
        self.foreign: set[str] = set()
        self._commits = 0
        self._boot()

    # --- the story

    def with_faults(self, steps: int) -> None:
        """So many steps in which anything may happen."""
        self.commit()
        for _ in range(steps):
            for _ in range(self.chance.choice([0, 0, 1, 1, 2])):
                self._let_happen(self.chance.choice(_HAPPENINGS))
            self.fate.likelihood = dict(FAULTS)
            self._step(self.chance.choice([0.05, 0.3, 1.0, 1.0, 3.0, 12.0]), self.chance.choice([0.3, 0.8, 1.0]))

    def until_well(self) -> int:
        """Nothing goes wrong from here on: the number of ticks until everything is as asked for, and quiet."""
        self.fate.relent()
        self.make_peace()
        quiet = 0
        for ticks in range(MOST_TICKS_TO_CONVERGE):
            self._step(5.0, 1.0)
            plan, last = self.last.plan, self.last
            still = plan is not None and not plan.actions and not last.events and not self.executor.in_flight
            quiet = quiet + 1 if still and not self._unwell() else 0
            if quiet == 3:
                return ticks
        waits = [wait.message for wait in self.last.plan.waits] if self.last.plan else []
        trouble = self._unwell() or "never quiet"
        raise AssertionError(f"not well after {MOST_TICKS_TO_CONVERGE} ticks: {trouble}; {waits}")

    def _let_happen(self, happening: Callable[[Life], None]) -> None:
        """What people and programs do never fails."""
        self.fate.tell(happening.__name__.replace("_", " "))
        self.fate.relent()
        gone, self.engine.unreachable = self.engine.unreachable, False
        happening(self)
        self.engine.unreachable = self.engine.unreachable or gone and happening is not the_engine_goes_or_comes_back

    # --- the controller

    def _boot(self) -> None:
        self.runtime = SimulatedRuntime(self.engine, self.edge)
        self.executor = SteppedExecutor(self.runtime, self.clock)
        self.world = World(
            source=self.source,
            runtime=self.runtime,
            prober=SimulatedProber(self.engine, self.clock, self.sick, self.broken),
            meter=SimulatedMeter(),
            edge=self.edge,
            store=self.store,
            executor=self.executor,
            clock=self.clock,
            settings=DecisionSettings(),
        )
        self.last = TickResult(self.store.load())

    def _step(self, seconds: float, likelihood: float) -> None:
        self.engine.advance(seconds)
        try:
            self.executor.pool.run(self.fate, likelihood)
            self._tick()
        except Unavailable as error:
            self.fate.tell(f"nothing is done: {error}")
        except Killed:
            self.runtime.close()
            self._boot()
        self._check()

    def _tick(self) -> None:
        self.last = tick(self.world, self.last)
        if self.last.plan:
            for action in self.last.plan.actions:
                self.fate.tell(f"{self.clock.now() - 1.7e9:.2f} {action.summary}: {action.cause}")
            self._check_counts()

    # --- promises

    def _check(self) -> None:
        touched = [
            c.name for c in self.engine.containers_by_id.values() if c.id in self.foreign and c.state != "running"
        ]
        missing = self.foreign - self.engine.containers_by_id.keys()
        assert not touched, f"foreign containers were stopped: {touched}"
        assert not missing, "foreign containers were removed"

    def _check_counts(self) -> None:
        """Never more than the wanted replicas and the surge by what the controller does."""
        plan = self.last.plan
        assert plan is not None
        waits = [wait.message for wait in plan.waits if "invariant" in wait.message]
        assert not waits, waits
        made_now = {action.name: action.app_name for action in plan.actions if isinstance(action, CreateReplica)}
        under_way = {a.name: a.app_name for a in self.executor.in_flight if isinstance(a, CreateReplica)}
        for name, app in plan.state.apps.items():
            names = {c.name for c in self.engine.ours(name)}
            names |= {one for one, app_name in under_way.items() if app_name == name} - made_now.keys()
            made = {one for one, app_name in made_now.items() if app_name == name} - names
            versions = [one for one in (app.version, app.stable) if one is not None]
            surge = max(_resolved(one.app.max_surge, app.count) for one in versions)
            assert not made or len(names | made) <= app.count + surge, f"{sorted(names | made)}: {app.count} + {surge}"

    def _unwell(self) -> list[str]:
        """What is not as asked for, by the look of the world."""
        wanted, broken = self.source.desired.apps, {problem.app_name for problem in self.source.desired.problems}
        left = {c.config["Labels"][APP]: c.name for c in self.engine.ours()}
        # Whose file an unknown app comes from can't be told: as long as any is broken, it may be that one.
        kept = left.keys() & wanted.keys() | broken | (left.keys() - self.last.state.apps.keys() if broken else set())
        found = [
            f"{container_name} is there, and its app is not asked for"
            for app_name, container_name in left.items()
            if app_name not in kept and not self._held_back()
        ]
        for version_ in wanted.values():
            if not self._excused(version_):
                found += self._unwell_app(version_)
        return found

    def _excused(self, wanted: Version) -> bool:
        """Whether the controller was told to leave it, or has rightly given it up."""
        state, spec = self.last.state.apps, wanted.app.spec
        app = state.get(wanted.name)
        given_up = app is not None and (app.failed or (app.pacing.creation and app.pacing.creation.until_changed))
        been_ready = {name for name, one in state.items() if one.stable is not None}
        waits_forever = wanted.name not in been_ready and not been_ready >= set(spec.depends_on)
        return bool(given_up or waits_forever or spec.suspend)

    def _unwell_app(self, wanted: Version) -> list[str]:
        name, count = wanted.name, wanted.app.scaling.manual_replicas
        running = {c.name: c for c in self.engine.ours(name) if c.state == "running"}
        found = [f"{c.name} is {c.state}" for c in self.engine.ours(name) if c.name not in running]
        if len(running) != count:
            found.append(f"{name}: {len(running)} replicas run, {count} are wanted")
        found += [
            f"{c.name} runs {c.config['Labels']['orchestry.spec-hash']}, {wanted.spec_hash} is wanted"
            for c in running.values()
            if c.config["Labels"]["orchestry.spec-hash"] != wanted.spec_hash
        ]
        part = next((part for part in self.edge.served.apps if part.app_name == name), None)
        served = {s.name: s.address for s in part.servers if not s.draining} if part else {}
        if wanted.app.routes and served != {c.name: c.address for c in running.values()}:
            found.append(f"{name}: {served} are served, {sorted(running)} run")
        return found

    def _held_back(self) -> bool:
        plan = self.last.plan
        return plan is not None and any("--confirm-deletions" in notice for notice in plan.notices)

    # --- what happens

    def commit(self) -> None:
        """Somebody changes an app, or adds one."""
        self._commits += 1
        revision = f"r{self._commits}"
        new = _random_version(self, self.chance.choice(APP_NAMES), revision)
        apps = {name: replace(one, revision=revision) for name, one in self.source.desired.apps.items()}
        self.source.desired = Desired(revision, apps | {new.name: new})
        self.fate.tell(f"{revision}: {new.name} {new.app.spec.image} {new.spec_hash} × {new.app.scaling.replicas}")

    def take_out_of_source(self) -> None:
        self._commits += 1
        name = self.chance.choice(APP_NAMES)
        apps = {other: one for other, one in self.source.desired.apps.items() if other != name}
        self.source.desired = Desired(f"r{self._commits}", apps)

    def break_a_spec(self) -> None:
        self._commits += 1
        name = self.chance.choice(APP_NAMES)
        apps = {other: one for other, one in self.source.desired.apps.items() if other != name}
        problem = Problem(f"{name}.yaml", 1, "spec", "a mess", "a spec", name)
        self.source.desired = Desired(f"r{self._commits}", apps, (problem,))

    def make_peace(self) -> None:
        """Everything that fails is mended. What people have set up stays."""
        for program in self.programs.values():
            program.exits_after_seconds, program.start_error = None, ""
        for container in self.engine.ours():
            container.ends_at = None
            if container.state == "paused":
                container.state = "running"
            if container.state == "removing":
                self.engine.finish_removal(container.name)
        self.engine.images |= self.programs
        self.engine.registry |= self.programs
        self.engine.unreachable = self.edge.down = False
        self.edge.refuses = frozenset()
        self.sick.clear()
        self.broken.clear()


def _random_version(life: Life, name: str, revision: str) -> Version:
    chance = life.chance
    surge, unavailable = chance.choice([(1, 0), (1, 0), (0, 1), (2, 0), ("100%", 0), ("25%", "25%"), (None, None)])
    strategy: dict[str, Any] = {"progressDeadlineSeconds": chance.choice([20, 60, 600])}
    strategy["onFailure"] = chance.choice(["rollback", "rollback", "pause"])
    strategy["minReadySeconds"] = chance.choice([0, 0, 4])
    if surge is not None:
        strategy |= {"maxSurge": surge, "maxUnavailable": unavailable}
    spec: dict[str, Any] = {"strategy": strategy, "image": chance.choice(IMAGES)}
    spec["terminationGracePeriodSeconds"] = chance.choice([0, 2, 8])
    spec["suspend"] = chance.random() < 0.05
    if name == "jobs":
        spec["type"] = "worker"
    elif chance.random() < 0.3:
        strategy["canary"] = {"weight": 20, "holdSeconds": 5}
    if name == "api":
        spec["volumes"] = [{"name": "data", "mountPath": "/data"}]
        spec["dependsOn"] = chance.choice([[], ["web"]])
    if name == "web" and chance.random() < 0.3:
        spec["readiness"] = {"path": "/ready", "periodSeconds": 1}
    if chance.random() < 0.3:
        spec["mounts"] = [{"path": "app.ini", "mountPath": "/etc/app.ini"}]
        spec["files"] = {"app.ini": chance.choice([b"a=1", b"a=2"])}
    return version(name, revision=revision, replicas=chance.choice([0, 1, 2, 2, 3, 4]), **spec)


def _resolved(amount: int | str, count: int) -> int:
    return amount if isinstance(amount, int) else math.ceil(int(amount.removesuffix("%")) * count / 100)


# -- happenings: each may do nothing where there is nobody to do it to ----------------------------------------------


def _somebody(life: Life, *states: str) -> Any:
    found = [c for c in life.engine.ours() if c.state in (states or ("running",))]
    return life.chance.choice(found) if found else None


def a_program_ends(life: Life) -> None:
    if container := _somebody(life):
        life.engine.exit(container.name, life.chance.choice([0, 1, 137]), "bye\n")


def a_container_is_stopped_by_hand(life: Life) -> None:
    if container := _somebody(life):
        life.engine.stop(container.id)


def a_container_is_removed_by_hand(life: Life) -> None:
    if container := _somebody(life, "running", "exited", "created", "restarting"):
        life.engine.vanish(container.name)


def a_container_begins_to_be_removed(life: Life) -> None:
    if container := _somebody(life, "running", "exited"):
        life.engine.begin_removal(container.name)


def removals_end(life: Life) -> None:
    for container in life.engine.ours():
        if container.state == "removing":
            life.engine.finish_removal(container.name)


def a_container_is_paused(life: Life) -> None:
    if container := _somebody(life):
        life.engine.pause(container.name)


def a_replica_turns_sick(life: Life) -> None:
    if container := _somebody(life):
        life.sick.add(container.id)


def replicas_get_well(life: Life) -> None:
    life.sick.clear()


def an_image_turns_out_broken(life: Life) -> None:
    life.broken ^= {life.chance.choice(IMAGES)}


def a_program_turns_out_to_crash(life: Life) -> None:
    program = life.programs[life.chance.choice(IMAGES)]
    program.exits_after_seconds = life.chance.choice([None, 0.5, 2.0])
    program.exit_code = 3


def a_program_can_not_be_started(life: Life) -> None:
    program = life.programs[life.chance.choice(IMAGES)]
    program.start_error = life.chance.choice(["", "", 'exec: "/bin/wbe": no such file or directory'])


def an_image_is_removed(life: Life) -> None:
    life.engine.images.pop(life.chance.choice(IMAGES), None)


def the_registry_changes(life: Life) -> None:
    image = life.chance.choice(IMAGES)
    if image in life.engine.registry:
        del life.engine.registry[image]
    else:
        life.engine.registry[image] = life.programs[image]


def the_engine_goes_or_comes_back(life: Life) -> None:
    life.engine.unreachable = life.chance.random() < 0.5


def the_edge_goes_or_comes_back(life: Life) -> None:
    life.edge.down = not life.edge.down and life.chance.random() < 0.5


def the_edge_refuses_an_app(life: Life) -> None:
    life.edge.refuses = frozenset({life.chance.choice(APP_NAMES)}) if life.chance.random() < 0.5 else frozenset()


def the_edge_counts_requests(life: Life) -> None:
    life.edge.tells_open_requests = not life.edge.tells_open_requests
    life.edge.forget_times()


def somebody_runs_a_container(life: Life) -> None:
    """With a name, or on an address, that might have been ours."""
    name = f"{life.chance.choice(APP_NAMES)}-{life.chance.randint(1, 4)}"
    if all(container.name != name for container in life.engine.containers_by_id.values()):
        life.foreign.add(life.engine.run_foreign(name))


def the_clock_is_set(life: Life) -> None:
    life.clock.offset_seconds += life.chance.choice([-3600.0, -7.0, 7.0, 3600.0])
    life.edge.forget_times()


def the_controller_is_restarted(life: Life) -> None:
    life.runtime.close()
    life._boot()


def the_database_is_lost(life: Life) -> None:
    life.runtime.close()
    life.store.state = State()
    life.edge.forget_times()
    life._boot()


_HAPPENINGS: list[Callable[[Life], None]] = [
    *[Life.commit] * 6,
    Life.take_out_of_source,
    Life.break_a_spec,
    Life.make_peace,
    a_program_ends,
    a_program_ends,
    a_container_is_stopped_by_hand,
    a_container_is_removed_by_hand,
    a_container_begins_to_be_removed,
    removals_end,
    a_container_is_paused,
    a_replica_turns_sick,
    replicas_get_well,
    an_image_turns_out_broken,
    a_program_turns_out_to_crash,
    a_program_can_not_be_started,
    an_image_is_removed,
    the_registry_changes,
    the_engine_goes_or_comes_back,
    the_edge_goes_or_comes_back,
    the_edge_refuses_an_app,
    the_edge_counts_requests,
    somebody_runs_a_container,
    the_clock_is_set,
    the_controller_is_restarted,
    the_database_is_lost,
]

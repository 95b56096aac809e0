"""Scenarios: apps are changed, things go wrong everywhere, then nothing does any more, and all must be well.

Each rule is something that happens, and then time passes: a few ticks with the faults that strike in them. All chance
is Hypothesis', so a scenario that breaks a promise shrinks to the shortest one that does. It is printed as the steps to
tell it again, each after what came of it in the world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.control import currently_in_test_context
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, precondition, rule

from reconciler.decide.plan import Decision
from reconciler.model.desired import Desired, Problem
from reconciler.model.observed import Observed
from reconciler.model.state import State
from reconciler.model.version import Version
from tests.scenarios.faults import FAULTS, SIDES
from tests.scenarios.host import FAILURES, IMAGES, Host, Undo
from tests.support.apps import version

APP_NAMES = ("web", "api", "jobs")
NAMES = tuple(f"{name}-{slot}" for name in APP_NAMES for slot in range(1, 5))
BY_HAND = ("stop", "remove", "begin to remove", "pause")

Spec = dict[str, Any]


def _rarely(value: Any, otherwise: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([otherwise] * 9 + [value])


STRATEGIES = st.fixed_dictionaries(
    {},
    optional={
        "maxSurge": st.sampled_from([1, 2, "100%", "25%"]),
        "maxUnavailable": st.sampled_from([1, 2, "25%", "50%"]),
        "progressDeadlineSeconds": st.sampled_from([20, 60]),
        "onFailure": st.sampled_from(["rollback", "pause"]),
        "minReadySeconds": st.just(4),
        "canary": st.fixed_dictionaries({"weight": st.sampled_from([20, 50]), "holdSeconds": st.sampled_from([0, 5])}),
    },
)
STOP_FIRST = st.sampled_from(
    [{"maxSurge": 0}, {"maxSurge": 0, "maxUnavailable": 2}, {"maxSurge": 0, "maxUnavailable": "50%"}]
)

SPECS = st.fixed_dictionaries(
    {"image": st.sampled_from(IMAGES), "replicas": st.sampled_from([1, 2, 3, 4, 0])},
    optional={
        "strategy": STRATEGIES | STRATEGIES | STOP_FIRST,
        "terminationGracePeriodSeconds": st.sampled_from([0, 2, 8]),
        "suspend": _rarely(True, otherwise=False),
        "readiness": st.just({"path": "/ready", "periodSeconds": 1}),
        "dependsOn": st.just(["web"]),
        "volumes": st.just([{"name": "data", "mountPath": "/data"}]),
        "files": st.sampled_from([b"a=1", b"a=2"]),
    },
)

# What passes after something happened; by default one tick, a second later.
TIME = st.fixed_dictionaries(
    {},
    optional={
        "ticks": st.sampled_from([2, 3, 4, 6, 0]),
        "seconds": st.sampled_from([0.05, 0.3, 3.0, 12.0]),
        "faults": st.dictionaries(
            st.sampled_from(FAULTS), st.sets(st.sampled_from(range(10)), min_size=1, max_size=3), max_size=2
        ),
        "late": st.sampled_from([0, 0, 0, 1, 3]),
        "backwards": st.booleans(),
    },
)


def happening(*, lasts: bool = False, **arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A rule: something happens, and then time passes. Where it ``lasts``, that is for so many ``steps``, after which
    what it returned undoes it."""

    def decorate(happens: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(happens)
        def step(self: Scenario, then: dict[str, Any], steps: int = 0, **given: Any) -> Any:
            self.sound = False
            self.undo_what_is_over()
            result = happens(self, **given)
            if lasts:
                self.lasting.append([steps, result])
            self.host.pass_time(**then)
            self.sound = True
            return None if lasts else result

        lasting = {"steps": st.sampled_from(range(1, 7))} if lasts else {}
        wrapped: Callable[..., Any] = rule(then=TIME, **lasting, **arguments)(step)
        return wrapped

    return decorate


@st.composite
def _one_of(draw: st.DrawFn, names: Callable[[Scenario], list[str]]) -> str:
    """One of what there is at this moment."""
    return draw(st.sampled_from(names(draw(st.runner()))))


def there_is(*states: str) -> Callable[..., Any]:
    """Only where one of our containers is in one of these states."""
    return precondition(lambda self: bool(self.host.replicas(*states)))


def replicas(*states: str) -> st.SearchStrategy[str]:
    return _one_of(lambda scenario: scenario.host.replicas(*states))


class Scenario(RuleBasedStateMachine):
    """``sound`` says that nothing has failed so far: only then the ending is worth telling."""

    specs: Bundle[tuple[str, Spec]] = Bundle("specs")
    strangers: Bundle[str] = Bundle("strangers")

    def __init__(self) -> None:
        super().__init__()
        self.host = Host(self.tell, self.look)
        self.sound = True
        self.lasting: list[list[Any]] = []
        self._commits = 0

    def tell(self, what: str) -> None:
        """What happens, for whoever reads a scenario that failed."""
        if currently_in_test_context():
            note(f"# {what}")

    def undo_what_is_over(self) -> None:
        """Another step begins."""
        for entry in self.lasting:
            entry[0] -= 1
        over, self.lasting = [e for e in self.lasting if not e[0]], [e for e in self.lasting if e[0]]
        for _, undo in over:
            undo()

    def look(self, observed: Observed, state: State, decision: Decision) -> None:
        """For whoever wants to see each decision of a scenario."""

    def teardown(self) -> None:
        if self.sound:
            self.host.until_well()
        self.host.runtime.close()

    # --- what is asked for

    @initialize(target=specs, apps=st.dictionaries(st.sampled_from(APP_NAMES), SPECS, min_size=1))
    def begin(self, apps: dict[str, Spec]) -> Any:
        return multiple(*(self._commit(name, spec) for name, spec in apps.items()))

    @happening(target=specs, name=st.sampled_from(APP_NAMES), spec=SPECS)
    def commit(self, name: str, spec: Spec) -> tuple[str, Spec]:
        return self._commit(name, spec)

    @happening(former=specs)
    def go_back_to(self, former: tuple[str, Spec]) -> None:
        self._commit(*former)

    @precondition(lambda self: self.host.source.desired.apps)
    @happening(name=_one_of(lambda self: list(self.host.source.desired.apps)), image=st.sampled_from(IMAGES))
    def change_image(self, name: str, image: str) -> None:
        self._change_image(name, image)

    @precondition(lambda self: self.host.source.desired.apps)
    @happening(name=_one_of(lambda self: list(self.host.source.desired.apps)), replicas=st.sampled_from(range(5)))
    def scale(self, name: str, replicas: int) -> None:
        before = self.host.source.desired.apps[name]
        scaling = before.app.scaling.model_copy(update={"replicas": replicas})
        self._change(name, replace(before, app=before.app.model_copy(update={"scaling": scaling})))

    @precondition(lambda self: self.host.source.desired.apps)
    @happening(name=_one_of(lambda self: list(self.host.source.desired.apps)))
    def take_out_of_source(self, name: str) -> None:
        self._change(name, None)

    @happening(name=st.sampled_from(APP_NAMES), app_named=st.booleans())
    def break_a_file(self, name: str, app_named: bool) -> None:
        problem = Problem(f"{name}.yaml", 1, "spec", "a mess", "a spec", name if app_named else None)
        self._change(name, None, problem)

    def _commit(self, name: str, spec: Spec) -> tuple[str, Spec]:
        self._change(name, version_of(name, spec))
        return name, spec

    def _change_image(self, name: str, image: str) -> None:
        before = self.host.source.desired.apps[name]
        spec = before.app.spec.model_copy(update={"image": image})
        app = before.app.model_copy(update={"spec": spec})
        self._change(name, Version.of(app, before.revision, before.path, before.files))

    def _change(self, name: str, version: Version | None, *broken: Problem) -> None:
        """The next revision of the source: of this app it has this version, or a file that is broken, or nothing."""
        self._commits += 1
        before, revision = self.host.source.desired, f"r{self._commits}"
        apps = {other: one for other, one in before.apps.items() if other != name}
        apps |= {name: version} if version else {}
        others = [problem for problem in before.problems if problem.path != f"{name}.yaml"]
        at_revision = {name: replace(one, revision=revision) for name, one in apps.items()}
        self.host.source.desired = Desired(revision, at_revision, (*others, *broken))

    # --- what becomes of replicas

    @happening()
    def nothing_happens(self) -> None:
        """But that time passes."""

    @there_is("running")
    @happening(replica=replicas("running"), code=st.sampled_from([0, 1, 137]))
    def a_program_ends(self, replica: str, code: int) -> None:
        self.host.engine.exit(replica, code, "bye\n")

    @there_is("running", "exited", "created", "restarting")
    @happening(replica=replicas("running", "exited", "created", "restarting"), how=st.sampled_from(BY_HAND))
    def somebody_interferes(self, replica: str, how: str) -> None:
        engine, state = self.host.engine, self.host.engine.named(replica).state
        match how:
            case "pause" if state == "running":
                engine.pause(replica)
            case "begin to remove" if state in ("running", "exited"):
                engine.begin_removal(replica)
            case "remove":
                engine.remove_by_hand(replica)
            case _:
                engine.stop_by_hand(replica)

    @there_is("removing")
    @happening(replica=replicas("removing"))
    def a_removal_ends(self, replica: str) -> None:
        self.host.engine.finish_removal(replica)

    @there_is("running")
    @happening(lasts=True, replica=replicas("running"), check=st.sampled_from(["health", "readiness"]))
    def a_replica_turns_sick(self, replica: str, check: str) -> Undo:
        return _kept(self.host.prober.sick, (self.host.engine.named(replica).id, check))

    # --- what becomes of images

    @happening(lasts=True, image=st.sampled_from(IMAGES), seconds=st.sampled_from([3.0, 30.0]))
    def programs_take_their_time_to_end(self, image: str, seconds: float) -> Undo:
        program = self.host.programs[image]
        program.ends_after_seconds = seconds
        return lambda: setattr(program, "ends_after_seconds", 0.0)

    @there_is("running", "exited")
    @happening(lasts=True, replica=replicas("running", "exited"))
    def the_engine_can_not_remove_a_container(self, replica: str) -> Undo:
        container = self.host.engine.named(replica)
        container.stuck = True
        return lambda: setattr(container, "stuck", False)

    @happening(lasts=True, image=st.sampled_from(IMAGES), how=st.sampled_from(FAILURES))
    def an_image_fails(self, image: str, how: str) -> Undo:
        return self.host.spoil_image(image, how)

    @precondition(lambda self: self.host.source.desired.apps)
    @happening(
        lasts=True,
        name=_one_of(lambda self: list(self.host.source.desired.apps)),
        image=st.sampled_from(IMAGES),
        how=st.sampled_from(FAILURES),
    )
    def change_to_an_image_that_fails(self, name: str, image: str, how: str) -> Undo:
        self._change_image(name, image)
        return self.host.spoil_image(image, how)

    @happening()
    def all_is_mended(self) -> None:
        self.host.mend()

    # --- what becomes of everything around

    @happening(lasts=True, side=st.sampled_from(SIDES))
    def a_side_is_away(self, side: str) -> Undo:
        return _kept(self.host.faults.gone, side)

    @happening(lasts=True, with_containers=st.booleans())
    def the_engine_is_restarted(self, with_containers: bool) -> Undo:
        return self.host.engine_goes_down(with_containers=with_containers)

    @happening(lasts=True, name=st.sampled_from(APP_NAMES))
    def the_edge_refuses(self, name: str) -> Undo:
        return _kept(self.host.edge.refuses, name)

    @happening(requests=st.sampled_from([None, 0, 3]))
    def the_edge_counts_requests(self, requests: int | None) -> None:
        self.host.edge.requests = requests

    @precondition(lambda self: self.host.free_names(NAMES))
    @happening(target=strangers, name=_one_of(lambda self: self.host.free_names(NAMES)))
    def somebody_takes_a_name(self, name: str) -> str:
        self.host.foreign.add(self.host.engine.run_foreign(name))
        return name

    @precondition(lambda self: self.host.free_addresses())
    @happening(target=strangers, address=_one_of(lambda self: self.host.free_addresses()))
    def somebody_takes_an_address(self, address: str) -> Any:
        if address not in self.host.free_addresses():
            return multiple()  # an Engine that came up again has given it back to its container
        name = f"at-{address}"
        self.host.foreign.add(self.host.engine.run_foreign(name, "orchestry", address))
        return name

    @happening(name=consumes(strangers))
    def somebody_removes_what_is_theirs(self, name: str) -> None:
        self.host.foreign.remove(self.host.engine.named(name).id)
        self.host.engine.remove_by_hand(name)

    @happening(seconds=st.sampled_from([7.0, -7.0, 3600.0, -3600.0]))
    def the_clock_is_set(self, seconds: float) -> None:
        self.host.set_clock(seconds)

    @happening(without_database=st.sampled_from([False] * 4 + [True]))
    def the_controller_is_restarted(self, without_database: bool) -> None:
        self.host.restart(without_database=without_database)


def _kept(bad: set[Any], value: Any) -> Undo:
    """Put into the set what is to be taken out of it again."""
    bad.add(value)
    return lambda: bad.discard(value)


def version_of(name: str, spec: Spec) -> Version:
    """A spec as it is drawn, for this app. What doesn't fit it is left out."""
    spec = dict(spec)
    strategy = dict(spec.pop("strategy", {}))
    spec["strategy"] = strategy
    if content := spec.pop("files", None):
        spec["mounts"] = [{"path": "app.ini", "mountPath": "/etc/app.ini"}]
        spec["files"] = {"app.ini": content}
    if name == "jobs":
        spec["type"] = "worker"
        spec.pop("readiness", None)
        strategy.pop("canary", None)
    if name != "api":
        spec.pop("dependsOn", None)
    return version(name, **spec)

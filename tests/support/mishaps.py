"""What may happen to apps on a stage, as Hypothesis strategies: a life is a list of mishaps with ticks in between.

A mishap is a function with a readable name; which replica or app it strikes is a number, taken modulo what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from reconciler.model.actions import ActionFailure
from reconciler.model.desired import Problem
from reconciler.model.load import VersionLoad
from reconciler.model.observed import ContainerState
from reconciler.model.version import Version
from tests.support.apps import desired, version
from tests.support.stage import Stage, rejected, try_later

APP_NAMES = ("web", "api", "jobs")


@dataclass(frozen=True)
class Mishap:
    """``what`` to whom (``which``), and for how long nothing else happens: so many ticks of so many seconds."""

    what: str
    which: int = 0
    spec: tuple[tuple[str, Any], ...] = ()
    ticks: int = 1
    seconds: float = 1.0

    def strike(self, stage: Stage) -> None:
        _MISHAPS[self.what](self, stage)


def _spec(which: int, changes: dict[str, Any]) -> Version:
    name = APP_NAMES[which % len(APP_NAMES)]
    kind: dict[str, Any] = {"type": "worker"} if name == "jobs" else {}
    strategy = {key: changes[key] for key in ("maxSurge", "maxUnavailable", "onFailure", "canary") if key in changes}
    if kind:
        strategy.pop("canary", None)
    return version(
        name,
        revision=f"r{changes['number']}",
        image=changes["image"],
        replicas=changes["replicas"],
        strategy={"progressDeadlineSeconds": 20, "minReadySeconds": changes["minReadySeconds"], **strategy},
        terminationGracePeriodSeconds=changes["grace"],
        suspend=changes["suspend"],
        **kind,
    )


def _commit(mishap: Mishap, stage: Stage) -> None:
    new = _spec(mishap.which, dict(mishap.spec))
    versions = dict(stage.desired.apps) | {new.name: new}
    stage.desired = desired(*versions.values(), revision=new.revision)


def _take_out_of_source(mishap: Mishap, stage: Stage) -> None:
    name = APP_NAMES[mishap.which % len(APP_NAMES)]
    versions = [one for one in stage.desired.apps.values() if one.name != name]
    stage.desired = desired(*versions, revision=stage.desired.revision + "x")


def _break_the_spec(mishap: Mishap, stage: Stage) -> None:
    name = APP_NAMES[mishap.which % len(APP_NAMES)]
    versions = [one for one in stage.desired.apps.values() if one.name != name]
    problem = Problem(f"{name}.yaml", 3, "spec", "a mess", "a spec", name)
    stage.desired = desired(*versions, revision=stage.desired.revision + "b", problems=(problem,))


def _to_a_container(hit: Callable[[Stage, str], None]) -> Callable[[Mishap, Stage], None]:
    def strike(mishap: Mishap, stage: Stage) -> None:
        names = sorted(stage.containers)
        if names:
            hit(stage, names[mishap.which % len(names)])

    return strike


def _crash(stage: Stage, name: str) -> None:
    if stage.containers[name].state is ContainerState.RUNNING:
        stage.crash(name)


def _restart(stage: Stage, name: str) -> None:
    if stage.containers[name].state is ContainerState.RUNNING:
        stage.restart(name)


def _remove(stage: Stage, name: str) -> None:
    stage.in_flight.pop(name, None)
    stage.remove(name)


def _fail(failure: ActionFailure) -> Callable[[Mishap, Stage], None]:
    def strike(mishap: Mishap, stage: Stage) -> None:
        app_name, slot = APP_NAMES[mishap.which % len(APP_NAMES)], 1 + mishap.which % 5
        stage.failing = {f"{app_name}-{slot}": failure, f"image demo:2 of {app_name}": failure}

    return strike


def _hold(mishap: Mishap, stage: Stage) -> None:
    app_name, slot = APP_NAMES[mishap.which % len(APP_NAMES)], 1 + mishap.which % 5
    stage.held = {f"{app_name}-{slot}", f"image demo:2 of {app_name}"}


def _break_an_image(mishap: Mishap, stage: Stage) -> None:
    stage.broken = {f"demo:{1 + mishap.which % 3}"}


def _edge(down: bool, refuses: bool) -> Callable[[Mishap, Stage], None]:
    def strike(mishap: Mishap, stage: Stage) -> None:
        stage.down = down
        stage.refused = {APP_NAMES[mishap.which % len(APP_NAMES)]} if refuses else set()

    return strike


def _foreign(mishap: Mishap, stage: Stage) -> None:
    ours = {container.address for container in stage.containers.values()}
    stage.foreign_names = frozenset({f"web-{1 + mishap.which % 4}"} - stage.containers.keys())
    stage.foreign_addresses = frozenset({f"10.0.0.{2 + mishap.which % 9}"} - ours)


def _clock(mishap: Mishap, stage: Stage) -> None:
    stage.now += (-3600.0, -5.0, 40.0, 700.0)[mishap.which % 4]


class _Fine(dict[tuple[str, str], VersionLoad]):
    """Every version serves many requests, and serves them well."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: tuple[str, str]) -> VersionLoad:
        return VersionLoad(1000, 0.0, 10.0, 60.0)


def peace(stage: Stage) -> None:
    """From here on nothing goes wrong any more."""
    stage.version_loads = _Fine()
    stage.failing, stage.held, stage.broken = {}, set(), set()
    stage.down, stage.refused = False, set()
    stage.heal()
    _end_removals(stage)


def _end_removals(stage: Stage) -> None:
    for name in [c.name for c in stage.containers.values() if c.state is ContainerState.REMOVING]:
        _remove(stage, name)


_MISHAPS: dict[str, Callable[[Mishap, Stage], None]] = {
    "commit": _commit,
    "take out of source": _take_out_of_source,
    "break the spec": _break_the_spec,
    "crash": _to_a_container(_crash),
    "crash and restart": _to_a_container(_restart),
    "remove by hand": _to_a_container(_remove),
    "begin to remove": _to_a_container(lambda stage, name: stage.begin_removal(name)),
    "end removals": lambda _, stage: _end_removals(stage),
    "sicken": _to_a_container(lambda stage, name: stage.sicken(name)),
    "fail an action": _fail(try_later("EngineFailed", "the Engine stumbled")),
    "reject an action": _fail(rejected("StartRefused", "no such file")),
    "hold an action": _hold,
    "break an image": _break_an_image,
    "edge down": _edge(down=True, refuses=False),
    "edge refuses": _edge(down=False, refuses=True),
    "foreign containers": _foreign,
    "clock": _clock,
    "peace": lambda _, stage: peace(stage),
}

# Surge and unavailable; the first are what most people use.
_PACES = ((1, 0), (1, 0), (1, 0), (0, 1), (0, 2), (2, 0), ("25%", "25%"), ("100%", 0), (0, "50%"), (1, 1))


@st.composite
def _specs(draw: st.DrawFn) -> tuple[tuple[str, Any], ...]:
    surge, unavailable = draw(st.sampled_from(_PACES))
    spec: dict[str, Any] = {
        "number": draw(st.sampled_from(range(1, 100))),
        "image": draw(st.sampled_from(["demo:1", "demo:2", "demo:3"])),
        "replicas": draw(st.sampled_from([0, 1, 2, 2, 3, 3, 4, 5])),
        "maxSurge": surge,
        "maxUnavailable": unavailable,
        "minReadySeconds": draw(st.sampled_from([0, 0, 3])),
        "onFailure": draw(st.sampled_from(["rollback", "pause"])),
        "grace": draw(st.sampled_from([0, 2, 5])),
        "suspend": draw(st.sampled_from([False] * 9 + [True])),
    }
    if draw(st.sampled_from([False, False, True])):
        spec["canary"] = {"weight": draw(st.sampled_from([10, 50])), "holdSeconds": 3}
    return tuple(spec.items())


@st.composite
def mishaps(draw: st.DrawFn) -> Mishap:
    what = draw(st.sampled_from([*_MISHAPS, *["commit"] * 6, "peace", "peace"]))
    return Mishap(
        what,
        which=draw(st.sampled_from([0, 0, 0, *range(21)])),
        spec=draw(_specs()) if what == "commit" else (),
        ticks=draw(st.sampled_from([0, 1, 2, 3, 4, 6])),
        seconds=draw(st.sampled_from([0.25, 1.0, 1.0, 1.0, 4.0])),
    )


def lives(most: int = 8) -> st.SearchStrategy[list[Mishap]]:
    """Beginning with an app that serves, since before that little can happen."""
    first = _specs().map(lambda spec: Mishap("commit", 0, spec, ticks=5))
    return st.tuples(first, st.lists(mishaps(), min_size=2, max_size=most)).map(lambda life: [life[0], *life[1]])

"""Which unhealthy replicas are replaced, and how fast; when it is probably the checker, and who counts then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.app_view import AppView
from reconciler.decide.healing import Healing, heal, most_are_unhealthy
from reconciler.decide.phases import Phase, Replica
from reconciler.model.app_state import Pacing
from reconciler.model.backoff import Backoff
from reconciler.model.observed import Container, ContainerState
from reconciler.model.reasons import Reason
from reconciler.model.replica_state import ReplicaState
from reconciler.model.scaling import ScalingState
from tests.support.apps import desired, version
from tests.support.records import NOW, app_state
from tests.support.stage import Stage


def replica(slot: int, phase: Phase) -> Replica:
    name = f"web-{slot}"
    there = phase not in (Phase.GONE, Phase.CREATING)
    container = Container(f"id{slot}", name, "web", slot, "hash", "r1", ContainerState.RUNNING) if there else None
    return Replica(ReplicaState(name, "web", slot, f"id{slot}", f"10.0.0.{slot}", "hash", 0.0), phase, container)


def replicas(phases: str, first_slot: int = 1) -> tuple[Replica, ...]:
    return tuple(replica(slot, Phase(phase)) for slot, phase in enumerate(phases.split(), first_slot))


@pytest.mark.parametrize(
    ("phases", "together"),
    [
        ("unhealthy unhealthy ready", True),
        ("unhealthy unhealthy ready ready", False),
        ("unhealthy", False),
        ("unhealthy unhealthy", True),
        ("unhealthy unhealthy ready starting creating", True),
        ("unhealthy unhealthy ready gone", True),
    ],
)
def test_most_are_unhealthy_when_more_than_half_of_the_replicas_that_are_there_are(phases: str, together: bool) -> None:
    """One that was just removed, as a replaced one is, or is still on its way, is no vote for anything."""
    assert most_are_unhealthy(replicas(phases)) is together


def test_an_unhealthy_replica_that_has_its_replacement_may_go_while_the_others_have_to_wait() -> None:
    lately = Pacing(replacement=Backoff(1, NOW, Reason.UNHEALTHY, "replaced"))
    view = AppView(app_state(scaling=ScalingState(7), pacing=lately), (), None, NOW)
    unhealthy = replicas("unhealthy unhealthy unhealthy", first_slot=6)
    healing = heal(view, replicas("ready ready ready ready ready"), unhealthy)
    assert replace(healing, waits=()) == Healing(unhealthy[:1], held=2)
    assert [wait.until for wait in healing.waits] == [NOW + 1]


def test_one_after_the_other_is_replaced_where_most_replicas_are_unhealthy() -> None:
    stage = Stage(desired(version(replicas=4)))
    stage.settle()
    sick = {stage.containers[name].id for name in ("web-1", "web-2", "web-3")}
    stage.sicken("web-1", "web-2", "web-3")
    there: list[int] = []

    def all_replaced() -> bool:
        ids = {container.id for container in stage.containers.values()}
        there.append(len(ids))
        return not sick & ids

    stage.until(all_replaced)
    assert max(there) == 5, "one replacement at a time"
    assert min(there) == 4, "and no replica goes before there is one for it"
    stage.until(lambda: len(stage.routed()) == 4)


def test_a_replica_that_goes_for_another_reason_slows_no_replacement_down() -> None:
    stage = Stage(desired(version(replicas=4)))
    stage.settle()
    stage.desired = desired(version(replicas=2, revision="r2"), revision="r2")
    stage.settle()
    assert stage.state.apps["web"].pacing.replacement is None
    stage.sicken("web-1")
    stage.until(lambda: stage.state.apps["web"].pacing.replacement)
    replacement = stage.state.apps["web"].pacing.replacement
    assert replacement is not None
    stage.until(lambda: "web-1" not in stage.names())
    assert (replacement.attempts, stage.names()) == (1, ["web-2", "web-3"])

"""How replicas end: asked to, given their grace, removed; and what is said and done where that gets nowhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.phases import Phase, Replica
from reconciler.model.actions import Action, CreateReplica, EnsureImage, RemoveReplica, StopReplica
from reconciler.model.observed import ContainerState
from reconciler.model.replica_state import Ending, ReplicaState
from reconciler.runtime.endings import signal_number
from reconciler.store import codec
from tests.support.apps import desired, version
from tests.support.records import NOW, replica_state
from tests.support.stage import Stage, try_later

WORKER = {"type": "worker", "terminationGracePeriodSeconds": 40}


def worker(**spec: object) -> Stage:
    stage = Stage(desired(version(replicas=2, **{**WORKER, **spec})))
    stage.settle()
    return stage


def scale(stage: Stage, replicas: int, revision: str = "r2") -> None:
    wanted = version(replicas=replicas, revision=revision, **WORKER)
    stage.desired = desired(wanted, revision=revision)


def of_kind(actions: tuple[Action, ...], kind: type) -> list[str]:
    return [action.key for action in actions if isinstance(action, kind)]


def waits(stage: Stage) -> list[str]:
    assert stage.plan is not None
    return [wait.message for wait in stage.plan.waits]


def test_a_program_is_asked_once_and_removed_when_its_grace_is_over() -> None:
    stage = worker()
    stage.stubborn.add("web-2")
    scale(stage, 1)
    stopped_at = stage.now
    assert of_kind(stage.tick().actions, StopReplica) == ["web-2"]
    stage.tick()
    assert waits(stage)[0] == "waiting for web-2 to end: it was asked to, and has 40 s for that"
    assert stage.plan is not None
    assert stage.plan.wake_at == stopped_at + 40
    stage.until(lambda: stage.plan and of_kind(stage.plan.actions, RemoveReplica))
    assert 40 <= stage.now - 1 - stopped_at <= 42
    assert stage.asked == ["web-2"]
    stage.settle()
    assert stage.names() == ["web-1"]


def test_a_program_that_has_ended_is_removed_without_waiting_for_the_rest_of_its_grace() -> None:
    stage = worker()
    scale(stage, 1)
    assert stage.settle() <= 4
    assert stage.names() == ["web-1"]


def test_a_replica_without_grace_is_removed_at_once() -> None:
    stage = worker(terminationGracePeriodSeconds=0)
    stage.desired = desired(
        version(replicas=1, **{**WORKER, "terminationGracePeriodSeconds": 0}),
        revision="r2",
    )
    assert of_kind(stage.tick().actions, RemoveReplica) == ["web-2"]


def test_a_controller_that_comes_after_goes_on_where_the_one_before_was_killed() -> None:
    """Between the record and the signal, it is asked; after the outcome it is not asked again, and has what is left."""
    stage = worker()
    stage.stubborn.add("web-2")
    stage.held.add("web-2")
    scale(stage, 1)
    assert of_kind(stage.tick().actions, StopReplica) == ["web-2"]
    stage.in_flight.clear()  # killed before it could send the signal
    stage.held.clear()
    assert of_kind(stage.tick().actions, StopReplica) == ["web-2"]
    stage.run_for(10)
    stage.in_flight.clear()  # killed while the program takes its time
    stage.until(lambda: stage.plan and of_kind(stage.plan.actions, RemoveReplica))
    assert stage.asked == ["web-2"]


def test_a_replica_that_was_asked_to_end_goes_even_if_it_is_wanted_again() -> None:
    stage = worker()
    stage.stubborn.add("web-2")
    scale(stage, 1)
    stage.tick()
    scale(stage, 2, revision="r3")
    assert of_kind(stage.tick().actions, CreateReplica) == ["web-3"]
    stage.run_for(45)
    assert stage.names() == ["web-1", "web-3"]


def test_a_replica_that_ends_while_the_engine_removes_it_is_not_expected_back() -> None:
    """Another one that somebody removes is, for some seconds after it was disturbed."""
    disturbed = replace(replica_state("web-1"), disturbed_at=NOW)
    ending = disturbed.to_end(Ending("scaled in", 30))
    fits = [Replica(state, Phase.VANISHING).fits(disturbed.spec_hash, NOW + 1) for state in (disturbed, ending)]
    assert fits == [True, False]


def test_a_container_that_is_gone_while_it_ends_is_told_of() -> None:
    stage = worker()
    stage.stubborn.add("web-2")
    scale(stage, 1)
    stage.tick()
    stage.tick()
    stage.remove("web-2")
    stage.tick()
    assert "web-2's container is gone" in [event.message for event in stage.events]


def test_its_end_by_our_doing_is_no_crash() -> None:
    stage = worker()
    stage.stubborn.add("web-2")
    scale(stage, 1)
    stage.tick()
    stage.crash("web-2", exit_code=143)
    stage.run_for(5)
    assert stage.names() == ["web-1"]
    assert not [event for event in stage.events if event.type == "health" and "143" in event.message]


def test_a_clock_that_is_set_back_costs_a_program_that_ends_no_more_than_its_grace() -> None:
    stage = worker()
    stage.stubborn.add("web-2")
    scale(stage, 1)
    stage.tick()
    stage.tick()
    stage.now -= 3600
    began = stage.now
    stage.until(lambda: stage.names() == ["web-1"])
    assert stage.now - began <= 45


def test_a_state_that_knows_of_no_ends_is_read() -> None:
    text = codec.REPLICA_STATE.encode(ReplicaState("web-1", "web", 1, "id1", "10.0.0.2", "hash", 1000.0))
    assert "ending" not in text or codec.REPLICA_STATE.decode(text.replace(',"ending":null', "")).ending is None


@pytest.mark.parametrize(
    ("name", "number"),
    [("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("nonsense", None)],
)
def test_the_number_of_a_signal_is_known_by_any_of_its_names(name: str, number: int | None) -> None:
    assert signal_number(name) == number


# Where it gets nowhere


def stuck(stage: Stage, name: str, *, seen: ContainerState = ContainerState.DEAD) -> None:
    """From now on the Engine fails to remove it, and then calls it so."""
    stage.failing[f"remove {name}"] = try_later("EngineFailed", f"remove {name}: device or resource busy")
    stage.stuck[name] = seen


def test_a_rollout_goes_on_without_a_container_that_can_not_be_removed_and_does_not_run() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stuck(stage, "web-1")
    stage.desired = desired(version(replicas=2, image="demo:2", revision="r2"), revision="r2")
    stage.run_for(120)
    new = [c for c in stage.containers.values() if c.name != "web-1"]
    assert {c.spec_hash for c in new} == {stage.desired.apps["web"].spec_hash}
    assert len(new) == 2
    assert len(stage.routed()) == 2
    status = stage.statuses["web"]
    assert "web-1 can't be removed: remove web-1: device or resource busy" in status.error
    assert [r.phase for r in status.replicas if r.name == "web-1"] == ["remains"]
    assert any(event.message.startswith("rollout of demo:2") for event in stage.events)
    stage.failing.clear()
    stage.stuck.clear()
    stage.run_for(300)
    assert "web-1" not in stage.names()
    assert stage.statuses["web"].converged


def test_attempts_to_remove_it_come_less_and_less_often() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stuck(stage, "web-1")
    stage.desired = desired(version(replicas=2, image="demo:2", revision="r2"), revision="r2")
    attempts = [stage.now for _ in range(200) if of_kind(stage.tick().actions, RemoveReplica).count("web-1")]
    pauses = [after - before for before, after in zip(attempts, attempts[1:], strict=False)]
    assert len(pauses) >= 5
    assert pauses == sorted(pauses)
    assert pauses[-1] > 30


def test_a_container_that_somebody_else_failed_to_remove_is_removed_and_replaced_meanwhile() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stuck(stage, "web-2")
    stage.containers["web-2"] = replace(stage.containers["web-2"], state=ContainerState.REMOVING, ended=True)
    stage.run_for(30)
    assert stage.routed() == ["web-1", "web-3"]
    assert stage.statuses["web"].ready == 2


def test_a_rollout_that_waits_for_a_container_which_may_still_run_fails_at_its_deadline() -> None:
    strategy = {"maxSurge": 0, "maxUnavailable": 1, "progressDeadlineSeconds": 60}
    stage = Stage(desired(version(replicas=1, strategy=strategy)))
    stage.settle()
    stuck(stage, "web-1", seen=ContainerState.REMOVING)
    stage.desired = desired(version(replicas=1, image="demo:2", strategy=strategy, revision="r2"), revision="r2")
    stage.run_for(120)
    failed = stage.state.apps["web"].failed
    assert failed is not None
    assert "web-1 can't be removed: remove web-1: device or resource busy" in failed.message


@pytest.mark.parametrize("reason", ["EngineUnavailable", "LeadershipUnknown"])
def test_a_version_does_not_pay_for_an_engine_or_a_database_by_which_nobody_can_be_asked_to_end(reason: str) -> None:
    strategy = {"maxSurge": 0, "maxUnavailable": 1, "progressDeadlineSeconds": 60}
    stage = Stage(desired(version(replicas=1, strategy=strategy)))
    stage.settle()
    stage.failing["web-1"] = try_later(reason, "stop web-1: not just now")
    stage.desired = desired(version(replicas=1, image="demo:2", strategy=strategy, revision="r2"), revision="r2")
    stage.run_for(120)
    assert stage.state.apps["web"].failed is None
    stage.failing.clear()
    stage.run_for(120)
    assert stage.statuses["web"].converged


def test_an_app_that_leaves_is_forgotten_only_once_its_last_container_is_gone() -> None:
    stage = Stage(desired(version(replicas=1), version("other", routes=[])))
    stage.settle()
    stuck(stage, "web-1")
    stage.desired = desired(version("other", routes=[]), revision="r2")
    stage.run_for(60)
    assert stage.names() == ["web-1"]
    assert "web" in stage.state.apps
    stage.failing.clear()
    stage.run_for(120)
    assert "web" not in stage.state.apps


# What is queued


def test_an_image_that_is_queued_is_said_to_be() -> None:
    stage = Stage(desired(version(imagePullPolicy="Always")))
    key = "image demo:1 of web"
    stage.held.add(key)
    stage.queued[key] = 3
    assert of_kind(stage.tick().actions, EnsureImage) == [key]
    stage.tick()
    assert waits(stage) == ["waiting for image demo:1, queued behind 3 other pulls"]
    stage.queued.clear()
    stage.tick()
    assert waits(stage) == ["waiting for image demo:1"]


def test_an_action_that_is_queued_is_said_to_be() -> None:
    stage = Stage(desired(version(replicas=1)))
    stage.held.add("web-1")
    stage.queued["web-1"] = 1
    stage.until(lambda: stage.in_flight)
    stage.tick()
    assert waits(stage) == ["waiting for the action in flight on web-1, queued behind 1 other action"]
    assert "queued behind 1 other action" in stage.statuses["web"].conditions[0].message


def test_an_app_that_has_lost_replicas_is_urgent_until_it_has_them_again() -> None:
    stage = Stage(desired(version(replicas=2), version("other", routes=[])))
    stage.settle()
    assert stage.plan is not None
    assert stage.plan.urgent == frozenset()
    stage.remove("web-1")
    assert stage.tick().urgent == {"web"}
    stage.settle()
    assert stage.plan.urgent == frozenset()

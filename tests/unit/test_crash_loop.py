"""A crash loop is the controller's to pace only while it lasts."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.actions import GiveBackRestarts, RemoveReplica, TakeOverRestarts
from reconciler.model.backoff import FORGOTTEN_AFTER_SECONDS
from reconciler.model.observed import ContainerState
from tests.support.apps import desired, version
from tests.support.stage import Stage


def test_restarts_are_given_back_to_the_engine_once_a_crash_loop_is_forgotten() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    for _ in range(3):
        stage.restart("web-1")
        stage.tick()
    assert any(isinstance(action, TakeOverRestarts) for action in stage.tick(0).actions) or taken_over(stage)
    stage.run_for(FORGOTTEN_AFTER_SECONDS / 2)
    assert taken_over(stage)
    stage.tick(FORGOTTEN_AFTER_SECONDS)
    given_back = [action for _ in range(3) for action in stage.tick().actions]
    assert [type(action) for action in given_back] == [GiveBackRestarts]
    assert not taken_over(stage)
    published = len(stage.published)
    stage.restart("web-1")
    stage.tick()
    assert len(stage.published) == published  # back in place, at its own address, with no change of routes


def taken_over(stage: Stage) -> bool:
    return stage.state.replicas["web-1"].restarts.by_controller


def test_the_end_of_a_replica_that_is_being_removed_is_no_crash() -> None:
    stage = Stage(desired(version(replicas=2, terminationGracePeriodSeconds=0)))
    stage.settle()
    stage.desired = desired(version(replicas=1, terminationGracePeriodSeconds=0, revision="r2"), revision="r2")
    stage.held.add("web-2")
    stage.until(lambda: "web-2" in stage.in_flight)
    stage.crash("web-2", exit_code=0)
    stage.tick()
    assert not [event for event in stage.events if "exited" in event.message]
    assert stage.state.replicas["web-2"].exits.recent == ()


def test_one_that_is_started_by_hand_while_it_is_being_removed_has_not_ended() -> None:
    stage = Stage(desired(version(replicas=2, type="worker")))
    stage.settle()
    stage.held.add("web-2")
    stage.crash("web-2")
    stage.desired = desired(version(replicas=1, type="worker", revision="r2"), revision="r2")
    stage.until(lambda: isinstance(stage.in_flight.get("web-2"), RemoveReplica))
    stage.containers["web-2"] = replace(stage.containers["web-2"], state=ContainerState.RUNNING)
    stage.until(lambda: stage.state.replicas["web-2"].ready_at is not None)
    assert stage.state.replicas["web-2"].exits.ended_at is None


def test_a_replica_in_a_crash_loop_is_replaced_by_a_changed_version_and_not_called_dead() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    for _ in range(6):
        stage.crash("web-1")
        stage.until(lambda: stage.containers["web-1"].state is ContainerState.RUNNING)
    stage.crash("web-1")
    stage.desired = desired(version(replicas=2, image="demo:2", revision="r2"), revision="r2")
    stage.until(lambda: "remove web-1" in stage.text())
    assert "remove web-1: replaced by demo:2 of revision r2" in stage.text()

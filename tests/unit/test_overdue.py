"""Whose log people will ask for: the replica that keeps a rollout from going on past its deadline."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.rollout.failure import overdue
from tests.support.apps import desired, version
from tests.support.stage import Stage

STRATEGY = {"progressDeadlineSeconds": 5, "maxSurge": 2, "onFailure": "pause"}


def rolling_out_what_never_gets_ready() -> Stage:
    stage = Stage(desired(version(), version("other")), broken={"demo:2"})
    stage.settle()
    changed = version(image="demo:2", strategy=STRATEGY, revision="r2")
    stage.desired = desired(changed, version("other", revision="r2"), revision="r2")
    stage.until(lambda: stage.state.replicas.get("web-3") and stage.state.replicas["web-3"].container_id)
    return stage


def test_no_replica_is_asked_for_its_log_before_the_progress_deadline() -> None:
    stage = rolling_out_what_never_gets_ready()
    assert overdue(stage.state, stage.now) == frozenset()


def test_of_the_replicas_that_are_late_one_is_asked_for_its_log() -> None:
    stage = rolling_out_what_never_gets_ready()
    assert overdue(stage.state, stage.now + 10) == {stage.containers["web-3"].id}


def test_the_log_of_a_late_replica_is_on_record_with_the_failure_and_asked_for_no_more() -> None:
    stage = rolling_out_what_never_gets_ready()
    late = stage.containers["web-3"]
    stage.containers["web-3"] = replace(late, last_log="can't reach the database")
    stage.until(lambda: stage.state.apps["web"].failed)
    failed = stage.state.apps["web"].failed
    assert failed is not None
    assert failed.log == "can't reach the database"
    event = next(event for event in stage.events if "failed" in event.message)
    assert event.details["log"] == "can't reach the database"
    assert "can't reach the database" in stage.statuses["web"].error
    assert overdue(stage.state, stage.now + 10) == frozenset()


def test_a_first_deploy_that_is_late_tells_what_its_replica_says() -> None:
    stage = Stage(desired(version(image="demo:2", strategy=STRATEGY)), broken={"demo:2"})
    stage.until(lambda: overdue(stage.state, stage.now))
    assert overdue(stage.state, stage.now) == {stage.containers["web-1"].id}
    stage.containers["web-1"] = replace(stage.containers["web-1"], last_log="no such option: --prot")
    stage.tick()
    assert "no such option: --prot" in stage.statuses["web"].error

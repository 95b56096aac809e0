"""An app that is healed again and again is not shown as quietly ready."""

from __future__ import annotations

import json

import pytest

from reconciler.model.unrest import MAX_TIMES, UNREST_SECONDS, Unrest
from reconciler.store import codec
from tests.support.apps import desired, version
from tests.support.records import app_state
from tests.support.stage import Stage, try_later


def ready(stage: Stage) -> str:
    """What the app's condition ``Ready`` says."""
    return next(c.message for c in stage.statuses["web"].conditions if c.type == "Ready")


def replace_one(stage: Stage) -> None:
    """One of its replicas turns unhealthy, and is replaced."""
    before = set(stage.containers)
    victim = sorted(before)[0]
    victim_id = stage.containers[victim].id
    stage.sicken(victim)
    stage.until(lambda: victim_id not in {container.id for container in stage.containers.values()})
    stage.settle(most_ticks=900)


def test_an_app_whose_replicas_are_replaced_again_and_again_says_so_for_an_hour() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    replace_one(stage)
    assert (stage.statuses["web"].unrest, stage.statuses["web"].replaced) == ("", 1)
    for _ in range(5):
        replace_one(stage)
    words = "replaced 6 times in the last hour"
    assert (stage.statuses["web"].unrest, ready(stage)) == (words, f"2 of 2 replicas ready; {words}")
    stage.now += UNREST_SECONDS
    stage.tick()
    assert (stage.statuses["web"].unrest, ready(stage)) == ("", "2 of 2 replicas ready")


def test_an_app_whose_replicas_are_started_again_and_again_says_so() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    for _ in range(2):
        stage.restart("web-1")
        stage.tick()
        stage.settle()
    assert stage.statuses["web"].unrest == "restarted 2 times in the last hour"
    replace_one(stage)
    replace_one(stage)
    assert stage.statuses["web"].unrest == "replaced 2 times and restarted 2 times in the last hour"


@pytest.mark.parametrize(
    ("away_seconds", "ago_seconds", "restarted"),
    [(600, 60, 4), (UNREST_SECONDS * 5, 60, 1), (UNREST_SECONDS * 5, UNREST_SECONDS * 2, 0)],
)
def test_of_restarts_while_nobody_looked_those_count_that_were_of_late(
    away_seconds: float, ago_seconds: float, restarted: int
) -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stage.now += away_seconds - ago_seconds
    stage.restart_unseen("web-1", times=4)
    stage.now += ago_seconds
    stage.tick()
    assert stage.state.replicas["web-1"].restarts.total == 4
    assert stage.statuses["web"].restarted == restarted


def test_another_version_begins_without_the_unrest_of_the_one_before() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    replace_one(stage)
    replace_one(stage)
    assert stage.statuses["web"].unrest
    stage.desired = desired(version(replicas=2, image="demo:2", revision="r2"), revision="r2")
    stage.settle()
    assert stage.statuses["web"].unrest == ""


def test_the_crashes_of_a_version_that_was_given_up_are_no_unrest_of_the_one_that_serves() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stage.desired = desired(version(replicas=2, image="demo:2", revision="r2"), revision="r2")
    stage.until(lambda: "web-3" in stage.containers)
    stage.tick()
    for _ in range(4):
        if "web-3" in stage.containers:
            stage.restart("web-3")
            stage.tick()
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.run_for(20)
    assert stage.statuses["web"].unrest == ""


def test_crashes_count_where_only_the_check_of_a_version_was_given_up() -> None:
    """The containers that serve have the hash of the version that failed."""
    stage = Stage(desired(version(replicas=2, health_check={"path": "/healthz"})), unserved={"/gone"})
    stage.settle()
    stage.desired = desired(version(replicas=2, health_check={"path": "/gone"}, revision="r2"), revision="r2")
    stage.until(lambda: stage.state.apps["web"].failed)
    for _ in range(2):
        stage.restart("web-1")
        stage.run_for(30)
    assert stage.statuses["web"].unrest == "restarted 2 times in the last hour"
    stage.desired = desired(version(replicas=1, health_check={"path": "/gone"}, revision="r3"), revision="r3")
    stage.until(lambda: len(stage.containers) == 1)
    stage.tick()
    (removed,) = [event for event in stage.events if event.message.startswith("remove")]
    assert "log" not in removed.details


def test_a_removal_that_is_tried_again_replaces_nobody_twice() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stage.failing["web-1"] = try_later("EngineFailed", "remove web-1: not now")
    stage.sicken("web-1")
    stage.until(lambda: (removal := stage.state.replicas["web-1"].removal) and removal.attempts > 2)
    stage.failing.clear()
    stage.settle()
    assert len(stage.state.apps["web"].unrest.replaced) == 1


def test_no_more_times_are_kept_than_can_be_told() -> None:
    unrest = Unrest()
    for second in range(2 * MAX_TIMES):
        unrest = unrest.once_more(1000.0 + second, replaced=1)
    assert len(unrest.replaced) == MAX_TIMES
    assert unrest.words(1200.0) == f"replaced {MAX_TIMES} times and more in the last hour"


def test_an_older_record_of_an_app_knows_of_no_unrest() -> None:
    fields = json.loads(codec.APP_STATE.encode(app_state()))
    del fields["unrest"]
    assert codec.APP_STATE.decode(json.dumps(fields)).unrest == Unrest()

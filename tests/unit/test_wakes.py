"""When to look again although nothing happens: as soon as something changes by itself, and no sooner."""

from __future__ import annotations

from tests.support.apps import desired, version
from tests.support.stage import Stage

STRATEGY = {"progressDeadlineSeconds": 60}


def wake_in(stage: Stage) -> float | None:
    """How long after a tick at this moment the next one has to come."""
    at = stage.now
    wake_at = stage.tick(0).wake_at
    return None if wake_at is None else wake_at - at


def started(**spec: object) -> Stage:
    stage = Stage(desired(version(strategy=STRATEGY, **spec)))
    stage.settle()
    return stage


def test_nobody_is_woken_where_everything_is_as_asked_for() -> None:
    assert wake_in(started()) is None


def test_a_rollout_is_looked_at_when_its_deadline_ends() -> None:
    stage = Stage(desired(version(strategy=STRATEGY)))
    stage.broken.add("demo:1")
    stage.tick(0)
    stage.run_for(20)
    assert wake_in(stage) == 40


def test_a_replica_that_is_ready_is_looked_at_again_once_it_was_so_for_long_enough() -> None:
    stage = Stage(desired(version(strategy={"minReadySeconds": 30, **STRATEGY})))
    stage.until(lambda: stage.statuses and stage.statuses["web"].ready == 2, seconds=0)
    stage.now += 5
    assert wake_in(stage) == 25


def test_a_replica_that_was_disturbed_is_looked_at_when_it_loses_its_place() -> None:
    stage = started()
    stage.crash("web-1")
    stage.held.add("web-1")
    stage.tick(4)
    assert wake_in(stage) == 6


def test_no_moment_that_has_come_wakes_anybody_again() -> None:
    stage = Stage(desired(version()))
    for seconds in (0, 0, 0, 1) * 5:
        wakes = wake_in(stage)
        assert wakes is None or wakes > 0
        stage.now += seconds
    stage.desired = desired(version(image="demo:2", revision="r2"), revision="r2")
    for seconds in (0, 0, 0, 1) * 15:
        wakes = wake_in(stage)
        assert wakes is None or wakes > 0
        stage.now += seconds


def test_a_canary_is_looked_at_when_its_verdict_is_due() -> None:
    stage = started()
    strategy = {**STRATEGY, "canary": {"weight": 10, "holdSeconds": 30}}
    stage.desired = desired(version(image="demo:2", strategy=strategy, revision="r2"), revision="r2")
    stage.until(lambda: "before the verdict" in stage.text(), seconds=0)
    assert wake_in(stage) == 30

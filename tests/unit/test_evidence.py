"""What was known of a replica that was removed for being unwell stays on record with its removal."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.events import Event
from tests.support.apps import desired, version
from tests.support.stage import Stage


def removal(stage: Stage, name: str) -> Event:
    return next(event for event in stage.events if event.message.startswith(f"remove {name}:"))


def says(stage: Stage, name: str, log: str) -> None:
    """What stands in its log, for whoever asks."""
    stage.containers[name] = replace(stage.containers[name], last_log=log)


def test_the_removal_of_an_unhealthy_replica_keeps_its_last_lines_and_answers() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    says(stage, "web-1", "no database\ngiving up")
    stage.sicken("web-1")
    stage.until(lambda: "web-1" not in stage.containers)
    stage.settle()
    details = removal(stage, "web-1").details
    assert (details["log"], details["answer"]) == ("no database\ngiving up", "answered 503")
    assert "exit_code" not in details


def test_the_removal_of_a_replica_in_a_crash_loop_keeps_how_it_ended() -> None:
    stage = Stage(desired(version(replicas=2, resources={"memory": "64Mi"})))
    stage.settle()
    for _ in range(4):
        stage.crash("web-1", exit_code=137, log="allocating", out_of_memory=True)
        stage.until(lambda: stage.containers["web-1"].state == "running")
    stage.crash("web-1", exit_code=137, log="allocating", out_of_memory=True)
    stage.desired = desired(version(replicas=2, image="demo:2", revision="r2"), revision="r2")
    stage.settle(most_ticks=300)
    details = removal(stage, "web-1").details
    assert (details["log"], details["exit_code"]) == ("allocating", "137")
    assert details["out_of_memory"].startswith("OOMKilled: it needed more than its limit of 64 MiB")


def test_the_removal_of_what_a_failed_rollout_left_keeps_its_last_lines() -> None:
    stage = Stage(desired(version(replicas=2)), broken={"demo:2"})
    stage.settle()
    strategy = {"progressDeadlineSeconds": 10}
    stage.desired = desired(version(replicas=2, image="demo:2", revision="r2", strategy=strategy), revision="r2")
    stage.until(lambda: "web-3" in stage.containers)
    says(stage, "web-3", "no such table")
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.until(lambda: "web-3" not in stage.containers)
    stage.tick()
    details = removal(stage, "web-3").details
    assert (details["log"], details["answer"]) == ("no such table", "answered 503")


def test_nobody_asks_what_a_replica_says_that_goes_in_good_health() -> None:
    stage = Stage(desired(version(replicas=3)))
    stage.settle()
    says(stage, "web-3", "listening")
    stage.desired = desired(version(replicas=2, revision="r2"), revision="r2")
    stage.settle()
    assert removal(stage, "web-3").details.keys() == {"seconds", "replica", "container"}

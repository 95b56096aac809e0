"""What is told of a rollout: that it begins, of what, and how it ended."""

from __future__ import annotations

from tests.support.apps import desired, version
from tests.support.stage import Stage


def rollout_messages(stage: Stage) -> list[str]:
    return [event.message for event in stage.events if event.type == "rollout"]


def without_details(messages: list[str]) -> list[str]:
    return [message.partition(" (spec ")[0] for message in messages]


def test_a_rollout_is_told_when_it_begins_and_how_it_ended() -> None:
    stage = Stage(desired())
    stage.broken.add("demo:3")
    for number in (1, 2, 3):
        strategy = {"progressDeadlineSeconds": 5}
        wanted = version(image=f"demo:{number}", strategy=strategy, revision=f"r{number}")
        stage.desired = desired(wanted, revision=f"r{number}")
        stage.tick()
        stage.until(lambda: stage.state.apps["web"].rollout is None)
    assert without_details(rollout_messages(stage)) == [
        "first rollout: demo:1 of revision r1",
        "rollout of demo:1 of revision r1",
        "rolling out demo:2 of revision r2",
        "rollout of demo:2 of revision r2",
        "rolling out demo:3 of revision r3",
        "rollout of demo:3 of revision r3",
        "rolling back to demo:2 of revision r2",
        "rolled back to demo:2 of revision r2",
    ]
    ends = [message.partition(") ")[2].split()[0] for message in rollout_messages(stage)[1::2]]
    assert ends == ["complete", "complete", "failed:", "after"]


def test_a_change_that_is_taken_back_half_way_is_told_as_going_back() -> None:
    stage = Stage(desired(version()), broken={"demo:2"})
    stage.settle()
    stage.desired = desired(version(image="demo:2", revision="r2"), revision="r2")
    stage.tick()
    stage.desired = desired(version(revision="r3"), revision="r3")
    stage.settle()
    told = without_details(rollout_messages(stage))
    assert told[-2:] == ["going back to demo:1 of revision r3", "rollout of demo:1 of revision r3"]

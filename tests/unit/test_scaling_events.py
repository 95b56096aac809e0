"""A change of the count is told when it is decided, and again once it is done, with how long it took."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.events import Event
from tests.support.apps import desired, version
from tests.support.stage import Stage


def scaling_events(stage: Stage) -> list[Event]:
    return [event for event in stage.events if event.type == "scaling"]


def scaling_messages(stage: Stage) -> list[str]:
    return [event.message for event in scaling_events(stage)]


def test_the_end_of_a_change_of_the_count_is_told_once_with_its_duration() -> None:
    stage = Stage(desired(version(replicas=1)))
    stage.settle()
    assert scaling_messages(stage) == []
    stage.desired = desired(version(replicas=3, revision="r2"), revision="r2")
    stage.settle()
    begun, ended = scaling_events(stage)
    assert begun.message.startswith("scale out from 1 to 3")
    assert ended.at > begun.at
    assert ended.message == f"scaled from 1 to 3 in {ended.at - begun.at:.1f} s"


def test_a_later_disturbance_is_no_change_of_the_count() -> None:
    stage = Stage(desired(version(replicas=1)))
    stage.settle()
    stage.desired = desired(version(replicas=2, revision="r2"), revision="r2")
    stage.settle()
    before = scaling_messages(stage)
    stage.crash("web-1")
    stage.settle()
    assert scaling_messages(stage) == before


def test_a_change_of_the_count_from_before_it_was_recorded_what_it_was_has_no_end_to_tell() -> None:
    stage = Stage(desired(version(replicas=1)))
    stage.settle()
    stage.desired = desired(version(replicas=3, revision="r2"), revision="r2")
    stage.tick()
    app = stage.state.apps["web"]
    stage.state = replace(stage.state, apps={"web": replace(app, scaling=replace(app.scaling, scaled_from=None))})
    stage.settle()
    (begun,) = scaling_messages(stage)
    assert begun.startswith("scale out from 1 to 3")

"""A container that was created and never started, since its creation was cut off: it is finished, in due time."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.actions import EnsureImage
from reconciler.model.observed import ContainerState
from reconciler.model.reasons import Reason
from tests.support.apps import desired, version
from tests.support.stage import Stage, rejected, try_later


def cut_off() -> Stage:
    """A first replica that has been created and not started."""
    stage = Stage(desired(version(replicas=1)))
    stage.until(lambda: stage.containers)
    stage.tick()
    stage.containers["web-1"] = replace(stage.containers["web-1"], state=ContainerState.CREATED)
    return stage


def attempts(stage: Stage, seconds: int) -> list[float]:
    """When its creation was tried within so many seconds, counted from here."""
    began_at, at = stage.now, []
    while stage.now < began_at + seconds:
        now = stage.now
        if any(action.key == "web-1" for action in stage.tick(0.25).actions):
            at.append(now - began_at)
    return at


def test_a_creation_that_was_cut_off_is_finished_at_once() -> None:
    assert attempts(cut_off(), 10) == [0.0]


def test_a_creation_that_was_cut_off_and_fails_again_and_again_is_tried_ever_more_slowly() -> None:
    stage = cut_off()
    stage.failing["web-1"] = try_later("EngineFailed", "the Engine stumbled")
    assert attempts(stage, 20) == [0.0, 1.0, 3.0, 7.0, 15.0]


def test_a_creation_that_was_cut_off_and_is_refused_waits_for_another_spec() -> None:
    stage = cut_off()
    stage.failing["web-1"] = rejected("StartRefused", "no such file")
    assert attempts(stage, 10) == [0.0]
    assert "waiting for a changed spec" in stage.text()


def test_a_creation_that_was_cut_off_is_finished_once_its_image_is_there_again() -> None:
    stage = cut_off()
    stage.failing["web-1"] = try_later(Reason.IMAGE_MISSING, "no such image")
    stage.until(lambda: stage.plan and any(isinstance(action, EnsureImage) for action in stage.plan.actions))
    stage.failing.clear()
    stage.settle()
    assert stage.routed() == ["web-1"]

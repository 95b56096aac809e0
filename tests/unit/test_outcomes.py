"""What the end of an action means for what comes next."""

from __future__ import annotations

import pytest

from reconciler.model.actions import EnsureImage
from tests.support.apps import desired, version
from tests.support.stage import Stage, try_later


@pytest.mark.parametrize(
    ("reason", "pulled"), [("ImageMissing", True), ("AddressTaken", False), ("NetworkMissing", False)]
)
def test_an_image_is_pulled_again_where_creating_a_replica_has_missed_it(reason: str, pulled: bool) -> None:
    stage = Stage(desired(version()))
    stage.settle()
    stage.failing["web-3"] = try_later(reason, "not now")
    stage.desired = desired(version(replicas=3, revision="r2"), revision="r2")
    stage.until(lambda: "not now" in stage.text())
    actions = [action for _ in range(10) for action in stage.tick().actions]
    assert any(isinstance(action, EnsureImage) for action in actions) is pulled

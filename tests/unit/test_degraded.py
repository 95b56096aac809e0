"""What is wrong with an app: the worst of it in one sentence, and how much more there is."""

from __future__ import annotations

import pytest

from reconciler.model.desired import Problem
from tests.support.apps import desired, version
from tests.support.stage import Stage


@pytest.mark.parametrize(("problems", "more"), [(1, ""), (2, " (and 1 more)"), (4, " (and 3 more)")])
def test_of_several_problems_of_a_spec_the_first_is_told_and_the_others_are_counted(problems: int, more: str) -> None:
    stage = Stage(desired(version()))
    stage.settle()
    found = tuple(Problem("web.yaml", line, "spec", "a mess", "a spec", "web") for line in range(1, problems + 1))
    stage.desired = desired(revision="r2", problems=found)
    stage.tick()
    words = f"web.yaml:1: spec: found a mess; expected a spec{more}; the last good spec keeps running"
    assert stage.statuses["web"].error == words

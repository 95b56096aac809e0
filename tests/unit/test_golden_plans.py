"""The plans of whole stories, as users see them, byte for byte.

A behaviour that changes shows as a diff of ``tests/golden/plans``: renew the texts with ``UPDATE_GOLDEN=1 pytest`` and
review it.
"""

from __future__ import annotations

import pytest

from tests.golden.stories import STORIES
from tests.support.golden import GOLDEN, assert_golden
from tests.support.story import Story


@pytest.mark.parametrize("name", STORIES)
def test_the_plans_of_a_story_read_as_reviewed(name: str) -> None:
    story = Story()
    STORIES[name](story)
    assert_golden(f"plans/{name}.txt", story.text())


def test_every_golden_plan_has_its_story() -> None:
    assert {path.stem for path in (GOLDEN / "plans").glob("*.txt")} == STORIES.keys()

"""How a revision is shown."""

from __future__ import annotations

import pytest

from reconciler.model.version import short


@pytest.mark.parametrize(
    ("revision", "shown"), [("ab" * 20, "ab" * 6), ("ab" * 32, "ab" * 6), ("dir-0123456789ab", "dir-0123456789ab")]
)
def test_a_commit_is_shown_by_its_beginning_however_long_names_are(revision: str, shown: str) -> None:
    assert short(revision) == shown

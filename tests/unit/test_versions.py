"""What is told of a change of version, and what is not."""

from __future__ import annotations

import pytest

from reconciler.decide.words import differences
from reconciler.model.version import short
from tests.support.apps import version


def test_a_change_of_version_is_told_without_values_that_may_be_secret() -> None:
    old = version(
        environment=[{"name": "PW", "value": "hunter2"}, {"name": "MODE", "value": "a"}], args=["--token=abc"]
    )
    new = version(
        environment=[{"name": "PW", "value": "hunter3"}, {"name": "MODE", "value": "a"}], args=["--token=abd"]
    )
    assert differences(old, new) == ("spec.args: changed", "spec.environment: PW")


def test_a_change_of_version_is_told_with_values_that_are_no_secret() -> None:
    assert differences(version(), version(image="demo:2")) == ("spec.image: demo:1 → demo:2",)


@pytest.mark.parametrize(
    ("revision", "shown"), [("ab" * 20, "ab" * 6), ("ab" * 32, "ab" * 6), ("dir-0123456789ab", "dir-0123456789ab")]
)
def test_a_commit_is_shown_by_its_beginning_however_long_names_are(revision: str, shown: str) -> None:
    assert short(revision) == shown

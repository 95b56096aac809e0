"""What is told of a change of version, and what is not."""

from __future__ import annotations

from reconciler.decide.words import differences
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

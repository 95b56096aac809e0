"""Random scenarios in a world where everything fails: no promise is broken, and in the end all is as asked for.

The same ones each time. ``tests/long/scenarios.py`` tells others, and as many as there is time for.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.scenarios.scenario import Scenario

SETTINGS = settings(max_examples=60, stateful_step_count=20, derandomize=True)


def test_whatever_goes_wrong_no_promise_is_broken_and_in_the_end_all_is_as_asked_for() -> None:
    run_state_machine_as_test(Scenario, settings=SETTINGS)

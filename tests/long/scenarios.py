"""Random scenarios in a world where everything fails, driven through the product's own tick; a failure shrinks.

``EXAMPLES=5000 STEPS=50 .venv/bin/python -m pytest tests/long/scenarios.py``. Its oracle reads only what the fakes
did. It is a long trial, and no test that CI runs: it still finds stories that nobody has judged, and is to take the
place of ``tests/simulation`` once there are none.
"""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.scenarios.scenario import Scenario

SETTINGS = settings(
    max_examples=int(os.environ.get("EXAMPLES", "100")), stateful_step_count=int(os.environ.get("STEPS", "25"))
)


def test_whatever_goes_wrong_no_promise_is_broken_and_in_the_end_all_is_as_asked_for() -> None:
    run_state_machine_as_test(Scenario, settings=SETTINGS)

"""Random scenarios in a world where everything fails, driven through the product's own tick; a failure shrinks.

``EXAMPLES=5000 STEPS=50 .venv/bin/python -m pytest tests/long/scenarios.py``. Others each time; ``tests/unit`` tells a
few that stay the same.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.scenarios.scenario import Scenario

SETTINGS = settings(
    max_examples=int(os.environ.get("EXAMPLES", "100")), stateful_step_count=int(os.environ.get("STEPS", "25"))
)


@pytest.mark.timeout(0)
def test_whatever_goes_wrong_no_promise_is_broken_and_in_the_end_all_is_as_asked_for() -> None:
    run_state_machine_as_test(Scenario, settings=SETTINGS)

"""Scenarios that are the same each time, as a program: ``python -m tests.scenarios.same``.

In a process of its own, since Hypothesis draws from the constants of whatever modules are loaded: beside other tests
the scenarios would be others with each new module, and one of them a story that nobody has read.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.scenarios.scenario import Scenario

SETTINGS = settings(
    max_examples=60,
    stateful_step_count=20,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

if __name__ == "__main__":
    run_state_machine_as_test(Scenario, settings=SETTINGS)

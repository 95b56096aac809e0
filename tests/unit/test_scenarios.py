"""Random scenarios in a world where everything fails: no promise is broken, and in the end all is as asked for.

The same ones each time. ``tests/long/scenarios.py`` tells others, and as many as there is time for.
"""

from __future__ import annotations

import subprocess
import sys


def test_whatever_goes_wrong_no_promise_is_broken_and_in_the_end_all_is_as_asked_for() -> None:
    program = [sys.executable, "-m", "tests.scenarios.same"]
    told = subprocess.run(program, capture_output=True, text=True, timeout=170, check=False)
    assert told.returncode == 0, told.stdout + told.stderr

"""Leaders that are paused in the middle of their work, one after the other.

``.venv/bin/python -m pytest tests/long/paused_leader.py``. Two of them, ``tests/e2e`` has.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.paused_leader import pair
from tests.support.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

PAUSES = 20


@pytest.mark.timeout(0)
def test_leaders_that_were_paused_touch_nothing_of_their_successors(tmp_path: Path, postgres_url: str) -> None:
    with pair(tmp_path, postgres_url) as controllers:
        controllers.begin()
        for number in range(PAUSES):
            controllers.pause_and_follow()
            print(f"pause {number + 1} of {PAUSES}: nothing was touched", flush=True)

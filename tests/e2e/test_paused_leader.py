"""A controller that is paused, and goes on after another one has taken over; many times, `tests/long` does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.paused_leader import pair
from tests.support.postgres import postgres_server, postgres_url

pytestmark = [pytest.mark.engine, pytest.mark.nginx, pytest.mark.postgres]

__all__ = ["postgres_server", "postgres_url"]


def test_a_leader_that_was_paused_touches_nothing_of_its_successors(tmp_path: Path, postgres_url: str) -> None:
    with pair(tmp_path, postgres_url) as controllers:
        controllers.begin()
        for _ in range(2):
            controllers.pause_and_follow()

"""Waiting for something to become true, with a generous bound that only a failure ever reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], *, within_seconds: float = 20.0, every_seconds: float = 0.01) -> T:
    """The first true-ish result of ``look``; an AssertionError names what was seen last."""
    ends_at = time.monotonic() + within_seconds
    while not (seen := look()):
        if time.monotonic() > ends_at:
            raise AssertionError(f"still {seen!r} after {within_seconds:g} s")
        time.sleep(every_seconds)
    return seen

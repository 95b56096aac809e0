"""Keeps the access log bounded: one file that grows, and one before it.

The log is renamed once it is large, then nginx is told to open it anew. Both steps are repeated by what is seen on disk
and not by what is remembered, so a crash between them, or an nginx that was just restarting, costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from reconciler.load.log_tail import log_before
from reconciler.ports import Unavailable

_AGAIN_AFTER_SECONDS = 10.0


class LogRotation:
    """The rotation of the access log. ``reopen`` makes nginx open its logs anew; it may raise Unavailable."""

    def __init__(self, path: Path, max_bytes: int, reopen: Callable[[], None]) -> None:
        self._path = path
        self._before = log_before(path)
        self._max_bytes = max_bytes
        self._reopen = reopen
        self._next_try = 0.0
        self._obstacle = ""

    def keep_bounded(self) -> str:
        """Rotate if it is time; what is in the way, in a sentence, or "" where nothing is."""
        if time.monotonic() >= self._next_try:
            self._obstacle = self._rotate()
        return self._obstacle

    def _rotate(self) -> str:
        try:
            if self._path.exists() and self._path.stat().st_size > self._max_bytes:
                self._path.replace(self._before)
            if self._before.exists() and not self._path.exists():
                self._next_try = time.monotonic() + _AGAIN_AFTER_SECONDS
                self._reopen()
        except (OSError, Unavailable) as error:
            self._next_try = time.monotonic() + _AGAIN_AFTER_SECONDS
            return f"the access log can't be rotated and grows on: {error}"
        return ""

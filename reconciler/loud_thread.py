"""A background thread that can't end unnoticed.

By itself, a thread that a bug ends leaves a traceback on standard error and a controller that goes on half blind: on an
old commit, or without loads. This one keeps what ended it; whoever uses its work calls `check`, which the tick does
through the ports, so that a bug in the background is a bug of the loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class LoudThread(threading.Thread):
    """A thread that runs ``work`` once started, and keeps the error that ends it. It does not keep the program from
    ending. ``ended`` is called at the end, however it came, once `check` knows of it."""

    def __init__(self, work: Callable[[], None], name: str, ended: Callable[[], None] = lambda: None) -> None:
        super().__init__(target=work, name=name, daemon=True)
        self._ended = ended
        self._bug: Exception | None = None

    def run(self) -> None:
        try:
            super().run()
        except Exception as bug:  # noqa: BLE001 whatever it is, `check` raises it
            self._bug = bug
        finally:
            self._ended()

    def check(self) -> None:
        """Raise RuntimeError, from the bug, where one ended the thread; never an error that means something else."""
        if self._bug is not None:
            raise RuntimeError(f"a bug ended the thread {self.name}") from self._bug

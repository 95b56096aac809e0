"""A watch over one process, on a thread of its own: its end is told of at once, and not when somebody looks again.

Decides only how often it tells: one that dies again and again as soon as it is started costs no more than a second's
look each time. Where the kernel offers no such watch, whoever looks next finds out.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from reconciler.loud_thread import LoudThread

# Between two deaths that are told of.
PAUSE_SECONDS = 1.0


class DeathWatch:
    """Watches one process at a time; ``died`` is called, from another thread, once it has ended."""

    def __init__(self, died: Callable[[], None]) -> None:
        self._died = died
        self._pid = 0
        self._thread: LoudThread | None = None
        self._end = -1  # an eventfd that ends the thread
        self._told_at = float("-inf")

    def over(self, pid: int) -> None:
        """Watch this process from now on, and no other. Raises RuntimeError where a bug has ended the watch."""
        if self._thread is not None:
            self._thread.check()
            if self._pid == pid and self._thread.is_alive():
                return
        self.close()
        try:
            process = os.pidfd_open(pid)
        except OSError:  # it has ended, or the kernel has no such thing: either is seen by the next look
            return
        self._pid, self._end = pid, os.eventfd(0)
        self._thread = LoudThread(lambda: self._wait(process, self._end), "nginx-watch")
        self._thread.start()

    def close(self) -> None:
        """Watch nothing any more."""
        thread, self._thread = self._thread, None
        if thread is not None:
            os.eventfd_write(self._end, 1)
            thread.join()
            os.close(self._end)

    def _wait(self, process: int, end: int) -> None:
        try:
            if _is_ready(end, process):
                return
        finally:
            os.close(process)
        pause_seconds = self._told_at + PAUSE_SECONDS - time.monotonic()
        if pause_seconds > 0 and _is_ready(end, seconds=pause_seconds):
            return
        self._told_at = time.monotonic()
        self._died()


def _is_ready(end: int, *others: int, seconds: float | None = None) -> bool:
    """Wait for any of these descriptors; whether the first is ready."""
    poll = select.poll()
    for descriptor in (end, *others):
        poll.register(descriptor, select.POLLIN)
    return end in {descriptor for descriptor, _ in poll.poll(None if seconds is None else 1000 * seconds)}

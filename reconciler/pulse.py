"""What the loop is at, and how others hear of it whatever it is waiting for: where signs of life come from.

The loop says at which step it is and what it can't reach. Threads of their own pass that on, at once and every few
seconds, so that a tick which hangs is told of while it hangs; and one holds the instance, as long as the loop moves at
all. Decides from when on a step takes too long, and from when on another controller had better take over. It must never
keep the loop waiting, nor end it for a sign that can't be written.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Literal

from reconciler.loud_thread import LoudThread
from reconciler.model.observed import Outage
from reconciler.model.recorded import SignOfLife
from reconciler.ports import CHECKPOINT_SECONDS, ActionError, AlreadyRunning, Unavailable

SIGN_SECONDS = 5.0
# A step of the loop that takes longer keeps it from its work, where no other time is said.
SLOW_SECONDS = 4.0
PATIENCE_SECONDS = 2.0
# A loop that has got no further for so long no longer holds the instance.
HOLD_SECONDS = 60.0

# Sides without which the loop can't work, or can't tell of it; the first of them that is away is what is told.
_VITAL = ("disk", "store", "engine")

Writer = Callable[[SignOfLife], None]


class Pulse:
    """What the loop is doing, and what keeps it from its work; as a context manager, for whoever reads what ``writers``
    write, each in a thread of its own; and for whom the instance is held by calls of ``renew``. The loop's thread alone
    calls `at`, `rest` and `reached`."""

    def __init__(self, writers: Mapping[str, Writer] = {}, renew: Callable[[], None] = lambda: None) -> None:
        self._started_at = time.time()
        self._moved_at = time.monotonic()
        self._ended = threading.Event()
        self._step: tuple[str, float, float] | None = None
        self._outage: tuple[str, float] = ("", 0.0)
        self._end: SignOfLife | None = None
        self._wakes = {place: threading.Event() for place in writers}
        self._threads = [
            LoudThread(partial(self._tell, write, self._wakes[place]), f"sign of life in {place}")
            for place, write in writers.items()
        ]
        self._threads.append(LoudThread(partial(self._hold, renew), "hold on the instance"))

    def __enter__(self) -> Pulse:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Let the last sign tell how it ended, and wait for that a moment only."""
        self._end = sign_of_end(self._started_at, "failed" if error else "stopped", _explained(error))
        self._ended.set()
        self._wake()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def at(self, step: str, slow_after_seconds: float = SLOW_SECONDS) -> None:
        """The loop begins a step, which goes on where a sentence begins with "the controller is"."""
        self._moved_at = time.monotonic()
        self._step = (step, self._moved_at, slow_after_seconds)

    def rest(self) -> None:
        """The loop has nothing to do until it is woken. Raises RuntimeError where a bug has ended a thread."""
        self._moved_at = time.monotonic()
        self._step = None
        for thread in self._threads:
            thread.check()

    def reached(self, outages: Iterable[Outage], since: Mapping[str, float]) -> None:
        """What could not be reached by the tick that has ended, and since when it can't."""
        away = {outage.side: outage for outage in outages}
        worst = next((away[side] for side in _VITAL if side in away), None)
        before, self._outage = self._outage, ("", 0.0)
        if worst is not None:
            self._outage = (worst.sentence, since.get(worst.side, time.time()))
        if self._outage != before:
            self._wake()

    def trouble(self) -> tuple[str, float]:
        """What keeps the loop from its work, and since when; "" where nothing does."""
        step, outage = self._step, self._outage
        if step is None or outage[0] or self._seconds_until_slow() > 0:
            return outage
        return f"the controller is {step[0]}", time.time() - (time.monotonic() - step[1])

    def _seconds_until_slow(self) -> float:
        step = self._step
        return step[1] + step[2] - time.monotonic() if step else SIGN_SECONDS

    def _wake(self) -> None:
        for event in self._wakes.values():
            event.set()

    def _tell(self, write: Writer, woken: threading.Event) -> None:
        end = None
        while end is None:
            woken.clear()
            end = self._end
            # What can't be written is silence to those who read it, and that is as much as can be said then.
            with suppress(OSError, Unavailable):
                write(end or self._sign())
            if end is None:
                slow_in_seconds = self._seconds_until_slow()
                woken.wait(min(SIGN_SECONDS, slow_in_seconds) if slow_in_seconds > 0 else SIGN_SECONDS)

    def _hold(self, renew: Callable[[], None]) -> None:
        while not self._ended.wait(CHECKPOINT_SECONDS):
            if time.monotonic() - self._moved_at < HOLD_SECONDS:
                # Whatever it is, the loop meets it as well, and there it is told.
                with suppress(AlreadyRunning, Unavailable):
                    renew()

    def _sign(self) -> SignOfLife:
        trouble, since = self.trouble()
        return replace(_sign_now(self._started_at), trouble=trouble, trouble_since=since)


def sign_of_end(started_at: float, ended: Literal["stopped", "failed", "removed"], why: str = "") -> SignOfLife:
    """The last sign of a process of ours, and how it ended at this moment."""
    return replace(_sign_now(started_at), ended=ended, trouble=why)


def _sign_now(started_at: float) -> SignOfLife:
    return SignOfLife(time.time(), socket.gethostname(), os.getpid(), started_at)


def _explained(error: BaseException | None) -> str:
    """What ended the controller, for anybody to read: of a bug not its words, which may hold anything."""
    if error is None:
        return ""
    known = isinstance(error, ActionError | AlreadyRunning | Unavailable)
    return str(error) if known else f"{type(error).__name__}, which its log tells of"

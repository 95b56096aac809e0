"""Readings of a source, one after the other, in a thread of their own: what the last finished one said is the answer.

A reading may take longer than a tick, be it for the network, for a slow disk or for what somebody has committed; that
costs freshness, and never holds up the loop; one that takes very long is told of. Decides when to read again and when
the loop has to hear of it; what a reading is, it is told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from time import monotonic

from reconciler.loud_thread import LoudThread
from reconciler.model.desired import Desired
from reconciler.ports import Unavailable

# From when on people are told of a reading under way, and how often anew: each time is a write to the record.
LONG_SECONDS = 30.0


class Readings:
    """The readings of one source. ``read`` is called whenever `begin` asks for it, and ``interval_seconds`` after the
    last one, if ever; ``wake`` where it says something else than before. ``doing`` says for people what is going on
    while it reads."""

    def __init__(
        self,
        read: Callable[[], Desired],
        wake: Callable[[], None],
        *,
        thread_name: str,
        interval_seconds: float | None = None,
        doing: str,
    ) -> None:
        self._read = read
        self._wake = wake
        self._interval_seconds = interval_seconds
        self._doing = doing
        self._began_at: float | None = None
        self._answer: Desired | Unavailable = Unavailable(f"{doing} for the first time")
        self._requests: SimpleQueue[None] = SimpleQueue()
        self._first = threading.Event()
        self._closed = False
        # Nobody has to wait for what a bug has ended.
        self._thread = LoudThread(self._run, thread_name, ended=self._first.set)
        self._thread.start()

    def last(self) -> Desired:
        """What the last finished reading said, with a notice where the one under way takes long. Raises Unavailable
        where it could not read, or none has finished yet."""
        self._thread.check()
        answer, delay = self._answer, self._delay()
        if isinstance(answer, Unavailable):
            raise Unavailable("; ".join(filter(None, (str(answer), delay))))
        if not delay:
            return answer
        return replace(answer, notices=(*answer.notices, f"{delay}; the last finished reading stays in force"))

    def begin(self) -> None:
        """Read again as soon as the reading under way, if any, has finished. Doesn't wait for it, nor for any lock:
        signal handlers call it too, and may interrupt another call. So it only puts into a queue."""
        self._requests.put(None)

    def meanwhile(self, answer: Desired | Unavailable) -> None:
        """Answer this until the reading under way has finished; for the reading itself to call."""
        self._answer = answer
        self._wake()

    def wait_for_first(self, timeout_seconds: float | None) -> None:
        """Wait until the first reading has finished, well or not. Raises RuntimeError where a bug has ended it."""
        self._first.wait(timeout_seconds)
        self._thread.check()

    def close(self, patience_seconds: float = 0.0) -> None:
        """Read no more, and wait so long for the reading under way, which ends by itself."""
        self._closed = True
        self.begin()
        self._thread.join(patience_seconds)

    def _run(self) -> None:
        while not self._closed:
            before, self._answer = self._answer, self._finished()
            self._first.set()
            if not _same(before, self._answer):
                self._wake()
            self._await_request()

    def _await_request(self) -> None:
        """Until a reading is asked for, or due. All that ask meanwhile get the same one."""
        with suppress(Empty):
            self._requests.get(timeout=self._interval_seconds)
            while True:
                self._requests.get_nowait()

    def _finished(self) -> Desired | Unavailable:
        self._began_at = monotonic()
        try:
            return self._read()
        except Unavailable as error:
            return error
        finally:
            self._began_at = None

    def _delay(self) -> str:
        """How long the reading under way has taken so far, where that is long; else ""."""
        began_at = self._began_at
        seconds = 0.0 if began_at is None else (monotonic() - began_at) // LONG_SECONDS * LONG_SECONDS
        return f"{self._doing}, which has taken {seconds:g} s so far" if seconds else ""


def _same(before: Desired | Unavailable, after: Desired | Unavailable) -> bool:
    if isinstance(before, Unavailable) or isinstance(after, Unavailable):
        return str(before) == str(after)
    return before is after or (before.revision, before.notices, before.changes) == (
        after.revision,
        after.notices,
        after.changes,
    )

"""The fence: whether this is still the instance's controller, asked right before anything outside is changed.

By the lease's epoch where hosts share a server, else by the lock file. It never takes or renews anything, and it never
trusts an answer that is as old as a pause.
"""

from __future__ import annotations

import time

from reconciler.ports import LeadershipUnknown, Unavailable
from reconciler.store.database import Postgres
from reconciler.store.leadership import FileLock, Lease

# An answer that took longer is asked for again: the process may have been stopped meanwhile.
_STALE_SECONDS = 1.0
_QUESTIONS = 3


def pass_fence(lock: FileLock, server: Postgres | None, lease: Lease | None) -> None:
    """Return where the instance is held, now. Raises AlreadyRunning or LeadershipUnknown."""
    for _ in range(_QUESTIONS):
        began = time.monotonic()
        if server:
            _ask_lease(server, lease)
        else:
            lock.check()
        if time.monotonic() - began < _STALE_SECONDS:
            return
    raise LeadershipUnknown("whether another controller has taken over is told too slowly to be relied on")


def _ask_lease(server: Postgres, lease: Lease | None) -> None:
    if lease is None:
        raise LeadershipUnknown("this controller does not hold its instance")
    try:
        _ask(server, lease)
    except Unavailable:
        try:
            _ask(server, lease)  # over another connection
        except Unavailable as error:
            raise LeadershipUnknown(f"whether another controller has taken over can't be told: {error}") from error


def _ask(server: Postgres, lease: Lease) -> None:
    with server.asking() as connection:
        lease.check(connection)

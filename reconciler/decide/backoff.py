"""When to try again after failures in a row.

Doubling from one second to five minutes, as Kubernetes paces crash loops; forgotten after ten minutes of health.
"""

from __future__ import annotations

from reconciler.model.memory import Backoff

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0
FORGOTTEN_AFTER_SECONDS = 600.0


def after_failure(
    previous: Backoff | None, reason: str, message: str, now: float, *, until_changed: bool = False
) -> Backoff:
    """The back-off after one more failure. ``until_changed``: only another spec can help."""
    attempts = 1 + (previous.attempts if previous else 0)
    delay = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(attempts - 1, 16))
    return Backoff(attempts, now + delay, reason, message, until_changed)


def blocks(backoff: Backoff | None, now: float) -> bool:
    """Whether trying again has to wait. A clock set back can lengthen no wait beyond the longest."""
    if backoff is None:
        return False
    return backoff.until_changed or now < backoff.next_at <= now + LONGEST_SECONDS

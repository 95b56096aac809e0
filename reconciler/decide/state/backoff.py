"""When to try again after failures in a row.

Doubling from one second to five minutes, as Kubernetes paces crash loops; forgotten after ten minutes of health.
"""

from __future__ import annotations

from reconciler.model.state import Backoff

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0
FORGOTTEN_AFTER_SECONDS = 600.0


def delay_seconds(attempts: int) -> float:
    """How long to wait after so many failures in a row."""
    return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(attempts - 1, 16))


def after_failure(
    previous: Backoff | None, reason: str, message: str, now: float, *, until_changed: bool = False
) -> Backoff:
    """The back-off after one more failure. ``until_changed``: only another spec can help."""
    attempts = 1 + (previous.attempts if previous else 0)
    return Backoff(attempts, now + delay_seconds(attempts), reason, message, until_changed)


def blocks(backoff: Backoff | None, now: float) -> bool:
    """Whether trying again has to wait."""
    return backoff is not None and (backoff.until_changed or now < backoff.next_at)

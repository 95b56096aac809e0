"""Back-off: failures in a row, and when to try again.

Doubling from one second to five minutes, as Kubernetes paces crash loops; forgotten after ten minutes of health.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.moments import Moment
from reconciler.model.reasons import OUTSIDE, Reason

FIRST_DELAY_SECONDS = 1.0
MAX_DELAY_SECONDS = 300.0
FORGOTTEN_AFTER_SECONDS = 600.0


def delay_seconds(attempts: int) -> float:
    """How long to wait after so many failures in a row."""
    return min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(attempts - 1, 16))


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures in a row, the last of them at ``failed_at``. ``reason`` is one CamelCase word, ``message`` for people.

    ``until_changed`` marks a failure that only another spec can mend; ``next_at`` then means nothing.
    """

    attempts: int
    failed_at: Moment
    reason: Reason
    message: str
    until_changed: bool = False

    @property
    def next_at(self) -> float:
        """When to try again (epoch seconds)."""
        return self.failed_at + delay_seconds(self.attempts)

    @property
    def what_next(self) -> str:
        """What failed last, and what is to come."""
        coming = "waiting for a changed spec" if self.is_final else f"trying again (attempt {self.attempts + 1})"
        return f"{self.message}; {coming}"

    @property
    def is_final(self) -> bool:
        """Whether only another spec helps. An earlier version took some causes outside the spec for that."""
        return self.until_changed and self.reason not in OUTSIDE

    def blocks(self, now: float) -> bool:
        """Whether trying again has to wait."""
        return self.is_final or now < self.next_at


def after_failure(
    previous: Backoff | None, reason: Reason, message: str, at: float, *, until_changed: bool = False
) -> Backoff:
    """The back-off after one more failure. ``until_changed``: only another spec can help."""
    return Backoff(1 + (previous.attempts if previous else 0), at, reason, message, until_changed)

"""A replica's health as its probes have told it so far."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """``unknown`` until the checks have said enough, and while they can't be made."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Tally:
    """Counters that every check moves. Kept apart since they alone are no reason to write to the store at once."""

    checks: int = 0
    failures: int = 0
    consecutive_successes: int = 0
    last_check_at: float | None = None
    last_success_at: float | None = None
    last_failure_at: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """One check's standing. Times in epoch seconds.

    ``since`` is when the verdict last changed, ``first_healthy_at`` when it first became healthy: failures count
    against a replica only from then on. ``detail`` is the last failed answer.
    """

    verdict: Verdict = Verdict.UNKNOWN
    since: float | None = None
    first_healthy_at: float | None = None
    consecutive_failures: int = 0
    detail: str = ""
    tally: Tally = Tally()

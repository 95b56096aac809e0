"""Health: where a replica stands by the answers of its probes so far.

What an answer makes of it is for `decide.state.health` to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from reconciler.model.moments import Moment

CheckKind = Literal["health", "readiness"]
KINDS: tuple[CheckKind, ...] = ("health", "readiness")
# What the Engine's own check of a container says, "" where it has none. It decides nothing here.
EngineHealth = Literal["", "starting", "healthy", "unhealthy"]


class Verdict(StrEnum):
    """The verdict of a check: ``unknown`` until it has said enough, and while it can't be made."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Tally:
    """Counters of one check, which every answer moves. Kept apart since they alone are no reason to write to the store
    at once."""

    checks: int = 0
    failures: int = 0
    consecutive_successes: int = 0
    last_check_at: Moment | None = None
    last_success_at: Moment | None = None
    last_failure_at: Moment | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """The standing of one check of one replica.

    ``since`` is when the verdict last changed. ``on_trust`` says that the replica was taken for healthy without having
    answered, and has not answered well since. ``detail`` is the last failed answer; where it is ``unreached`` the
    network said so, and nothing is known of the program.
    """

    verdict: Verdict = Verdict.UNKNOWN
    since: Moment | None = None
    on_trust: bool = False
    consecutive_failures: int = 0
    detail: str = ""
    tally: Tally = Tally()
    unreached: bool = False

    @property
    def has_answered_well(self) -> bool:
        """Whether the program that runs now was ever healthy by an answer of its own."""
        return self.verdict is not Verdict.UNKNOWN and not self.on_trust

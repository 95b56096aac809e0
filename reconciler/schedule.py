"""Which entry of `scaling.schedule` is in force: a pure function of the time.

An entry is in force from each minute its cron expression matches until another entry's does; of two that match in the
same minute, the one further down. So "at least 5 from 8 on weekdays, at least 1 from 20" is two entries. It stands
apart from `decide` because cron expressions are a library's to read; what follows from the bounds is decided there.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim

from reconciler.model.scaling import Bounds
from reconciler.model.spec import Scaling

_NEVER = float("-inf")


def bounds_in_force(scaling: Scaling, now: float) -> Bounds | None:
    """The bounds of the entry that matched last; None where there is no entry, or none that ever matched.

    ``now`` in epoch seconds. Raises CronSimError or ZoneInfoNotFoundError for an entry that the source should have
    refused.
    """
    minute = int(now // 60)
    matched_at, entry = _NEVER, None
    for candidate in scaling.schedule:
        at = _last_match(candidate.cron, candidate.timezone, minute)
        if at > _NEVER and at >= matched_at:
            matched_at, entry = at, candidate
    if entry is None:
        return None
    return Bounds(entry.min_replicas, entry.max_replicas, f"schedule {entry.cron} ({entry.timezone})")


@lru_cache(maxsize=4096)
def _last_match(cron: str, timezone: str, minute: int) -> float:
    """When the expression matched last, up to and including this minute since the epoch."""
    # The library's own iteration excludes the moment it starts from.
    end_of_minute = datetime.fromtimestamp((minute + 1) * 60, ZoneInfo(timezone))
    match = next(CronSim(cron, end_of_minute, reverse=True), None)
    return match.timestamp() if match else _NEVER

"""Points in time and spans of it, as text: RFC 3339 in UTC for tools, ages for people, and back again."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from reconciler.report import BadRequest

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"^([0-9]+(?:\.[0-9]+)?)([smhd])$")


def rfc3339(at: float) -> str:
    """A moment for tools: ``at``, in epoch seconds, to the millisecond: ``2026-11-24T15:12:03.250Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at: float) -> str:
    """A moment for tables: ``2026-11-24 15:12:03``, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def age(seconds: float) -> str:
    """A span in its largest sensible unit: ``8 s``, ``5 min``, ``3 h``, ``2 d``. Negative ones count as 0."""
    seconds = max(0.0, seconds)
    for unit, unit_seconds, max_units in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < unit_seconds * max_units:
            return f"{int(seconds / unit_seconds)} {unit}"
    return f"{int(seconds / 86400)} d"


def duration(seconds: float) -> str:
    """How long something took: tenths of a second below ten, and from there on like an age."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 10 else age(seconds)


def parse_since(text: str | None, now: float) -> float | None:
    """The moment that a filter means: ``10m``, ``2h``, ``3d`` before ``now``, or a time (``2026-11-24T15:12Z``; UTC
    without a zone), in epoch seconds.

    Raises BadRequest for anything else.
    """
    if text is None:
        return None
    if match := _SPAN.match(text):
        return now - float(match[1]) * _UNIT_SECONDS[match[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(
            f"since: found {text!r}; expected a span such as 30s, 10m, 2h or 3d, or a time such as 2026-11-24T15:12Z"
        ) from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()

"""Whether the controller runs and does its work, and so whether what is on record is still known: pure.

Judged by its last sign of life, which comes every few seconds, and by the age of the record. Only of a controller that
is well anything is known: how an app is that nobody looks at, nobody can say.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.recorded import Controller, Recorded, SignOfLife
from reconciler.ports import CHECKPOINT_SECONDS
from reconciler.report.times import age, clock

# A sign comes every 5 s; this leaves time for a machine that is busy.
_SILENT_SECONDS = 12.0
# The record itself is written at every checkpoint; after this many without one something is wrong.
_OLD_SECONDS = 3 * CHECKPOINT_SECONDS


@dataclass(frozen=True, slots=True)
class Life:
    """How a controller is. ``trouble`` is why nothing is known just now, in one sentence, "" where all is well;
    ``stopped_at`` is when it ended of its own accord, None where it didn't."""

    running: bool
    trouble: str = ""
    stopped_at: float | None = None


def life_of(recorded: Recorded, now: float) -> Life:
    """How the controller is that the record, and the sign of life beside it, tell of."""
    return life(recorded.controller, recorded.sign, now)


def life(controller: Controller, sign: SignOfLife | None, now: float) -> Life:
    if sign is None or controller.seen_at > sign.at + _SILENT_SECONDS:
        return _by_record(controller, now)  # as where the file can't be written, or is gone
    if sign.ended:
        return Life(False, f"the controller is not running: {_end(sign, now)}", sign.at)
    if abs(now - sign.at) > _SILENT_SECONDS:
        return Life(False, _silence(sign.pid, sign.host, now - sign.at))
    if sign.trouble:
        return Life(True, f"{sign.trouble} (for {age(now - sign.trouble_since)})")
    if controller.started_at < sign.started_at:
        return Life(True, f"the controller was started {age(now - sign.started_at)} ago and has not looked yet")
    if now - controller.seen_at > _OLD_SECONDS:
        return Life(True, f"the controller has last recorded anything {age(now - controller.seen_at)} ago")
    return Life(True)


def _by_record(controller: Controller, now: float) -> Life:
    silent_seconds = now - controller.seen_at
    running = abs(silent_seconds) <= _OLD_SECONDS
    return Life(running, "" if running else _silence(controller.pid, controller.host, silent_seconds))


def _silence(pid: int, host: str, seconds: float) -> str:
    seen = f"was last seen {age(seconds)} ago" if seconds >= 0 else "was last seen at a time that is yet to come"
    return f"the controller seems not to be running: pid {pid} on {host} {seen}"


def _end(sign: SignOfLife, now: float) -> str:
    when = f"{age(now - sign.at)} ago, at {clock(sign.at)} UTC"
    match sign.ended:
        case "removed":
            return f"everything of this instance was removed {when}"
        case "failed":
            return f"it ended {when}: {sign.trouble}"
        case _:
            return f"it was stopped {when}; apps go on as they are, and nobody heals them or rolls anything out"

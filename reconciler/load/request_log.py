"""The access log as the meter uses it: read to its end once a second, kept bounded, and picked up after a restart
where the recorded part of it ends.

Two things follow from the log, and they forget at different times: windows, of which the last minutes have to be read
again after a restart, and history, which must never count a line twice. So what is kept on disk is a position in the
log that lies some time back, and up to when history was recorded; lines before that only refill the windows.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.load.log_rotation import LogRotation
from reconciler.load.log_tail import LogTail, Position
from reconciler.load.recent import Recent
from reconciler.load.traffic import Key, TrafficCounts, tally
from reconciler.load.window import Windows, WindowTraffic

# After a restart, windows up to this long are known at once.
LOOK_BACK_SECONDS = 120.0
# A line is in the file a second after its request at the latest, and we look every second.
LAG_SECONDS = 1.2
_CHECKPOINT_SECONDS = 10.0
_COMPLAIN_SECONDS = 60.0

log = logging.getLogger("orchestry")


class RequestLog:
    """The access log at ``path``, with its position kept in ``state_file``. Times are epoch seconds.

    `configure` comes before the first `look`: the lines of apps nobody asks about are not kept. ``recorded_until``
    is what `keep_position` was told before the restart.
    """

    def __init__(self, path: Path, state_file: Path, rotation: LogRotation | None) -> None:
        self._state_file = state_file
        self._rotation = rotation
        position, self.recorded_until = _load(state_file)
        self._tail = LogTail(path, position)
        self._path = path
        self._positions: deque[Position] = deque([position] if position else [])
        self._windows = Windows()
        self._recent = Recent()
        self._seen_at = 0.0
        self._strange_at = float("-inf")
        self._obstacles: dict[str, str] = {}

    @property
    def is_known(self) -> bool:
        """Whether there is a log to tell anything from."""
        return self._tail.exists and "reading" not in self._obstacles

    def configure(self, spans: Mapping[str, float], now: float) -> None:
        """Set the apps to keep windows for, each with the longest window asked of it, in seconds."""
        if not self._positions:
            self._positions.append(Position({}, now))
            self.keep_position(self.recorded_until)
        covered_since = now if self._seen_at else self._positions[0].at
        self._windows.configure(spans, covered_since)
        self._recent.configure(spans, covered_since)

    def begin_anew(self, now: float, recorded_until: float) -> None:
        """Begin anew after the clock was set: windows are unknown until enough was seen, and a restart goes on from
        here."""
        self._windows = Windows()
        self._recent = Recent()
        self._positions = deque([replace(self._tail.position, at=now)])
        self._seen_at = now
        self.keep_position(recorded_until)

    def look(self, now: float) -> Iterator[Mapping[Key, TrafficCounts]]:
        """Read what is new, batch after batch."""
        if self._seen_at and now - self._positions[-1].at >= _CHECKPOINT_SECONDS:
            self._positions.append(self._tail.position)
        self._obstacles.pop("reading", None)
        try:
            yield from self._read(now)
        except OSError as error:
            self._obstacles["reading"] = f"{self._path} can't be read, so requests are unknown: {error}"
        self._seen_at = now
        self._windows.forget_old(now)
        self._recent.seen_until(now)
        if self._rotation:
            self._obstacles["rotation"] = self._rotation.keep_bounded()

    def window(self, app_name: str, window_seconds: float) -> WindowTraffic | None:
        """What the app served in the window that ends where the log is complete; None where it isn't known."""
        if not self.is_known:
            return None
        return self._windows.window(app_name, window_seconds, self._seen_at - LAG_SECONDS)

    @property
    def recent(self) -> Recent | None:
        """What was answered in the last minutes; None where it isn't known."""
        return self._recent if self.is_known else None

    def notices(self) -> tuple[str, ...]:
        notices = [obstacle for obstacle in self._obstacles.values() if obstacle]
        if self._seen_at - self._strange_at < _COMPLAIN_SECONDS:
            notices.append(f"{self._path} has lines that are not in the format of the edge; they are not counted")
        return tuple(notices)

    def keep_position(self, recorded_until: float) -> None:
        """Keep where a restart goes on from: everything up to then is recorded."""
        while len(self._positions) > 1 and self._positions[1].at <= self._seen_at - LOOK_BACK_SECONDS:
            self._positions.popleft()
        self._obstacles.pop("keeping", None)
        try:
            _save(self._state_file, self._positions[0], recorded_until)
        except OSError as error:
            self._obstacles["keeping"] = f"the place in the access log can't be kept for a restart: {error}"

    def close(self) -> None:
        self._tail.close()

    def _read(self, now: float) -> Iterator[Mapping[Key, TrafficCounts]]:
        for lines in self._tail.read(now):
            batch = tally(lines)
            self._windows.add(batch.traffic)
            self._recent.add(batch.traffic)
            if batch.skipped:
                self._strange_at = now
            yield batch.traffic
        if self._tail.lost:
            log.warning("%s was replaced while nobody read it; what it held since is not counted", self._path)


def _load(file: Path) -> tuple[Position | None, float]:
    """The position kept last; (None, 0) where there is none. A file that can't be read costs windows, not history."""
    try:
        state: Any = json.loads(file.read_bytes())
        offsets = {str(name): int(offset) for name, offset in state["offsets"].items()}
        return Position(offsets, float(state["at"])), float(state["recorded_until"])
    except FileNotFoundError:
        return None, 0.0
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s is no place in the access log (%s); reading starts over", file, error)
        return None, 0.0


def _save(file: Path, position: Position, recorded_until: float) -> None:
    state = {"offsets": dict(position.offsets), "at": position.at, "recorded_until": recorded_until}
    draft = file.with_name(f"{file.name}.new")
    draft.write_text(json.dumps(state))
    draft.replace(file)

"""The lines that were appended to a log since we last looked, whatever was done to its file in between.

A log is known by its first line, since names and inodes pass from one file to another: renaming it, copying it away
and truncating it, or rotating it while nobody was looking all leave that line in front of the lines that follow it. So
one rule serves them all: a file whose first line is known goes on where we stopped, the log's own file with a new first
line starts at its beginning. No line is given out twice and none is lost, except what `copytruncate` itself loses.

A renamed file is read on for a while, as nginx's workers write to it until they have opened the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FIRST_LINE_BYTES = 512
_CHUNK_BYTES = 1024 * 1024
_LEAVE_AFTER_SECONDS = 10.0
_COARSE_SECONDS = 0.1
_REMEMBERED = 16
_PACKED = (".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True, slots=True)
class Position:
    """How far each log was read: bytes by the fingerprint of its first line, the latest last; ``at`` epoch seconds."""

    offsets: Mapping[str, int] = field(default_factory=dict)
    at: float = 0.0


class _OpenLog:
    """A file being read. ``name`` is its fingerprint, "" until it has a whole first line."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.name = _fingerprint(self.descriptor)
        self.offset = 0
        self.grew_at = time.monotonic()

    def still_the_same(self) -> bool:
        size = os.fstat(self.descriptor).st_size
        return size >= self.offset and (not self.name or _fingerprint(self.descriptor) == self.name)

    def is_at(self, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(self.descriptor), path.stat())
        except FileNotFoundError:
            return False

    def read(self) -> bytes:
        """The next whole lines, b"" where there are none yet."""
        data = os.pread(self.descriptor, _CHUNK_BYTES, self.offset)
        while b"\n" not in data and len(data) == _CHUNK_BYTES:  # no line is that long: skip what it is instead
            self.offset += len(data)
            data = os.pread(self.descriptor, _CHUNK_BYTES, self.offset)
        lines = data[: data.rfind(b"\n") + 1]
        if lines:
            self.offset += len(lines)
            self.grew_at = time.monotonic()
            self.name = self.name or _fingerprint(self.descriptor)
        return lines

    def close(self) -> None:
        os.close(self.descriptor)


class LogTail:
    """Reads one log from ``position`` on; without one, from the beginning of the file that is there now.

    Nothing but `read` raises: OSError, other than for files that are not there.
    """

    def __init__(self, path: Path, position: Position | None) -> None:
        self._path = path
        self._logs: list[_OpenLog] = []
        self._offsets = dict(position.offsets) if position else {}
        self._looked_at = position.at if position else float("inf")
        self._looked_around_at = float("-inf")
        self._files_modified_at = float("-inf")

    @property
    def position(self) -> Position:
        """How far reading has got."""
        self._remember()
        return Position(dict(self._offsets), self._looked_at)

    @property
    def exists(self) -> bool:
        """Whether there is a log at all."""
        return bool(self._logs)

    def read(self, now: float) -> Iterator[bytes]:
        """Everything new, in chunks of whole lines, older files first. ``now``: epoch seconds."""
        if self._files_changed() or not self._all_the_same():
            self._look_around()
        self._looked_at = now
        for log in self._logs:
            while lines := log.read():
                yield lines
        self._leave_finished()

    def close(self) -> None:
        for log in self._logs:
            log.close()
        self._logs = []

    def _files_changed(self) -> bool:
        """Whether files may have come, gone or been renamed since we last looked around.

        The file system's clock is coarse: a change just before we looked may have been one just after.
        """
        modified_at = _modified_at(self._path.parent)
        return modified_at != self._files_modified_at or modified_at > self._looked_around_at - _COARSE_SECONDS

    def _all_the_same(self) -> bool:
        """Whether the files we have open are the logs they were."""
        return all(log.still_the_same() for log in self._logs)

    def _look_around(self) -> None:
        """Open what has appeared, and let go of files that became another log under our hands."""
        self._looked_around_at = time.time()
        self._files_modified_at = _modified_at(self._path.parent)
        self._remember()
        for log in [log for log in self._logs if not log.still_the_same()]:
            self._logs.remove(log)
            log.close()
        for path in self._files():
            with contextlib.suppress(FileNotFoundError):  # not there yet, or rotated away in this very moment
                self._open(path)
        self._logs.sort(key=lambda log: log.is_at(self._path))

    def _open(self, path: Path) -> None:
        log = _OpenLog(path)
        if self._is_ours(log, path):
            log.offset = self._offsets.get(log.name, 0)
            self._logs.append(log)
        else:
            log.close()

    def _is_ours(self, log: _OpenLog, path: Path) -> bool:
        """Whether there is something to read that was not read yet."""
        status = os.fstat(log.descriptor)
        if any(os.path.samestat(status, os.fstat(other.descriptor)) for other in self._logs):
            return False
        if path == self._path:
            return True
        if any(log.name == other.name for other in self._logs):
            return False
        if log.name in self._offsets:
            return status.st_size > self._offsets[log.name]
        return bool(log.name) and status.st_mtime >= self._looked_at

    def _files(self) -> list[Path]:
        """The log's own file, which wins over copies of itself; then those it was rotated to, the oldest first."""
        rotated = [
            path
            for path in self._path.parent.glob(f"{self._path.name}?*")
            if path.is_file() and not path.name.endswith(_PACKED)
        ]
        return [self._path, *sorted(rotated, key=_modified_at)]

    def _leave_finished(self) -> None:
        """Let go of renamed files that nobody has written to for a while."""
        if not self._logs or not self._logs[-1].is_at(self._path):
            return
        self._remember()
        for log in self._logs[:-1]:
            if time.monotonic() - log.grew_at > _LEAVE_AFTER_SECONDS:
                self._logs.remove(log)
                log.close()

    def _remember(self) -> None:
        for log in self._logs:
            if log.name:
                self._offsets.pop(log.name, None)
                self._offsets[log.name] = log.offset
        for name in list(self._offsets)[:-_REMEMBERED]:
            del self._offsets[name]


def _fingerprint(descriptor: int) -> str:
    """What names a log: a digest of its first line; "" where there is none yet."""
    line, end, _ = os.pread(descriptor, _FIRST_LINE_BYTES, 0).partition(b"\n")
    complete = end or len(line) == _FIRST_LINE_BYTES
    return hashlib.sha256(line).hexdigest()[:24] if complete else ""


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0

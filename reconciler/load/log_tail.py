"""The lines that were appended to a log since we last looked, over our own rotations of it (`log_rotation`).

A rotation leaves two files: the log, and the one before it, which is read on for a while, as nginx's workers write to
it until they have opened the new one. A log is known by its first line, since names and inodes pass from one file to
another: under either name it is read on where we stopped, also after a restart, and the log's own file with a new first
line, such as one emptied by hand, is read from its beginning. No line is given out twice. None is lost but where
somebody else takes the log away while nobody reads it, and `lost` tells that.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FIRST_LINE_BYTES = 512
_CHUNK_BYTES = 1024 * 1024
_LEAVE_AFTER_SECONDS = 10.0
_REMEMBERED = 4


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

    def is_the_same(self) -> bool:
        """Whether it is the log it was: emptied by hand and written to anew it is another."""
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
        self._is_sought = bool(self._offsets)
        self.lost = False

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
        """Everything new, in chunks of whole lines, the older file first. ``now``: epoch seconds.

        Afterwards ``lost`` tells whether no file is there that was read before the restart.
        """
        self._let_go([log for log in self._logs if not log.is_the_same()])
        for path in (self._path, log_before(self._path)):
            if not any(log.is_at(path) for log in self._logs):
                with contextlib.suppress(FileNotFoundError):  # not there yet, or rotated away in this very moment
                    self._open(path)
        self.lost, self._is_sought = self._is_sought, False
        self._looked_at = now
        for log in self._logs:
            while lines := log.read():
                yield lines
        self._let_go(self._finished())

    def close(self) -> None:
        self._let_go([*self._logs])

    def _open(self, path: Path) -> None:
        log = _OpenLog(path)
        self._is_sought &= log.name not in self._offsets
        if path == self._path or self._has_news(log):
            log.offset = self._offsets.get(log.name, 0)
            self._logs.append(log)
            self._logs.sort(key=lambda log: log.is_at(self._path))
        else:
            log.close()

    def _has_news(self, log: _OpenLog) -> bool:
        """Whether the log before has lines that were not read; a copy of one that is open has none."""
        status = os.fstat(log.descriptor)
        if log.name in self._offsets:
            is_open = any(log.name == other.name for other in self._logs)
            return status.st_size > self._offsets[log.name] and not is_open
        return bool(log.name) and status.st_mtime >= self._looked_at

    def _finished(self) -> list[_OpenLog]:
        """The renamed files that nobody has written to for a while, once there is a new one."""
        if not self._logs or not self._logs[-1].is_at(self._path):
            return []
        return [log for log in self._logs[:-1] if time.monotonic() - log.grew_at > _LEAVE_AFTER_SECONDS]

    def _let_go(self, logs: Iterable[_OpenLog]) -> None:
        self._remember()
        for log in logs:
            self._logs.remove(log)
            log.close()

    def _remember(self) -> None:
        for log in self._logs:
            if log.name:
                self._offsets.pop(log.name, None)
                self._offsets[log.name] = log.offset
        for name in list(self._offsets)[:-_REMEMBERED]:
            del self._offsets[name]


def log_before(path: Path) -> Path:
    """The file that a log is renamed to when it is rotated."""
    return path.with_name(f"{path.name}.1")


def _fingerprint(descriptor: int) -> str:
    """What names a log: a digest of its first line; "" where there is none yet."""
    line, end, _ = os.pread(descriptor, _FIRST_LINE_BYTES, 0).partition(b"\n")
    complete = end or len(line) == _FIRST_LINE_BYTES
    return hashlib.sha256(line).hexdigest()[:24] if complete else ""

"""A plain directory as a source: its files, as they are between two looks that agree.

Decides when files that anyone may be writing at this moment can be taken for one state. A look is what the filesystem
says of every file (inode, size, times); files are read only once they have rested for a moment, since most programs
empty a file before they write it, and only where a look before and a look after are the same.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.desired import Desired
from reconciler.ports import Unavailable
from reconciler.source.snapshot import (
    MAX_CONTENT_BYTES,
    MAX_ENTRIES,
    MAX_TOTAL_BYTES,
    Entry,
    Kind,
    Snapshot,
    blob_name,
    is_spec,
)
from reconciler.source.specs import Specs

_REST_NANOSECONDS = 50_000_000  # several times what the filesystem's clock can tell apart
_REST_ATTEMPTS = 20


class TooLarge(Unavailable):
    """More files than a directory of specs has; looking through them took its time."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a look sees of one file; equal marks of settled files mean equal contents."""

    mode: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int

    @property
    def kind(self) -> Kind:
        if stat.S_ISREG(self.mode):
            return "file"
        return "symbolic link" if stat.S_ISLNK(self.mode) else "special file"


@dataclass(frozen=True, slots=True)
class Look:
    """Every file and directory below a root that isn't hidden, at one moment."""

    files: Mapping[str, Mark]
    directories: tuple[str, ...]


def look(root: Path) -> Look:
    """Look at everything below a root. Raises Unavailable when not everything can be seen: what isn't seen must not
    look deleted."""
    files: dict[str, Mark] = {}
    directories = [""]
    try:
        for directory in directories:
            with os.scandir(root / directory) as children:
                for child in children:
                    path = f"{directory}/{child.name}" if directory else child.name
                    if not child.is_dir(follow_symlinks=False):
                        files[_readable(path)] = _mark(path, child.stat(follow_symlinks=False))
                    elif not child.name.startswith("."):
                        directories.append(path)
            if len(files) + len(directories) > MAX_ENTRIES:
                raise TooLarge(f"{root} holds more than {MAX_ENTRIES} files; give a directory of specs")
    except OSError as error:
        raise Unavailable(f"{error.filename or root} can't be read: {error.strerror}; is the path right?") from error
    return Look(files, tuple(directories))


def rested_look(root: Path) -> Look:
    """Look at everything once none of it was touched within the last moment; waits for that, up to a second. Raises
    Unavailable where files keep changing."""
    for _ in range(_REST_ATTEMPTS):
        listing = look(root)
        touched_ns = max((mark.changed_ns for mark in listing.files.values()), default=0)
        left_ns = touched_ns + _REST_NANOSECONDS - time.time_ns()
        if not 0 < left_ns <= _REST_NANOSECONDS:  # beyond: the clock was set back, which no waiting mends
            return listing
        time.sleep(left_ns / 1e9)
    raise Unavailable(_changing(root))


def _changing(root: Path) -> str:
    return f"files in {root} are being changed; reading them once they rest"


def _readable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _mark(path: str, status: os.stat_result) -> Mark:
    """The mark of a file. One whose name is not UTF-8 counts as a special one: it can be named, but not found again by
    that name."""
    mode = status.st_mode if _readable(path) == path else 0
    return Mark(mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def entry_at(path: Path) -> Entry | None:
    """A single file by its path, unread; None where nothing is."""
    try:
        mark = _mark(str(path), path.lstat())
    except OSError:
        return None
    return Entry(str(path), "special file" if path.is_dir() else mark.kind, "", mark.size_bytes)


class Files:
    """The files below a root, each hashed once for each of its marks."""

    def __init__(self, root: Path, algorithm: str = "sha1") -> None:
        self._root = root
        self._algorithm = algorithm
        self._known: dict[str, tuple[Mark, str]] = {}

    def entries(self, listing: Look) -> Mapping[str, Entry]:
        """What the files of a look are, by path. Raises Unavailable where one went away meanwhile."""
        total = sum(mark.size_bytes for mark in listing.files.values() if mark.size_bytes <= MAX_CONTENT_BYTES)
        if total > MAX_TOTAL_BYTES:
            raise TooLarge(f"{self._root} holds {total >> 20} MiB; give a directory of specs and their files")
        named = {path: (mark, self._blob(path, mark)) for path, mark in listing.files.items()}
        settled_before = time.time_ns() - _REST_NANOSECONDS
        self._known = {path: known for path, known in named.items() if known[0].changed_ns < settled_before}
        return {path: Entry(path, mark.kind, blob, mark.size_bytes) for path, (mark, blob) in named.items()}

    def settled(self, listing: Look) -> bool:
        """Whether an equal look later will mean equal contents."""
        return len(self._known) == len(listing.files)

    def _blob(self, path: str, mark: Mark) -> str:
        known = self._known.get(path)
        if known and known[0] == mark:
            return known[1]
        if mark.kind != "file" or mark.size_bytes > MAX_CONTENT_BYTES:
            return f"unread-{mark.inode}-{mark.size_bytes}-{mark.changed_ns}"
        return blob_name(self.read(path), self._algorithm)

    def read(self, path: str) -> bytes:
        """A regular file's content, never through a symbolic link. Raises Unavailable."""
        try:
            descriptor = os.open(self._root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise Unavailable(f"{self._root / path} changed while it was being read; trying again")
                return file.read(MAX_CONTENT_BYTES + 1)
        except OSError as error:
            raise Unavailable(f"{self._root / path} can't be read: {error.strerror}") from error


class DirectorySource:
    """The specs in a directory outside git."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = Files(root)
        self._specs = Specs()
        self._last_look: Look | None = None
        self._desired: Desired | None = None

    def read(self) -> Desired:
        """The desired state between two looks that agree. Raises Unavailable while files keep changing."""
        before = rested_look(self._root)
        if self._desired is not None and before == self._last_look:
            return self._desired
        entries = self._files.entries(before)
        revision = _revision(entries)
        desired = self._desired
        if desired is None or desired.revision != revision:
            desired = self._specs.desired(Snapshot(revision, entries, self._contents))
        if look(self._root) != before:
            raise Unavailable(_changing(self._root))
        self._last_look = before if self._files.settled(before) else None
        self._desired = desired
        return desired

    def _contents(self, entries: Sequence[Entry]) -> Mapping[str, bytes]:
        contents = {entry.path: self._files.read(entry.path) for entry in entries}
        for entry in entries:
            if blob_name(contents[entry.path]) != entry.blob:
                raise Unavailable(f"{self._root / entry.path} changed while it was being read; trying again")
        return contents

    def watched(self) -> tuple[Path, ...]:
        """The directories whose changes matter."""
        return watched_directories(self._root)


def watched_directories(root: Path) -> tuple[Path, ...]:
    """A root, what is below it, and what is above it: it may come and go as a whole."""
    try:
        below = look(root).directories
    except Unavailable:
        below = ()
    return (root.parent, *(root / directory for directory in below))


def _revision(entries: Mapping[str, Entry]) -> str:
    relevant = [entry for entry in entries.values() if entry.kind == "file" or is_spec(entry.path)]
    lines = sorted(f"{entry.path}\0{entry.kind}\0{entry.blob}" for entry in relevant)
    return "dir-" + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]

"""Each kind of source with a way to change what it reads, for suites that hold them to one contract."""

from __future__ import annotations

import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from reconciler.model.desired import Desired
from reconciler.ports import Source, Unavailable
from reconciler.source import open_source
from tests.support.repositories import Repository
from tests.support.waiting import eventually


class Wakes:
    """Counts wake-ups, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def __call__(self) -> None:
        with self._lock:
            self.count += 1


class Origin(Protocol):
    """Something that holds specs, and can be changed."""

    wakes: Wakes

    def put(self, files: Mapping[str, str | None]) -> None:
        """Change files of the specs directory (None removes one), and wait until what is open has read it."""

    def change(self, files: Mapping[str, str | None]) -> None:
        """The same without waiting."""

    def take_away(self) -> None:
        """Make the specs directory go away."""

    def open(self) -> Source:
        """A source that reads the specs directory."""


class Opened(ABC):
    """Remembers what was opened, so that after a change the next reading can be waited for."""

    def __init__(self) -> None:
        self.wakes = Wakes()
        self._opened: Source | None = None

    def put(self, files: Mapping[str, str | None]) -> None:
        """See `Origin.put`."""
        self._have_read(lambda: self.change(files))

    @abstractmethod
    def change(self, files: Mapping[str, str | None]) -> None:
        """See `Origin.change`."""

    def _have_read(self, change: Callable[[], None]) -> None:
        """Make a change, and wait until a reading that has finished shows it."""
        source = self._opened
        before = _gist(source) if source else ""
        change()
        if source:
            source.refresh()
            eventually(lambda: _gist(source) != before)


class DirectoryOrigin(Opened):
    """A directory outside git."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place = place
        self._specs = place / "specs"
        self._specs.mkdir()

    def change(self, files: Mapping[str, str | None]) -> None:
        for name, text in files.items():
            path = self._specs / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")

    def take_away(self) -> None:
        self._have_read(lambda: shutil.rmtree(self._specs))

    def open(self) -> Source:
        self._opened = open_source(str(self._specs), state_dir=self._place / "state", wake=self.wakes)
        return self._opened


class WorkTreeOrigin(Opened):
    """The directory ``specs`` of a work tree, whose changes are committed."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place = place
        self.repository = Repository(place / "repository")
        self.repository.commit({"README": "specs are below", "specs/.gitkeep": ""})

    def take_away(self) -> None:
        self._have_read(self._remove)

    def open(self) -> Source:
        path = str(self.repository.path / "specs")
        self._opened = open_source(path, state_dir=self._place / "state", wake=self.wakes)
        return self._opened

    def change(self, files: Mapping[str, str | None]) -> None:
        self.repository.commit({f"specs/{name}": text for name, text in files.items()})

    def _remove(self) -> None:
        self.repository.git("rm", "-r", "--quiet", "specs")
        self.repository.git("commit", "--quiet", "--message=gone")


class BareOrigin(WorkTreeOrigin):
    """A bare repository, to which every change is pushed."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self._bare = place / "repository.git"
        self.repository.git("clone", "--quiet", "--bare", ".", str(self._bare))

    def open(self) -> Source:
        self._opened = open_source(str(self._bare), path="specs", state_dir=self._place / "state", wake=self.wakes)
        return self._opened

    def change(self, files: Mapping[str, str | None]) -> None:
        super().change(files)
        self._push()

    def _remove(self) -> None:
        super()._remove()
        self._push()

    def _push(self) -> None:
        self.repository.git("push", "--quiet", str(self._bare), "main")


class RemoteOrigin(WorkTreeOrigin):
    """The same repository, read by its URL; every change is fetched at once."""

    def open(self) -> Source:
        self._opened = open_source(
            self.repository.url,
            path="specs",
            state_dir=self._place / "state",
            wake=self.wakes,
            fetch_interval_seconds=3600,
            allow_file_urls=True,
        )
        return self._opened


def _gist(source: Source) -> str:
    """The revision that was read, or the complaint: notices come and go while a commit is being made."""
    read = answer(source.read)
    return read if isinstance(read, str) else read.revision


def answer(read: Callable[[], Desired]) -> Desired | str:
    """What a read gives, or what it complains of."""
    try:
        return read()
    except Unavailable as error:
        return str(error)

"""A path on this host as a source: its commits where it lies in a git work tree or a bare repository, else its files.

Decides, at every reading anew, which of them it is: a directory becomes a work tree when somebody runs ``git init``,
and a path may be a link that a sync tool turns to another checkout.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from reconciler.model.desired import Desired
from reconciler.ports import Unavailable
from reconciler.source.bare import BareRepository
from reconciler.source.directory import DirectorySource, watched_directories
from reconciler.source.readings import Readings
from reconciler.source.watch import Watch
from reconciler.source.worktree import WorkTree, find_repository


class LocalSource:
    """A path on this host as a source, read beside the loop whenever something changes there, and after each tick."""

    def __init__(self, path: Path, branch: str | None, wake: Callable[[], None]) -> None:
        files = LocalFiles(path, branch)
        self._readings = Readings(files.read, wake, thread_name="source-read", doing=f"{path} is being read")
        self._watch = Watch(files.watched, self._readings.begin)

    def read(self) -> Desired:
        """See `ports.Source`. An event may be missed: so every look has the next reading begin."""
        self._watch.check()
        self._readings.begin()
        return self._readings.last()

    def refresh(self) -> None:
        """See `ports.Source`."""
        self._readings.begin()

    def wait_for_first_reading(self, timeout_seconds: float) -> None:
        """Wait until the source was read once, well or not."""
        self._readings.wait_for_first(timeout_seconds)

    def close(self) -> None:
        """Stop watching and reading."""
        self._watch.close()
        self._readings.close()


class LocalFiles:
    """The specs at a path. ``branch`` reads another branch than the one that is checked out, or that HEAD names."""

    def __init__(self, path: Path, branch: str | None) -> None:
        self._path = path
        self._branch = branch
        self._chosen_for: object = None
        self._chosen: DirectorySource | WorkTree | None = None

    def read(self) -> Desired:
        """What is there now. Raises Unavailable where that can't be read."""
        return self._choose().read()

    def watched(self) -> tuple[Path, ...]:
        """The directories whose changes matter."""
        chosen = self._chosen
        return chosen.watched() if chosen else watched_directories(Path(os.path.realpath(self._path)))

    def _choose(self) -> DirectorySource | WorkTree:
        path = Path(os.path.realpath(self._path))
        repository = find_repository(path)
        if self._chosen is None or (path, repository) != self._chosen_for:
            self._chosen = self._opened(path, repository)
            self._chosen_for = (path, repository)
        return self._chosen

    def _opened(self, path: Path, repository: tuple[Path, Path] | None) -> DirectorySource | WorkTree:
        if repository:
            top, git_dir = repository
            directory = path.relative_to(top).as_posix().removeprefix(".")
            if top == git_dir:
                return BareRepository(git_dir, directory, self._branch)
            return WorkTree(top, git_dir, directory, self._branch)
        if self._branch:
            raise Unavailable(f"{self._path} is in no git work tree, so it has no branch {self._branch}")
        return DirectorySource(path)

"""A path on this host as a source: its commits where it lies in a git work tree, its files where it doesn't.

Decides, at every read anew, which of the two it is: a directory becomes a work tree when somebody runs ``git init``,
and a path may be a link that a sync tool turns to another checkout.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from reconciler.model.desired import Desired
from reconciler.ports import Unavailable
from reconciler.source.directory import DirectorySource, watched_directories
from reconciler.source.watch import Watch
from reconciler.source.worktree import WorkTree, find_work_tree


class LocalSource:
    """The specs at a path. ``branch`` reads another branch of a work tree than the one that is checked out."""

    def __init__(self, path: Path, branch: str | None, wake: Callable[[], None]) -> None:
        self._path = path
        self._branch = branch
        self._chosen_for: object = None
        self._chosen: DirectorySource | WorkTree | None = None
        self._watch = Watch(self._watched, wake)

    def read(self) -> Desired:
        """See `ports.Source`."""
        self._watch.check()
        return self._choose().read()

    def refresh(self) -> None:
        """Nothing to do: every read looks."""

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()

    def _choose(self) -> DirectorySource | WorkTree:
        path = Path(os.path.realpath(self._path))
        place = find_work_tree(path)
        if self._chosen is None or (path, place) != self._chosen_for:
            self._chosen = self._opened(path, place)
            self._chosen_for = (path, place)
        return self._chosen

    def _opened(self, path: Path, place: tuple[Path, Path] | None) -> DirectorySource | WorkTree:
        if place:
            top, git_dir = place
            return WorkTree(top, git_dir, path.relative_to(top).as_posix().removeprefix("."), self._branch)
        if self._branch:
            raise Unavailable(f"{self._path} is in no git work tree, so it has no branch {self._branch}")
        if (path / "HEAD").is_file() and (path / "objects").is_dir():
            raise Unavailable(f"{self._path} is a bare repository; give a work tree, or its URL (file://{path})")
        return DirectorySource(path)

    def _watched(self) -> tuple[Path, ...]:
        chosen = self._chosen
        return chosen.watched() if chosen else watched_directories(Path(os.path.realpath(self._path)))

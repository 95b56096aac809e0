"""A bare repository on this host as a source: what its branch has, which is there once somebody pushes.

It is read as a work tree is, by its objects alone; it has no files that anybody could have left uncommitted.
"""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.source.worktree import WorkTree


class BareRepository(WorkTree):
    """The specs in ``directory`` ("" for the top) of a bare repository, as its ``branch`` has them (None: the one its
    HEAD names)."""

    def __init__(self, git_dir: Path, directory: str, branch: str | None) -> None:
        super().__init__(git_dir, git_dir, directory, branch)

    def _uncommitted(self, commit: str, ref: str) -> tuple[str, ...]:  # noqa: ARG002
        return ()

    def watched(self) -> tuple[Path, ...]:
        """The directories whose changes matter: those that a push writes to."""
        heads = (Path(directory) for directory, _, _ in os.walk(self._git_dir / "refs" / "heads"))
        return (self._git_dir.parent, self._git_dir, self._git_dir / "reftable", *heads)

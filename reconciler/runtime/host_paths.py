"""Host paths: which of them settings allow, and that they lead where they say.

The Engine follows symbolic links as it mounts, and whoever can write below an allowed path can put one there. So below
what was allowed none is followed, however harmless where it leads. The allowed path itself and what is above it are
the administrator's, with their links. All this is as the controller sees it: what is not there for it is left to the
Engine to refuse. And it is seen a moment before the Engine looks, so to allow a path is to trust whoever may write
there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from reconciler.model.reasons import Reason
from reconciler.ports import TryLater


@dataclass(frozen=True, slots=True)
class AllowedPath:
    """A host path that may be mounted, and with ``subpaths`` any below it; ``read_only``: only to be read."""

    path: PurePosixPath
    subpaths: bool = False
    read_only: bool = False

    def covers(self, path: PurePosixPath) -> bool:
        return path.is_relative_to(self.path) if self.subpaths else path == self.path

    def __str__(self) -> str:
        return f"{self.path}{'/…' if self.subpaths else ''}{' read-only' if self.read_only else ''}"


class HostPaths:
    """The host paths that may be mounted."""

    def __init__(self, allowed: Sequence[AllowedPath]) -> None:
        self._allowed = tuple(allowed)

    def check(self, host_path: str, *, read_only: bool) -> None:
        """Make sure that a host path may be mounted, as ``read_only`` says. Raises TryLater."""
        path = PurePosixPath(host_path)
        covering = [allowed for allowed in self._allowed if allowed.covers(path)]
        if not covering or ".." in path.parts:
            known = ", ".join(map(str, self._allowed)) or "none are"
            raise _refused(
                path, f"is not among those allowed here ({known}): allow it by [[allow_host_path]] in the settings file"
            )
        if not read_only and all(allowed.read_only for allowed in covering):
            raise _refused(path, "is allowed here to be read only: give the volume readOnly: true")
        # Of allowed paths one within another, what lies below the outermost may be some container's doing.
        above = [allowed.path for allowed in self._allowed if path.is_relative_to(allowed.path)]
        _refuse_links(path, min(above, key=lambda outer: len(outer.parts)))


def _refuse_links(path: PurePosixPath, allowed: PurePosixPath) -> None:
    """Make sure that no symbolic link is on the way from the allowed path to the path, as far as it can be seen."""
    reached, directory = allowed, -1
    try:
        directory = os.open(allowed, os.O_PATH)
        for part in path.relative_to(allowed).parts:
            reached /= part
            entry = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = entry
            if stat.S_ISLNK(os.fstat(entry).st_mode):
                target = os.readlink("", dir_fd=entry)
                raise _refused(
                    path,
                    f"leads elsewhere: {reached} is a symbolic link to {target}, and none is followed below {allowed}; "
                    "name the path that is meant, and have it allowed",
                )
    except (FileNotFoundError, NotADirectoryError):
        return  # the Engine will say so, if it is so where the Engine is
    except OSError as error:
        raise _refused(path, f"can't be followed: {reached}: {error.strerror}") from error
    finally:
        if directory >= 0:
            os.close(directory)


def _refused(path: PurePosixPath, why: str) -> TryLater:
    return TryLater(Reason.HOST_PATH_REFUSED, f"hostPath {path} {why}")

"""Processes, as the kernel tells of them in /proc.

Decides what may be believed of one. Its title is whatever it says, and so are paths where it has a file system of its
own, as containers have: any user can pose as an nginx by these. Whom it runs as, which program it is, and which
directory it is in can't be made up. Must never take what it may not see for an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
_GONE = " (deleted)"
_UNSEEN = (FileNotFoundError, ProcessLookupError, PermissionError)


def processes() -> Iterator[int]:
    return (int(path.name) for path in PROC.iterdir() if path.name.isdecimal())


def title(pid: int) -> str:
    """What a process calls itself. Raises OSError."""
    return (PROC / f"{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")


def user(pid: int) -> int:
    """The user that a process acts as. The owner of its directory in /proc would be root's for any that says so.

    Raises OSError.
    """
    status = (PROC / f"{pid}/status").read_bytes()
    _, _, ids = status.partition(b"\nUid:")
    return int(ids.split(maxsplit=2)[1])


def program(pid: int) -> str:
    """The name of the file that a process executes, also after that was replaced by an update. Raises OSError."""
    return Path(_without_mark(PROC / f"{pid}/exe")).name


def directory(pid: int) -> str:
    """The path of a process's directory, also after that was removed. Raises OSError."""
    return _without_mark(PROC / f"{pid}/cwd")


def works_in(pid: int, path: Path) -> bool:
    """Whether a process works in this very directory. One of the same path that was removed, or lies in the file
    system of a container, is another. Raises OSError."""
    return (PROC / f"{pid}/cwd").samefile(path)


def worked_in(pid: int, path: Path) -> bool:
    """Whether a process works in a directory of this path that was removed. Raises OSError."""
    return str((PROC / f"{pid}/cwd").readlink()) == f"{path}{_GONE}"


def is_nginx(pid: int, role: str, users: frozenset[int], program_name: str) -> bool:
    """Whether a process is an nginx (``master``, ``worker`` or, where empty, any) of one of these users; False where
    that can't be seen."""
    try:
        return title(pid).startswith(f"nginx: {role}") and user(pid) in users and program(pid) == program_name
    except _UNSEEN:
        return False


def _without_mark(link: Path) -> str:
    return str(link.readlink()).removesuffix(_GONE)

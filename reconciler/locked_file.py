"""A file whose lock is held by one process at a time; the kernel gives it free with the process, however that ends.

It decides nothing about what stands in the file, nor what it means that another process has it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path


def locked(path: Path, taken: Callable[[FileIO], Exception], *, follows_links: bool = True) -> FileIO:
    """The file of this name, made if need be, open and locked. Raises OSError where it can't be had, and what ``taken``
    makes of it while another process holds it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if follows_links else os.O_NOFOLLOW)
    while True:
        with ExitStack() as stack:
            # Others must not open it: whoever can, can lock it.
            file = stack.enter_context(FileIO(os.open(path, flags, 0o600), "r+"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise taken(file) from error
            if has_name(file, path):
                stack.pop_all()
                return file
        # It was removed between opening and locking.


def has_name(file: FileIO, path: Path) -> bool:
    """Whether the file is still the one of this name. Raises ValueError where it is closed."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False

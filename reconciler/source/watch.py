"""Wakes the loop when files change. Never says which: a missed event costs latency, never correctness.

Decides what to watch: single directories, not trees, since a repository's objects would drown the rest. When the set
of directories changes (a new one appears, one is replaced), watching starts over with the new set.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import watchfiles

from reconciler.loud_thread import LoudThread

_CHECK_SECONDS = 2.0
_RETRY_SECONDS = 30.0

log = logging.getLogger("orchestry")


class Watch:
    """A watch over directories: it calls ``wake`` from a thread of its own whenever something changes in one of
    ``directories()``."""

    def __init__(self, directories: Callable[[], Iterable[Path]], wake: Callable[[], None]) -> None:
        self._directories = directories
        self._wake = wake
        self._stop = threading.Event()
        self._thread = LoudThread(self._run, "source-watch")
        self._thread.start()

    def check(self) -> None:
        """Raise the bug that has ended the watching, if one has."""
        self._thread.check()

    def close(self) -> None:
        """Stop, and wait until the thread has."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        logging.getLogger("watchfiles").setLevel(logging.WARNING)
        while not self._stop.is_set():
            try:
                self._watch(self._inodes())
            except FileNotFoundError:
                self._wake()  # a directory went away just now
            except (OSError, RuntimeError) as error:  # the limit of watches, an inotify that is none
                log.warning("file changes don't wake the controller for now: %s", error)
                self._stop.wait(_RETRY_SECONDS)

    def _watch(self, inodes: dict[Path, int]) -> None:
        """Watch until the directories are others or somebody calls close()."""
        if not inodes:
            self._stop.wait(_CHECK_SECONDS)
            return
        for changes in watchfiles.watch(
            *inodes,
            watch_filter=_matters,
            debounce=50,
            step=10,
            stop_event=self._stop,
            rust_timeout=int(_CHECK_SECONDS * 1000),
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
        ):
            moved = self._inodes() != inodes
            if changes or moved:
                self._wake()
            if moved:
                return

    def _inodes(self) -> dict[Path, int]:
        """The directories that exist, each with its inode: one that was replaced has another."""
        inodes = {}
        for directory in self._directories():
            try:
                inodes[directory] = directory.stat().st_ino
            except OSError:
                continue
        return inodes


def _matters(_change: object, path: str) -> bool:
    return not path.endswith(".lock")

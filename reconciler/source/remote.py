"""A git URL as a source: a mirror of its branch, kept by a thread of its own.

Decides when to fetch, and what a failed fetch means: the newest state that was fetched stays, and people are told.
Reading never waits for the network; it returns what the last fetch brought.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from reconciler.loud_thread import LoudThread
from reconciler.model.desired import Desired
from reconciler.ports import Unavailable
from reconciler.source.git import Mirror, Unreachable
from reconciler.source.snapshot import Snapshot
from reconciler.source.specs import Specs
from reconciler.source.urls import Remote


class RemoteSource:
    """The specs in ``directory`` of a remote's ``branch`` (None: the one its HEAD names)."""

    def __init__(
        self,
        remote: Remote,
        branch: str | None,
        directory: str,
        state_dir: Path,
        wake: Callable[[], None],
        interval_seconds: float,
    ) -> None:
        name = hashlib.sha256(f"{remote.url}\n{branch or ''}".encode()).hexdigest()[:16]
        self._mirror = Mirror(state_dir / "source" / f"{name}.git")
        self._remote, self._branch, self._directory = remote, branch, directory
        self._wake = wake
        self._interval_seconds = interval_seconds
        self._specs = Specs()
        self._good: Desired | None = None
        self._answer: Desired | Unavailable = Unavailable(f"{remote.shown} is being fetched for the first time")
        self._due, self._tried = threading.Event(), threading.Event()
        self._closed = False
        self._thread = LoudThread(self._run, "source-fetch")
        self._thread.start()

    def read(self) -> Desired:
        """The newest state that was fetched. Raises Unavailable before the first, and where it no longer exists."""
        self._thread.check()
        answer = self._answer
        if isinstance(answer, Unavailable):
            raise Unavailable(str(answer))
        return answer

    def refresh(self) -> None:
        """Fetch now rather than when the interval has passed. Doesn't wait for it."""
        self._due.set()

    def wait_for_first_fetch(self, timeout_seconds: float) -> None:
        """Until the first fetch has ended, well or not."""
        self._tried.wait(timeout_seconds)

    def close(self) -> None:
        """Fetch no more. A fetch under way ends by itself."""
        self._closed = True
        self._due.set()

    def _run(self) -> None:
        while not self._closed:
            self._due.clear()
            before, self._answer = self._answer, self._fetched()
            self._tried.set()
            if not _same(before, self._answer):
                self._wake()
            self._due.wait(self._interval_seconds)

    def _fetched(self) -> Desired | Unavailable:
        try:
            commit = self._mirror.fetch(self._remote, self._branch)
            if self._good is None or self._good.revision != commit:
                self._good = self._loaded(commit)
            return self._good
        except Unreachable as error:
            return self._kept(error) if self._good else error
        except Unavailable as error:
            return error
        except OSError as error:
            return Unavailable(f"{self._remote.shown} can't be mirrored in {self._mirror.git_dir}: {error.strerror}")

    def _loaded(self, commit: str) -> Desired:
        entries = self._mirror.entries(commit, self._directory)
        if self._directory and not entries:
            raise Unavailable(f"{self._directory} is not in commit {commit[:12]} of {self._remote.shown}; check --path")
        return self._specs.desired(Snapshot(commit, entries, self._mirror.contents))

    def _kept(self, error: Unreachable) -> Desired:
        assert self._good is not None
        notice = f"the last fetch failed, {self._good.revision[:12]} still counts: {error}"
        return dataclasses.replace(self._good, notices=(*self._good.notices, notice))


def _same(before: Desired | Unavailable, after: Desired | Unavailable) -> bool:
    if isinstance(before, Unavailable) or isinstance(after, Unavailable):
        return str(before) == str(after)
    return before is after or (before.revision, before.notices) == (after.revision, after.notices)

"""A git URL as a source: a mirror of its branch, kept by a thread of its own.

Decides when to fetch, and what a failed fetch means: the newest state that was fetched stays, and people are told.
Reading never waits for the network; it returns what the last fetch brought.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from reconciler.model.desired import Desired
from reconciler.ports import Unavailable
from reconciler.source.git import Unreadable
from reconciler.source.history import History
from reconciler.source.mirror import Mirror
from reconciler.source.readings import Readings
from reconciler.source.snapshot import Snapshot
from reconciler.source.specs import Specs
from reconciler.source.transport import RemoteUnreachable
from reconciler.source.urls import Remote

_CLOSE_SECONDS = 5.0  # for git to be ended, and not to outlive us


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
        silence_seconds: float = 60.0,
    ) -> None:
        name = hashlib.sha256(f"{remote.url}\n{branch or ''}".encode()).hexdigest()[:16]
        mirror = state_dir / "source" / f"{name}.git"
        self._mirror = Mirror(mirror, directory, silence_seconds=silence_seconds)
        self._remote, self._branch, self._directory = remote, branch, directory
        self._history = History(self._mirror, directory)
        self._specs = Specs()
        self._good: Desired | None = None
        self._good_of: object = None
        self._before = ""
        self._readings = Readings(
            self._fetched,
            wake,
            thread_name="source-fetch",
            interval_seconds=interval_seconds,
            doing=f"{remote.shown} is being fetched",
        )

    def read(self) -> Desired:
        """The newest state that was fetched. Raises Unavailable before the first, and where it no longer exists."""
        return self._readings.last()

    def refresh(self) -> None:
        """Fetch now rather than when the interval has passed. Doesn't wait for it."""
        self._readings.begin()

    def wait_for_first_reading(self, timeout_seconds: float | None) -> None:
        """Wait until the first fetch has ended, well or not. None: however long it takes."""
        self._readings.wait_for_first(timeout_seconds)

    def close(self) -> None:
        """Fetch no more, and end the fetch under way."""
        self._mirror.close()
        self._readings.close(_CLOSE_SECONDS)

    def _fetched(self) -> Desired:
        try:
            commit = self._mirror.fetch(self._remote, self._branch, self._tell)
            # A commit's history arrives after it, and tells who changed what.
            fetched = commit, self._mirror.branch, self._mirror.shallow
            if self._good is None or self._good_of != fetched:
                if self._good and self._good.revision != commit:
                    self._before = self._good.revision
                self._good, self._good_of = self._loaded(commit), fetched
            return self._good
        except RemoteUnreachable as error:
            if self._good is None:
                raise
            return self._kept(error, self._good)
        except Unreadable as error:
            self._mirror.discard()
            raise Unavailable(f"{error}; the mirror of {self._remote.shown} is made anew") from error
        except OSError as error:
            why = f"{self._remote.shown} can't be mirrored in {self._mirror.git_dir}: {error.strerror}"
            raise Unavailable(why) from error

    def _loaded(self, commit: str) -> Desired:
        entries = self._mirror.entries(commit, self._directory)
        if self._directory and not entries:
            raise Unavailable(f"{self._directory} is not in commit {commit[:12]} of {self._remote.shown}; check --path")
        changes = partial(self._history.changes, commit)
        desired = self._specs.desired(Snapshot(commit, entries, self._mirror.contents, changes))
        branch = self._mirror.branch
        rewritten = self._mirror.rewriting(self._before, commit, branch) if self._before else ""
        return dataclasses.replace(desired, branch=branch, rewritten=rewritten)

    def _tell(self, progress: str) -> None:
        """Have people know of a fetch that takes long."""
        good = self._good
        notices = good and dataclasses.replace(good, notices=(*good.notices, progress))
        self._readings.meanwhile(notices or Unavailable(progress))

    def _kept(self, error: RemoteUnreachable, good: Desired) -> Desired:
        notice = f"the last fetch failed, {good.revision[:12]} still counts: {error}"
        return dataclasses.replace(good, notices=(*good.notices, notice), unfetched=str(error))

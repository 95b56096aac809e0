"""A mirror of one branch of a remote: what is fetched, in which portions, and what of it is kept.

Decides that the newest commit comes first, without history and, where the remote can filter, without contents; these
follow in portions, below the one directory that is read. Every portion that has arrived is kept: a fetch that is cut
off goes on from there, however often. Only what git itself can't read any more is thrown away.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from reconciler.ports import Unavailable
from reconciler.source.git import Repository, is_commit, last_words
from reconciler.source.transport import NotByName, RemoteUnreachable, Transport, without_contents
from reconciler.source.urls import Remote

# The newest commit of which everything has arrived, and one that is on its way.
MIRROR_REF = "refs/orchestry/source"
_ARRIVING_REF = "refs/orchestry/arriving"
# The most commits that are fetched so that those since the last one, or some before the first, are known.
MAX_HISTORY = 64
# How long a new commit may have to wait for the history before the first one, where that is large.
_HISTORY_SECONDS = 30.0
_FIRST_PORTION, _LARGEST_PORTION = 32, 1024
_UPKEEP_SECONDS = 300.0
_LEFT_BY_A_KILLED_GIT = ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/*/tmp_obj_*")


class Mirror(Repository):
    """A bare repository of our own that holds the newest state of one branch of a remote: of the files below
    ``directory`` at least."""

    def __init__(self, git_dir: Path, directory: str = "", *, silence_seconds: float = 60.0) -> None:
        super().__init__(git_dir.absolute())
        self._directory = directory
        self._silence_seconds = silence_seconds
        self._portion = _FIRST_PORTION
        self._closed = False
        self._until = math.inf
        # The branch that was fetched last, where the remote told which one that is.
        self.branch = ""
        self._whole = ""
        self._untold: str | None = None

    def fetch(self, remote: Remote, branch: str | None, tell: Callable[[str], None] = lambda _: None) -> str:
        """Bring the branch (None: the remote's own choice) here and return its commit. ``tell`` is given a sentence now
        and then while that takes long.

        Raises RemoteUnreachable where the remote didn't answer, Unavailable where it has no such branch.
        """
        self._tidy()
        transport = Transport(self, remote, self._silence_seconds, tell, self._is_wanted)
        ref = f"refs/heads/{branch}" if branch else "HEAD"
        told = transport.refs(ref)
        newest = told.get(ref, "")
        self.branch = branch or told.get(f"ref: {ref}", "").removeprefix("refs/heads/")
        if not is_commit(newest):
            wanted = f"branch {branch} doesn't exist" if branch else "the repository has no commit yet"
            raise Unavailable(f"{remote.shown}: {wanted}; push it, or name another with --branch")
        if newest == self._whole:
            self._catch_up(transport, ref, newest)
            return newest
        try:
            self._whole = self._brought(transport, ref, newest)
            return self._whole
        except RemoteUnreachable as error:
            if error.explained or not self._is_damaged():
                raise
            self.discard()
            raise RemoteUnreachable(f"{error}; the mirror was damaged, and is made anew") from error

    def close(self) -> None:
        """End the fetch under way, and begin none any more."""
        self._closed = True

    def discard(self) -> None:
        """Begin anew with the next fetch."""
        self._whole = ""
        shutil.rmtree(self.git_dir, ignore_errors=True)

    # ---- what is fetched

    def _brought(self, transport: Transport, ref: str, newest: str) -> str:
        self._prepare("sha1" if len(newest) == 40 else "sha256")
        before = self.resolve(MIRROR_REF)
        if before == newest and not self._missing(newest):
            self._untold = newest if newest in self.shallow else None
            return newest
        transport.fetch("--depth=1", refspec=f"+{ref}:{_ARRIVING_REF}")
        commit = self.resolve(_ARRIVING_REF)
        if commit is None:
            raise RemoteUnreachable(f"{transport.shown}: {ref} is not a commit")
        self._bring_contents(transport, ref, commit)
        self._set(MIRROR_REF, commit)
        self._set("-d", _ARRIVING_REF)
        self._untold = self._untold or before or commit
        return commit

    def _bring_contents(self, transport: Transport, ref: str, commit: str) -> None:
        """The contents that are still to come, in portions: small ones at first, and after a failure. All at once from
        a remote that can leave them out and yet not give them one by one, as an old one by ssh may be."""
        missing = self._missing(commit)
        while missing:
            portion, missing = missing[: self._portion], missing[self._portion :]
            try:
                transport.fetch_objects(portion)
            except NotByName:
                transport.fetch("--depth=1", "--refetch", "--no-filter", refspec=f"+{ref}:{_ARRIVING_REF}")
                return
            except RemoteUnreachable:
                self._portion = max(1, self._portion // 4)
                raise
            self._portion = min(_LARGEST_PORTION, self._portion * 2)

    def _set(self, *ref: str) -> None:
        status, _, message = self._run("update-ref", *ref)
        if status != 0:
            raise Unavailable(f"{self.git_dir} can't be written: {last_words(message)}")

    def _missing(self, commit: str) -> list[str]:
        entries = self.entries(commit, self._directory).values()
        return list(dict.fromkeys(entry.blob for entry in entries if entry.kind == "file without its content"))

    def _catch_up(self, transport: Transport, ref: str, commit: str) -> None:
        """What no app has to wait for, once after each new commit: the commits since the one before, as far as they are
        few, or some of those before the first; and tidy packs."""
        before, self._untold = self._untold, None
        if before is None:
            return
        depth, self._until = 2, math.inf
        if before == commit:
            depth, self._until = MAX_HISTORY, time.monotonic() + _HISTORY_SECONDS
        with suppress(RemoteUnreachable):
            while depth <= MAX_HISTORY and self._lacks_history(before, commit):
                transport.fetch(f"--depth={depth}", refspec=f"+{ref}:{_ARRIVING_REF}")
                depth *= 2
        self._until = math.inf
        self._set("-d", _ARRIVING_REF)
        self._run("gc", "--auto", "--quiet", environment=without_contents(), timeout_seconds=_UPKEEP_SECONDS)

    def _is_wanted(self) -> bool:
        """Whether anybody waits for the fetch under way."""
        return not self._closed and time.monotonic() < self._until

    def _lacks_history(self, before: str, commit: str) -> bool:
        """Whether it isn't known how this commit came from the one before: that is not here, or is the same one."""
        if before == commit:
            return commit in self.shallow
        return self._run("merge-base", "--is-ancestor", before, commit)[0] != 0

    # ---- the repository itself

    def _prepare(self, algorithm: str) -> None:
        """Have a repository for names of this kind."""
        if self.git_dir.exists() and self._algorithm() != algorithm:
            self.discard()
        if not self.git_dir.exists():
            self._create(algorithm)

    def _tidy(self) -> None:
        """Remove what a git that was killed has left behind: nobody but us writes here."""
        for pattern in _LEFT_BY_A_KILLED_GIT:
            for left in self.git_dir.glob(pattern):
                left.unlink(missing_ok=True)

    def _algorithm(self) -> str:
        status, out, message = self._run("rev-parse", "--show-object-format")
        if status != 0 and message.startswith("Timeout"):
            raise Unavailable(f"git rev-parse in {self.git_dir}: {last_words(message)}")
        return out.decode("ascii", "replace").strip()

    def _create(self, algorithm: str) -> None:
        try:
            self.git_dir.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise Unavailable(f"no mirror can be made in {self.git_dir}: {error.strerror}") from error
        status, _, message = self._run(
            *("init", "--quiet", "--bare", "--template=", f"--object-format={algorithm}"),
            *("--end-of-options", str(self.git_dir)),
        )
        if status != 0:
            self.discard()
            raise Unavailable(f"no mirror can be made in {self.git_dir}: {last_words(message)}")

    def _is_damaged(self) -> bool:
        check = ("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
        status, _, message = self._run(*check, environment=without_contents(), timeout_seconds=_UPKEEP_SECONDS)
        return status != 0 and not message.startswith("Timeout")

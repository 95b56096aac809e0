"""A git work tree as a source: what is committed on the branch that is checked out, and only that.

Decides which commit counts. It is read from the repository's objects, so a checkout that is half done can't be seen;
while a rebase or a bisection moves HEAD about, the branch it started from counts. Files are looked at for one purpose:
to say which changes were ignored because nobody committed them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from reconciler.model.desired import Desired
from reconciler.ports import Unavailable
from reconciler.source.directory import Files, Look, TooLarge, look, watched_directories
from reconciler.source.git import Repository, is_commit
from reconciler.source.history import History
from reconciler.source.snapshot import Entry, Snapshot, is_spec
from reconciler.source.specs import Specs

_MAX_NAMED = 5


class WorkTree:
    """The specs in ``directory`` ("" for the top) of a work tree, as its ``branch`` has them (None: the one that is
    checked out)."""

    def __init__(self, top: Path, git_dir: Path, directory: str, branch: str | None) -> None:
        self._root = top / directory
        self._directory = directory
        self._branch = branch
        self._git_dir = git_dir
        self._common_dir = common_dir(git_dir)
        self._repository = Repository(git_dir, self._common_dir)
        self._history = History(self._repository, directory)
        self._specs = Specs()
        self._committed: Mapping[str, Entry] = {}
        self._desired: Desired | None = None
        self._marks: object = None
        self._last_look: tuple[str, Look] | None = None
        self._standing: tuple[str, ...] = ()
        self._unseen_at = ""
        self._files: Files | None = None

    def read(self) -> Desired:
        """The committed state. Raises Unavailable where there is none at this path."""
        ref = self._ref()
        marks = self._ref_marks(ref)
        desired = self._desired
        if desired is None or marks != self._marks:
            commit = self._repository.resolve(ref)
            if commit is None:
                raise Unavailable(f"{self._root}: {_short(ref)} has no commit yet; commit the specs")
            if desired is None or desired.revision != commit:
                before, branch = desired, self._branch_of(ref)
                desired = self._load(commit)
                if before and branch and before.branch == branch:  # else another branch may have been checked out
                    rewritten = self._repository.rewriting(before.revision, commit, branch)
                    desired = dataclasses.replace(desired, rewritten=rewritten)
            self._marks = marks
        self._desired = self._with_notices(desired, ref)
        return self._desired

    def _load(self, commit: str) -> Desired:
        entries = self._repository.entries(commit, self._directory)
        if self._directory and not entries:
            raise Unavailable(
                f"{self._directory} is not in commit {commit[:12]}; commit it, check the branch and the path"
                " (to remove the last app keep the directory, with a file such as .gitkeep)"
            )
        changes = partial(self._history.changes, commit)
        desired = self._specs.desired(Snapshot(commit, entries, self._repository.contents, changes))
        self._committed, self._last_look, self._standing = entries, None, desired.notices
        return desired

    # ---- which commit

    def _ref(self) -> str:
        """The full name of the ref that counts."""
        if self._branch:
            return f"refs/heads/{self._branch}"
        for name in ("rebase-merge/head-name", "rebase-apply/head-name"):
            if (branch := _text(self._git_dir / name)).startswith("refs/heads/"):
                return branch
        bisected = _text(self._git_dir / "BISECT_START")  # a branch's short name, or a commit
        if not bisected:
            return "HEAD"
        return bisected if is_commit(bisected) else f"refs/heads/{bisected}"

    def _branch_of(self, ref: str) -> str:
        """The branch that a ref stands for, "" where it is a commit by itself."""
        name = _text(self._git_dir / "HEAD").removeprefix("ref:").strip() if ref == "HEAD" else ref
        # Where refs are in a table, HEAD stands for no branch that this file could tell.
        return _short(name) if name.startswith("refs/heads/") and name != "refs/heads/.invalid" else ""

    def _ref_marks(self, ref: str) -> object:
        """What differs whenever the ref stands for another commit: cheap to see, where asking git is not."""
        texts: list[str] = []
        while ref and len(texts) < 6:
            texts.append(_text((self._git_dir if ref == "HEAD" else self._common_dir) / ref))
            ref = texts[-1].removeprefix("ref:").strip() if texts[-1].startswith("ref:") else ""
        return texts, *(_stat(self._common_dir / name) for name in ("packed-refs", "reftable/tables.list"))

    # ---- what was ignored

    def _with_notices(self, desired: Desired, ref: str) -> Desired:
        """The desired state with the notices and the branch of now; the same object where that is nothing new."""
        ignored = self._uncommitted(desired.revision, ref)
        notices = desired.notices if ignored is None else (*self._standing, *ignored)
        branch = self._branch_of(ref)
        known = (desired.notices, desired.branch) == (notices, branch)
        return desired if known else dataclasses.replace(desired, notices=notices, branch=branch)

    def _uncommitted(self, commit: str, ref: str) -> tuple[str, ...] | None:
        """Notices of changes that were ignored; None where nothing moved since they were made."""
        if self._branch and _text(self._git_dir / "HEAD") != f"ref: refs/heads/{self._branch}":
            return ()
        if self._unseen_at == commit:
            return None
        try:
            listing = look(self._root)
            if self._last_look == (ref, listing):
                return None
            self._files = self._files or Files(self._root, "sha1" if len(commit) == 40 else "sha256")
            present = self._files.entries(listing)
            left_out = self._left_out(present)
        except Unavailable as error:
            self._unseen_at = commit if isinstance(error, TooLarge) else ""  # not looked through at every tick
            return (f"uncommitted changes can't be told: {error}",)
        self._last_look = (ref, listing) if self._files.settled(listing) else None
        return tuple(self._notices(ref, present, left_out))

    def _left_out(self, present: Mapping[str, Entry]) -> frozenset[str]:
        """Files that are missing from the work tree because the checkout is sparse, which is nobody's change."""
        sparse = (self._git_dir / "info" / "sparse-checkout").exists()
        complete = not sparse or self._committed.keys() <= present.keys()
        return frozenset() if complete else self._repository.left_out(self._directory)

    def _notices(self, ref: str, present: Mapping[str, Entry], left_out: frozenset[str]) -> Iterator[str]:
        if ref != "HEAD" and not self._branch:
            yield f"a rebase or bisection is under way; {_short(ref)} counts as it was before"
        expected = (entry for path, entry in self._committed.items() if path in present or path not in left_out)
        changed = [entry.path for entry in expected if _differs(entry, present.get(entry.path))]
        new = [path for path in present if is_spec(path) and path not in self._committed]
        if names := sorted(changed + new):
            more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
            yield f"uncommitted changes are ignored: {', '.join(names[:_MAX_NAMED])}{more}"

    def watched(self) -> tuple[Path, ...]:
        """The directories whose changes matter: the specs, and what a commit or a checkout writes to."""
        heads = (Path(directory) for directory, _, _ in os.walk(self._common_dir / "refs" / "heads"))
        refs = (self._git_dir, self._common_dir, self._common_dir / "reftable", *heads)
        return tuple(dict.fromkeys((*watched_directories(self._root), *refs)))


def _differs(committed: Entry, present: Entry | None) -> bool:
    if committed.kind != "file":
        return False
    return present is None or present.kind != "file" or present.blob != committed.blob


def find_repository(path: Path) -> tuple[Path, Path] | None:
    """Top and git directory of the work tree a path lies in, or of the bare repository, which is both; None outside
    git. Raises Unavailable for a broken one."""
    for top in (path, *path.parents):
        mark = top / ".git"
        if (top / "HEAD").is_file() and (top / "objects").is_dir() and (top / "refs").is_dir():
            return top, top
        if mark.is_dir():
            git_dir = mark
        elif mark.is_file():
            git_dir = top / _text(mark).removeprefix("gitdir:").strip()
        else:
            continue
        if not (git_dir / "HEAD").exists():
            raise Unavailable(f"{mark} is no git repository; repair it, or remove it to use the files as they are")
        return top, git_dir
    return None


def common_dir(git_dir: Path) -> Path:
    """The directory where a linked work tree keeps what it shares with the others."""
    shared = _text(git_dir / "commondir")
    return (git_dir / shared).resolve() if shared else git_dir


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/")

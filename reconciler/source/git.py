"""What this project asks of a git repository on this host, and how git is kept from doing anything else.

Decides how git is run and how objects are read. Only this module imports GitPython; only ``mirror`` lets git speak to
anybody. Nothing a repository brings along is ever run: git is told the repository's directory instead of looking for
one, knows no configuration of the system or of a user, no hooks, filters, submodules, replaced objects or prompts, and
has a deadline. Text of a user's is checked, and stands behind ``--end-of-options`` or inside a full ref name.

A repository owned by another user is read all the same: git's own guard against that (``safe.directory``) is for
commands that may run what the repository's configuration says, and only ``rev-parse``, ``ls-tree``, ``rev-list``,
``diff-tree --raw``, ``merge-base``, ``ls-files`` and ``cat-file`` are used on one, none of which does with lazy
fetching refused.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from reconciler.ports import Unavailable
from reconciler.source.snapshot import MAX_ENTRIES, MAX_TOTAL_BYTES, Entry, Kind, is_in_hidden_directory

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # that there is no git is for `_run` to tell, not for the import
import git

LOCAL_TIMEOUT_SECONDS = 20.0

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_KINDS: Mapping[str, Kind] = {"100644": "file", "100755": "file", "120000": "symbolic link", "160000": "submodule"}
# Of a commit its name, time, author and subject, and what git says of the paths that it changed.
_AS_WORDS = ("--raw", "--no-renames", "--no-abbrev", "--encoding=UTF-8", "--format=%H%x00%ct%x00%an%x00%s")
SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.askPass": "",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.autoDetach": "false",
    "maintenance.autoDetach": "false",
}


def is_commit(text: str) -> bool:
    """Whether a text is the full name of an object."""
    return bool(_COMMIT.fullmatch(text))


class Unreadable(Unavailable):
    """A repository can't be read though git can be run: something in it is amiss."""


class Repository:
    """Objects of a repository on this host."""

    def __init__(self, git_dir: Path, common_dir: Path | None = None) -> None:
        self.git_dir = git_dir
        self.common_dir = common_dir or git_dir

    @property
    def environment(self) -> dict[str, str]:
        """What git may know: this repository, and no one's configuration."""
        return configured(SETTINGS) | {
            "GIT_DIR": str(self.git_dir),
            "GIT_COMMON_DIR": str(self.common_dir),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "false",
            "SSH_ASKPASS": "false",
        }

    def resolve(self, ref: str) -> str | None:
        """The commit a full ref name (or HEAD) stands for; None where there is no such ref."""
        status, out, _ = self._run("rev-parse", "--quiet", "--verify", "--end-of-options", f"{ref}^{{commit}}")
        commit = out.decode("ascii", "replace").strip()
        return commit if status == 0 and is_commit(commit) else None

    def entries(self, commit: str, directory: str) -> Mapping[str, Entry]:
        """All files below a directory ("" for the top) of a commit. Empty where there is no such directory."""
        of_commit = ("-r", "-z", "--full-tree", "--end-of-options", commit, *([f"{directory}/"] if directory else []))
        status, listing, _ = self._run("ls-tree", "--long", *of_commit)
        sizes: Mapping[str, int] = {}
        if status != 0:  # of a clone without all contents git tells no sizes at all
            listing, sizes = self._ask("ls-tree", *of_commit), self._sizes(commit, directory)
        lines = listing.split(b"\0")[:-1]
        if len(lines) > MAX_ENTRIES:
            raise Unavailable(f"{len(lines)} files at {directory or '/'} in {commit[:12]}: name a directory of specs")
        entries = (_entry(line, len(directory) + 1 if directory else 0, sizes) for line in lines)
        return {entry.path: entry for entry in entries if not is_in_hidden_directory(entry.path)}

    def left_out(self, directory: str) -> frozenset[str]:
        """The files below a directory that a sparse checkout leaves out of the work tree."""
        scope = [f"{directory}/"] if directory else []
        tagged = self._ask("ls-files", "-t", "-z", "--full-name", "--end-of-options", *scope).split(b"\0")
        skip = len(directory) + 1 if directory else 0
        return frozenset(line[2:].decode("utf-8", "backslashreplace")[skip:] for line in tagged if line[:2] == b"S ")

    def _sizes(self, commit: str, directory: str) -> Mapping[str, int]:
        """The sizes of the contents below a directory that are there, without anything being fetched."""
        tree = f"{commit}:{directory}"
        objects = self._ask("rev-list", "--objects", "--missing=print", "--end-of-options", tree).decode().splitlines()
        there = "".join(f"{line.split()[0]}\n" for line in objects if not line.startswith("?"))
        told = (line.split() for line in self._asked_of_each(there, "cat-file", "--batch-check").splitlines())
        return {words[0].decode(): int(words[2]) for words in told if len(words) == 3}

    def contents(self, entries: Sequence[Entry]) -> Mapping[str, bytes]:
        """The contents of files, by path, in one go."""
        if not entries:
            return {}
        names = "".join(f"{entry.blob}\n" for entry in entries)
        return dict(_blobs(self._asked_of_each(names, "cat-file", "--batch"), entries))

    def _asked_of_each(self, names: str, *arguments: str) -> bytes:
        """What git answers to a question about each of these objects, a line for each."""
        try:
            with tempfile.TemporaryFile(buffering=0) as lines:
                lines.write(names.encode())
                lines.seek(0)
                return self._ask(*arguments, stdin=lines)
        except OSError as error:
            raise Unavailable(f"no temporary file can be written: {error.strerror}") from error

    # ---- what was before

    @property
    def shallow(self) -> frozenset[str]:
        """The commits whose parents are not here, though they have some: a shallow clone's first."""
        try:
            return frozenset((self.common_dir / "shallow").read_text("ascii").split())
        except (OSError, ValueError):
            return frozenset()

    def rewriting(self, before: str, after: str, branch: str) -> str:
        """That the second commit takes back the first, in one sentence: it comes after an older one. "" where it
        doesn't, or the history that is here doesn't tell."""
        status, out, _ = self._run("merge-base", "--end-of-options", before, after)
        base = out.decode("ascii", "replace").split()
        if status != 0 or not base or base[0] == before:
            return ""
        return (
            f"branch {branch or 'HEAD'} was rewritten: {before[:12]}, read before, is not in the history of "
            f"{after[:12]}; both come from {base[0][:12]}"
        )

    def commits(self, commit: str, limit: int) -> Sequence[str]:
        """The names of a commit and of those before it, the newest first, so many at most."""
        return self._ask("rev-list", f"--max-count={limit}", "--end-of-options", commit).decode("ascii").split()

    def changed_paths(self, commits: Sequence[str], prefix: str) -> bytes:
        """What git says of these commits and of the paths below a prefix that each has changed: of a merge, those that
        it has otherwise than every parent. Commits that changed none are left out."""
        names, below = "".join(f"{commit}\n" for commit in commits), ["--", prefix] if prefix else []
        return self._asked_of_each(names, "diff-tree", "--stdin", "-r", "-c", "--root", "-z", *_AS_WORDS, *below)

    def known_contents(self, blobs: Sequence[str], max_bytes: int) -> Mapping[str, bytes]:
        """Those of these contents, by their names, that are here and not larger than this; no more than fits memory."""
        checked = self._asked_of_each("".join(f"{blob}\n" for blob in blobs), "cat-file", "--batch-check")
        here = (words for line in checked.decode("ascii").splitlines() if len(words := line.split()) == 3)
        fit = [Entry(name, "file", name, int(size)) for name, _, size in here if int(size) <= max_bytes]
        totals = accumulate(entry.size_bytes for entry in fit)
        return self.contents([entry for entry, total in zip(fit, totals, strict=True) if total <= MAX_TOTAL_BYTES])

    def _ask(self, *arguments: str, stdin: BinaryIO | None = None) -> bytes:
        status, out, message = self._run(*arguments, stdin=stdin)
        if status != 0:
            kind = Unavailable if message.startswith("Timeout") else Unreadable
            raise kind(f"git {arguments[0]} in {self.git_dir}: {last_words(message)}")
        return out

    def _run(
        self,
        *arguments: str,
        stdin: BinaryIO | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = LOCAL_TIMEOUT_SECONDS,
    ) -> tuple[int, bytes, str]:
        """Exit status, output and messages. Raises Unavailable where there is no git to run."""
        variables = self.environment | dict(environment or {})
        inherited = [name for name in os.environ if name.startswith("GIT_") and name not in variables]
        forget = ["env", *(word for name in inherited for word in ("-u", name))] if inherited else []
        try:
            answer = git.Git(self.common_dir).execute(
                [*forget, "git", *arguments],
                istream=stdin,
                env=variables,
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=timeout_seconds,
            )
        except (git.GitCommandNotFound, OSError) as error:
            raise no_git(error) from error
        return answer


def configured(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment that gives git these settings, and none on a command line that others could read."""
    numbered = {f"GIT_CONFIG_KEY_{index}": name for index, name in enumerate(settings)}
    numbered |= {f"GIT_CONFIG_VALUE_{index}": value for index, value in enumerate(settings.values())}
    return numbered | {"GIT_CONFIG_COUNT": str(len(settings))}


def no_git(error: Exception) -> Unavailable:
    return Unavailable(f"git can't be run here ({type(error).__name__}); install git 2.31 or newer")


def _entry(line: bytes, skip: int, sizes: Mapping[str, int]) -> Entry:
    """One line of ls-tree: mode, type, object and, unless that is known otherwise, size; a tab, the path."""
    attributes, _, path = line.partition(b"\t")
    mode, _, blob, *told = attributes.decode("ascii").split()
    kind = _KINDS.get(mode, "special file")
    size = (told[0] if told else str(sizes.get(blob, "BAD"))) if kind == "file" else "0"
    if size == "BAD":
        kind, size = "file without its content", "0"
    return Entry(path.decode("utf-8", "backslashreplace")[skip:], kind, blob, int(size))


def _blobs(output: bytes, entries: Sequence[Entry]) -> list[tuple[str, bytes]]:
    """The answers of cat-file --batch, in the order asked: a line ``OBJECT blob SIZE``, the content, a newline."""
    contents, position = [], 0
    for entry in entries:
        end = output.find(b"\n", position)
        words = output[position:end].split()
        if len(words) != 3 or words[1] != b"blob":
            raise _missing(entry.path, entry.blob)
        start, size = end + 1, int(words[2])
        contents.append((entry.path, output[start : start + size]))
        position = start + size + 1
    return contents


def _missing(path: str, blob: str) -> Unavailable:
    return Unreadable(f"{path}: its content {blob[:12]} is missing from the repository; run git fsck")


def last_words(message: str) -> str:
    """The line of git's messages that tells most, made fit for one line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    reasons = (
        [line for line in lines if line.startswith(("fatal:", "error:", "Timeout:"))] or lines or ["no reason given"]
    )
    return "".join(c for c in reasons[0] if c.isprintable())[:300]

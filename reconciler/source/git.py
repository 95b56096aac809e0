"""Everything this project asks of git, and how it is kept from doing anything else.

Decides how objects are read and how a mirror is fetched. Only this module imports GitPython. Nothing a repository
brings along is ever run: git is told the repository's directory instead of looking for one, knows no configuration of
the system or of a user, no hooks, filters, submodules, replaced objects or prompts, speaks one protocol at most, and
has a deadline. Text of a user's is checked, and stands behind ``--end-of-options`` or inside a full ref name.

A repository owned by another user is read all the same: git's own guard against that (``safe.directory``) is for
commands that may run what the repository's configuration says, and only ``rev-parse``, ``ls-tree`` and ``cat-file``
are used here, none of which does with lazy fetching refused.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from reconciler.ports import Unavailable
from reconciler.source.snapshot import MAX_ENTRIES, Entry, Kind, is_in_hidden_directory
from reconciler.source.urls import Remote

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # that there is no git is for `_run` to tell, not for the import
import git

LOCAL_TIMEOUT_SECONDS = 20.0
FETCH_TIMEOUT_SECONDS = 120.0
MIRROR_REF = "refs/orchestry/source"

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_KINDS: Mapping[str, Kind] = {"100644": "file", "100755": "file", "120000": "symbolic link", "160000": "submodule"}
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.askPass": "",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.autoDetach": "false",
    "maintenance.autoDetach": "false",
    "http.lowSpeedLimit": "100",
    "http.lowSpeedTime": "30",
}


def is_commit(text: str) -> bool:
    """Whether a text is the full name of an object."""
    return bool(_COMMIT.fullmatch(text))


class RemoteUnreachable(Unavailable):
    """The remote didn't answer as it should: what was fetched last is still the best there is."""


class Repository:
    """Objects of a repository on this host."""

    def __init__(self, git_dir: Path, common_dir: Path | None = None) -> None:
        self.git_dir = git_dir
        self.common_dir = common_dir or git_dir

    def resolve(self, ref: str) -> str | None:
        """The commit a full ref name (or HEAD) stands for; None where there is no such ref."""
        status, out, _ = self._run("rev-parse", "--quiet", "--verify", "--end-of-options", f"{ref}^{{commit}}")
        commit = out.decode("ascii", "replace").strip()
        return commit if status == 0 and is_commit(commit) else None

    def entries(self, commit: str, directory: str) -> Mapping[str, Entry]:
        """All files below a directory ("" for the top) of a commit. Empty where there is no such directory."""
        scope = [f"{directory}/"] if directory else []
        listing = self._ask("ls-tree", "-r", "-z", "--long", "--full-tree", "--end-of-options", commit, *scope)
        lines = listing.split(b"\0")[:-1]
        if len(lines) > MAX_ENTRIES:
            raise Unavailable(f"{len(lines)} files at {directory or '/'} in {commit[:12]}: name a directory of specs")
        entries = (_entry(line, len(directory) + 1 if directory else 0) for line in lines)
        return {entry.path: entry for entry in entries if not is_in_hidden_directory(entry.path)}

    def contents(self, entries: Sequence[Entry]) -> Mapping[str, bytes]:
        """The contents of files, by path, in one go."""
        if not entries:
            return {}
        try:
            with tempfile.TemporaryFile(buffering=0) as names:
                names.write("".join(f"{entry.blob}\n" for entry in entries).encode())
                names.seek(0)
                return dict(_blobs(self._ask("cat-file", "--batch", stdin=names), entries))
        except OSError as error:
            raise Unavailable(f"no temporary file can be written: {error.strerror}") from error

    def _ask(self, *arguments: str, stdin: BinaryIO | None = None) -> bytes:
        status, out, message = self._run(*arguments, stdin=stdin)
        if status != 0:
            raise Unavailable(f"git {arguments[0]} in {self.git_dir}: {_last_words(message)}")
        return out

    def _run(
        self,
        *arguments: str,
        stdin: BinaryIO | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = LOCAL_TIMEOUT_SECONDS,
    ) -> tuple[int, bytes, str]:
        """Exit status, output and messages. Raises Unavailable where there is no git to run."""
        variables = _environment(self.git_dir, self.common_dir) | dict(environment or {})
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
            raise Unavailable(f"git can't be run here ({type(error).__name__}); install git 2.31 or newer") from error
        return answer


class Mirror(Repository):
    """A bare repository of our own that holds the newest state of one branch of a remote, and nothing else."""

    def fetch(self, remote: Remote, branch: str | None) -> str:
        """Bring the branch (None: the remote's own choice) here and return its commit.

        Raises RemoteUnreachable where the remote didn't answer, Unavailable where it has no such branch.
        """
        if not (self.git_dir / "HEAD").exists():
            self._create()
        ref = f"refs/heads/{branch}" if branch else "HEAD"
        status, _, message = self._run(
            *("fetch", "--quiet", "--force", "--depth=1", "--no-tags", "--no-recurse-submodules"),
            *("--no-write-fetch-head", "--end-of-options", remote.url, f"+{ref}:{MIRROR_REF}"),
            environment=_transport(remote),
            timeout_seconds=FETCH_TIMEOUT_SECONDS,
        )
        if status != 0:
            raise self._failure(remote, branch, message)
        commit = self.resolve(MIRROR_REF)
        if commit is None:
            raise RemoteUnreachable(f"{remote.shown}: {ref} is not a commit")
        return commit

    def _create(self) -> None:
        try:
            self.git_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Unavailable(f"no mirror can be made in {self.git_dir}: {error.strerror}") from error
        status, _, message = self._run(
            "init", "--quiet", "--bare", "--template=", "--end-of-options", str(self.git_dir)
        )
        if status != 0:
            raise Unavailable(f"no mirror can be made in {self.git_dir}: {_last_words(message)}")

    def _failure(self, remote: Remote, branch: str | None, message: str) -> Unavailable:
        if "couldn't find remote ref" in message:
            wanted = f"branch {branch} doesn't exist" if branch else "the repository has no commit yet"
            return Unavailable(f"{remote.shown}: {wanted}; push it, or name another with --branch")
        advice = next((advice for sign, advice in _ADVICE if sign in message.lower()), None)
        if advice is None:
            shutil.rmtree(self.git_dir, ignore_errors=True)  # a killed git leaves locks behind; a mirror is cheap
        return RemoteUnreachable(f"{remote.shown}: {_last_words(message)}" + (f" ({advice})" if advice else ""))


_ADVICE = (
    ("could not resolve host", "is the name right, and DNS reachable?"),
    ("authentication failed", "check the user and token of the URL, or ~/.netrc"),
    ("could not read username", "give the URL a user and token, or write them into ~/.netrc"),
    ("permission denied (publickey", "give the controller's user an ssh key that the server knows"),
    ("host key verification failed", "add the server's key to known_hosts"),
    ("certificate", "add the server's authority to the system's, or name its file in GIT_SSL_CAINFO"),
    ("dubious ownership", "a file URL needs a repository of the controller's own user; or use ssh or https"),
    ("connection refused", "does the server run?"),
    ("timed out", "is the server reachable from here?"),
    ("not found", "is the path right, and readable with these credentials?"),
    ("does not exist", "is the path right?"),
    ("does not appear to be a git repository", "is the path right?"),
)


def _environment(git_dir: Path, common_dir: Path) -> dict[str, str]:
    """What git may know: this repository, and no one's configuration."""
    settings = {
        "GIT_CONFIG_COUNT": str(len(_SETTINGS)),
        **{f"GIT_CONFIG_KEY_{index}": name for index, name in enumerate(_SETTINGS)},
        **{f"GIT_CONFIG_VALUE_{index}": value for index, value in enumerate(_SETTINGS.values())},
    }
    return settings | {
        "GIT_DIR": str(git_dir),
        "GIT_COMMON_DIR": str(common_dir),
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


def _transport(remote: Remote) -> dict[str, str]:
    """What a fetch may do beyond: speak the one protocol, with credentials that no command line shows.

    Of the controller's own environment it keeps how to call ssh (a deploy key) and which certificates to trust.
    """
    ssh = os.environ.get("GIT_SSH_COMMAND", "ssh")
    extra = {name: os.environ[name] for name in ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH") if name in os.environ}
    extra |= {
        "GIT_ALLOW_PROTOCOL": remote.protocol,
        "GIT_SSH_COMMAND": f"{ssh} -oBatchMode=yes -oConnectTimeout=15",
        "GIT_SSH_VARIANT": "ssh",
    }
    if remote.authorization:
        extra |= {
            "GIT_CONFIG_COUNT": str(len(_SETTINGS) + 1),
            f"GIT_CONFIG_KEY_{len(_SETTINGS)}": f"http.{remote.url}.extraHeader",
            f"GIT_CONFIG_VALUE_{len(_SETTINGS)}": f"Authorization: {remote.authorization}",
        }
    return extra


def _entry(line: bytes, skip: int) -> Entry:
    """One line of ls-tree: mode, type, object and size, a tab, the path."""
    attributes, _, path = line.partition(b"\t")
    mode, _, blob, size = attributes.decode("ascii").split()
    name = path.decode("utf-8", "backslashreplace")[skip:]
    if size == "BAD":
        raise _missing(name, blob)
    return Entry(name, _KINDS.get(mode, "special file"), blob, 0 if size == "-" else int(size))


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
    return Unavailable(f"{path}: its content {blob[:12]} is missing from the repository; run git fsck")


def _last_words(message: str) -> str:
    """The line of git's messages that tells most, made fit for one line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    reasons = (
        [line for line in lines if line.startswith(("fatal:", "error:", "Timeout:"))] or lines or ["no reason given"]
    )
    return "".join(c for c in reasons[0] if c.isprintable())[:300]

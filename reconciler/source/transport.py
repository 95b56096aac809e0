"""git towards a remote: what it may do there, how its progress is told, and what its failures mean.

Decides that a fetch is judged by its silence, never by its length. Git speaks one protocol here, with credentials that
no command line shows. Nothing of them is remembered: keys, ``~/.netrc`` and certificates are read anew by each fetch.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

from reconciler.ports import Unavailable
from reconciler.source.git import SETTINGS, Repository, configured, last_words, no_git
from reconciler.source.urls import Remote
from reconciler.source.watched import Ended, run_watched

TELL_SECONDS = 10.0
# Without contents, wherever the remote can leave them out. That is said in no configuration file, so that for all other
# commands what has not arrived is just not there, and never fetched behind our back.
_PROMISED = {"remote.origin.promisor": "true", "remote.origin.partialCloneFilter": "blob:none"}

_ADVICE = (
    ("could not resolve host", "is the name right, and DNS reachable?"),
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

# How git tells of a server that lets nobody in: by the status of its answer, or by asking whoever might sit there.
_REFUSED = (
    ("401", re.compile(r"could not read (username|password)|authentication failed|(returned error:|http) 401")),
    ("403", re.compile(r"(returned error:|http) 403")),
)


class RemoteUnreachable(Unavailable):
    """The remote didn't answer as it should: what was fetched last is still the best there is. ``explained`` where the
    remote or the line is at fault for certain."""

    def __init__(self, message: str, *, explained: bool = True) -> None:
        super().__init__(message)
        self.explained = explained


class NotByName(RemoteUnreachable):
    """The remote gives no objects by their names."""


class Transport:
    """What one fetch asks of a remote, into a repository. ``tell`` is given a sentence every now and then while that
    takes long; ``is_wanted`` says whether anybody still waits for it."""

    def __init__(
        self,
        repository: Repository,
        remote: Remote,
        silence_seconds: float,
        tell: Callable[[str], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        self._repository = repository
        self._remote = remote
        self._silence_seconds = silence_seconds
        self._tell = tell
        self._is_wanted = is_wanted
        self._began_at = self._told_at = time.monotonic()
        self._bytes_before = self._bytes()

    @property
    def shown(self) -> str:
        """The remote, as it may be shown."""
        return self._remote.shown

    def refs(self, name: str) -> Mapping[str, str]:
        """What the remote has of this name, by full name; by ``ref: NAME`` another name for the same. Raises
        RemoteUnreachable."""
        lines = self._run("ls-remote", "--symref", "--end-of-options", "origin", name)
        pairs = [(full_name, what) for what, _, full_name in (line.partition("\t") for line in lines)]
        return {f"ref: {name}" * what.startswith("ref: ") or name: what.removeprefix("ref: ") for name, what in pairs}

    def fetch(self, *arguments: str, refspec: str) -> None:
        """Fetch a ref. Raises RemoteUnreachable."""
        self._run(*_FETCH, *arguments, "--end-of-options", "origin", refspec)

    def fetch_objects(self, names: Iterable[str]) -> None:
        """Fetch objects by their names. Raises RemoteUnreachable."""
        negotiate_nothing = ("-c", "fetch.negotiationAlgorithm=noop")
        self._run(*negotiate_nothing, *_FETCH, "--stdin", "--end-of-options", "origin", stdin="\n".join(names))

    def _run(self, *arguments: str, stdin: str = "") -> list[str]:
        """The lines of git's answer."""
        with tempfile.TemporaryFile() as names, tempfile.TemporaryFile() as answer:
            names.write(stdin.encode())
            names.seek(0)
            status, messages = self._watched(arguments, names, answer)
            if status != 0:
                raise self._failure(messages)
            answer.seek(0)
            return answer.read().decode("utf-8", "surrogateescape").splitlines()

    def _watched(self, arguments: tuple[str, ...], stdin: IO[bytes], stdout: IO[bytes]) -> tuple[int, str]:
        try:
            return run_watched(
                ["git", *arguments],
                directory=Path("/"),
                environment=self._environment(),
                stdin=stdin,
                stdout=stdout,
                silence_seconds=self._silence_seconds,
                made=self._bytes,
                is_wanted=self._goes_on,
            )
        except OSError as error:
            raise no_git(error) from error
        except Ended as ended:
            why = (
                f"nothing came for {self._silence_seconds:g} s, after {self._so_far()}" if ended.silent else str(ended)
            )
            raise RemoteUnreachable(f"{self._remote.shown}: {why} (is the server reachable from here?)") from ended

    def _failure(self, messages: str) -> RemoteUnreachable:
        if "unadvertised object" in messages or "not our ref" in messages:
            return NotByName(f"{self._remote.shown}: {last_words(messages)}")
        if refused := self._refusal(messages.lower()):
            return RemoteUnreachable(f"{self._remote.shown}: {refused}")
        advice = next((advice for sign, advice in _ADVICE if sign in messages.lower()), None)
        said = f"{self._remote.shown}: {last_words(messages)}" + (f" ({advice})" if advice else "")
        return RemoteUnreachable(said, explained=advice is not None)

    def _refusal(self, messages: str) -> str | None:
        """What a git server said to our credentials, and what to set; None where it was something else."""
        status = next((status for status, sign in _REFUSED if sign.search(messages)), None)
        given = bool(self._remote.authorization)
        if status == "401" and given:
            return (
                "the git server refused the credentials (401): check the user and token in the URL that the setting "
                "source has; is the token expired, or revoked?"
            )
        if status == "401":
            return (
                "the git server refused access without credentials (401), or with those of ~/.netrc: give the URL a "
                "user and token, in the setting source of the settings file, or write them into ~/.netrc"
            )
        where = "in the URL that the setting source has" if given else "in ~/.netrc, or give the URL some"
        refused = (
            f"the git server refused access (403): check the user and token {where}; may they read this repository?"
        )
        return refused if status else None

    # ---- progress

    def _goes_on(self) -> bool:
        now = time.monotonic()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            self._tell(f"fetching {self._remote.shown}: {self._so_far()}")
        return self._is_wanted()

    def _so_far(self) -> str:
        came = _size_in_words(max(0, self._bytes() - self._bytes_before))
        return f"{came} of objects so far, {time.monotonic() - self._began_at:.0f} s"

    def _bytes(self) -> int:
        """How large the repository's packs are, one that is still arriving included."""
        try:
            with os.scandir(self._repository.git_dir / "objects" / "pack") as packs:
                return sum(pack.stat().st_size for pack in packs)
        except OSError:
            return 0

    # ---- what git may do

    def _environment(self) -> dict[str, str]:
        """Of the controller's own environment git keeps how to call ssh (a deploy key) and whom to trust."""
        ssh = os.environ.get("GIT_SSH_COMMAND", "ssh")
        kept = {name: text for name, text in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
        settings = SETTINGS | _PROMISED | {"remote.origin.url": self._remote.url, "fetch.unpackLimit": "1"}
        if self._remote.authorization:
            settings[f"http.{self._remote.url}.extraHeader"] = f"Authorization: {self._remote.authorization}"
        return {
            **kept,
            **self._repository.environment,
            **configured(settings),
            "LC_ALL": "C",
            "GIT_ALLOW_PROTOCOL": self._remote.protocol,
            "GIT_NO_LAZY_FETCH": "0",
            "GIT_SSH_COMMAND": f"{ssh} -oBatchMode=yes -oConnectTimeout=15",
            "GIT_SSH_VARIANT": "ssh",
        }


_KEPT = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH")
_FETCH = (
    *("fetch", "--progress", "--force", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"),
    "--no-auto-maintenance",
)


def without_contents() -> dict[str, str]:
    """The environment for work on a repository that may lack contents because they were not fetched."""
    return configured(SETTINGS | _PROMISED)


def _size_in_words(size_bytes: int) -> str:
    if size_bytes >= 1 << 20:
        return f"{size_bytes / (1 << 20):.0f} MiB"
    return f"{size_bytes >> 10} KiB"

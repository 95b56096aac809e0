"""What the edge needs of an nginx, however it is run; and the words nginx itself uses.

Three implementations: `process`, `container` and `external`. Each only tests, loads and reopens; what to serve, and
whether it is served, is the publisher's to decide.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from reconciler.edge.settings import Build
from reconciler.ports import Unavailable

_COMPLAINT = re.compile(r"^(?:nginx: |\d{4}/\S+ \S+ )\[(?:emerg|crit)\] (?:\d+#\d+: )?(?P<text>.*)$", re.MULTILINE)
_REMEDIES = (
    (re.compile(r"^bind\(\) .*\(13:"), "run as root, or choose ports from 1024 up"),
    (re.compile(r"^bind\(\) .*\(98:"), "another program has that port: stop it, or choose another"),
)
_POSITION = re.compile(r" in \S*/http\.conf:\d+")


class Nginx(Protocol):
    """One way to run nginx, in one word its ``mode``. Every method may raise Unavailable with a remedy."""

    mode: str

    def identify(self) -> tuple[Build, str]:
        """What this nginx is, and all that ``nginx -V`` printed. Asked once."""

    def test(self, generation: str) -> str | None:
        """None where nginx accepts the generation, else everything it said."""

    def alive(self) -> bool:
        """A cheap look whether it is gone for certain; True where only its socket can tell. One that was seen alive is
        watched from then on, where we run it."""

    def load(self) -> None:
        """Make nginx take over what ``current`` leads to: by a reload, or by a start where it isn't running."""

    def reopen_logs(self) -> None:
        """Make nginx open its log files anew, after they were renamed."""

    def stop(self) -> None:
        """End it; requests in flight are finished. Quiet when it isn't running."""

    def close(self) -> None:
        """Release resources; it goes on."""


def complaint(output: str) -> str:
    """The sentence that matters of what nginx said, without file and line, which are gone with the config test; with a
    remedy where one is known."""
    sentence = [*_reasons(output), *reversed(output.strip().splitlines()), "it gave no reason"][0]
    return sentence + next((f" ({remedy})" for sign, remedy in _REMEDIES if sign.search(sentence)), "")


def final_complaint(log: str) -> str | None:
    """Why nginx did not take a configuration over, out of what it logged since; None while it is still at it."""
    reasons = _reasons(log)
    trying = [reason for reason in reasons if reason.startswith("bind() to")]
    return complaint(log) if len(reasons) > len(trying) else None


def _reasons(output: str) -> list[str]:
    """All complaints in what nginx said, but of a socket's file that is gone already: that is nothing."""
    reasons = (_POSITION.sub("", match["text"]) for match in _COMPLAINT.finditer(output))
    return [reason for reason in reasons if not reason.startswith("unlink()")]


def parse_version(output: str) -> tuple[int, ...]:
    """The version out of ``nginx -V``. Raises Unavailable where that is not nginx."""
    match = re.search(r"version: \S+?/(\d+(?:\.\d+)*)", output)
    if not match:
        raise Unavailable(f"`nginx -V` did not tell a version but: {output.strip()[:200] or 'nothing'}")
    return tuple(int(part) for part in match[1].split("."))


def run(
    command: Sequence[str], timeout_seconds: float, *, directory: Path | None = None, missing: str = ""
) -> tuple[int, str]:
    """A command's exit code and all it printed. Raises Unavailable when it can't be run or takes too long."""
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            timeout=timeout_seconds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise Unavailable(missing or f"{command[0]} was not found") from error
    except PermissionError as error:
        raise Unavailable(f"{command[0]} may not be executed: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"`{' '.join(command)}` gave no answer within {timeout_seconds:g} s") from error
    return done.returncode, done.stdout

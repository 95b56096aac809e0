"""A program that may take as long as it likes, as long as it gets anywhere.

Decides when a program that has fallen silent is ended: as long as it says something on standard error, or what it is
making grows, it is alive, be it ever so slow. It runs in a session of its own, so that nothing it has started outlives
it, and there is no terminal to ask on.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 2.0
_KEPT_BYTES = 64 * 1024


class Ended(Exception):
    """The program was ended by us; ``silent`` where it had said nothing for too long."""

    def __init__(self, *, silent: bool) -> None:
        super().__init__("it fell silent" if silent else "nobody needs it any more")
        self.silent = silent


def run_watched(
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    stdin: IO[bytes],
    stdout: IO[bytes],
    silence_seconds: float,
    made: Callable[[], int],
    is_wanted: Callable[[], bool],
) -> tuple[int, str]:
    """Run a program to its end; its exit status and last messages. Several times a second it is asked how much there is
    of what it makes, and whether that ``is_wanted`` any more. Raises Ended where it fell silent or isn't; OSError where
    it can't be run."""
    with subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        try:
            return _followed(process, process.stderr.fileno(), silence_seconds, made, is_wanted)
        finally:
            _end(process)


def _followed(
    process: subprocess.Popen[bytes],
    messages: int,
    silence_seconds: float,
    made: Callable[[], int],
    is_wanted: Callable[[], bool],
) -> tuple[int, str]:
    said, size, alive_at = b"", made(), time.monotonic()
    # Whoever inherited its standard error may hold that open for longer than it lives.
    while process.poll() is None:
        if not is_wanted():
            raise Ended(silent=False)
        if size != (size := made()):
            alive_at = time.monotonic()
        if select.select([messages], [], [], _LOOK_SECONDS)[0]:
            news = os.read(messages, _KEPT_BYTES)
            if not news:
                process.wait()
                break
            said, alive_at = (said + news)[-_KEPT_BYTES:], time.monotonic()
        elif time.monotonic() - alive_at > silence_seconds:
            raise Ended(silent=True)
    while select.select([messages], [], [], 0)[0] and (news := os.read(messages, _KEPT_BYTES)):
        said = (said + news)[-_KEPT_BYTES:]
    return process.wait(), said.decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it has started, where it hasn't ended by itself: first so that it can tidy up."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    with suppress(ProcessLookupError):  # nothing is left of them
        os.killpg(process.pid, signal.SIGKILL)

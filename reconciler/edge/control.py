"""The way into a running nginx: a unix socket of its own for every generation, in a directory only we may enter.

Decides what counts as proof that a configuration is served. nginx opens the new generation's socket when it takes the
configuration over, and its old workers close the old one in the same breath as the public ports. So: the new socket
answers with the new name, and the old one refuses — then every new request goes by the new configuration. The old
socket's file is gone by then; a descriptor on its inode still leads to it, and has no length limit either.
"""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

_ANSWER_TIMEOUT_SECONDS = 2.0
_POLL_SECONDS = 0.002
_PARKED = ".parked"


class NotServed(Exception):
    """The configuration did not come to be served in time. The message says what was seen instead."""


class Door:
    """One generation's control socket, held by its inode. Raises OSError where there is none."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._descriptor)

    def accepts(self) -> bool:
        """Whether any process still listens."""
        try:
            self._connect().close()
        except ConnectionRefusedError:
            return False
        return True

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        """One request: status and body. Raises OSError or http.client.HTTPException."""
        connection = http.client.HTTPConnection("orchestry", timeout=_ANSWER_TIMEOUT_SECONDS)
        connection.sock = self._connect()
        try:
            connection.request(method, path, body, {"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.settimeout(_ANSWER_TIMEOUT_SECONDS)
        try:
            connection.connect(f"/proc/self/fd/{self._descriptor}")
        except OSError:
            connection.close()
            raise
        return connection


class Control:
    """The control sockets of all generations, under ``run_directory``.

    nginx can't open a socket whose file was left by one that was killed. So a socket that is in use is *parked*
    under another name, and nginx, restarted by whomever, finds its own name free.
    """

    def __init__(self, run_directory: Path) -> None:
        self._directory = run_directory

    def serves(self, generation: str) -> bool:
        """Whether this generation answers."""
        for path in (self._directory / generation, self._parked(generation)):
            if path.exists() and _answers(path, generation):
                path.rename(self._parked(generation))
                return True
        return False

    @contextmanager
    def door(self, generation: str) -> Iterator[Door]:
        """The socket of a generation that serves."""
        with closing(Door(self._parked(generation))) as door:
            yield door

    @contextmanager
    def leaving(self, generation: str) -> Iterator[Sequence[Door]]:
        """The doors of every generation but this one, to see them close. nginx gets their files back, to delete."""
        with ExitStack() as stack:
            doors = []
            for path in self._sockets():
                if path.name.removesuffix(_PARKED) == generation:
                    continue
                door = stack.enter_context(closing(Door(path)))
                if door.accepts():
                    path.rename(path.with_name(path.name.removesuffix(_PARKED)))
                    doors.append(door)
                else:
                    path.unlink()
            yield doors

    def prove(self, generation: str, leaving: Sequence[Door], timeout_seconds: float) -> None:
        """Wait until this generation answers and none of the leaving ones does. Raises NotServed."""
        deadline = time.monotonic() + timeout_seconds
        while not self.serves(generation):
            _pause(deadline, f"nothing answers for generation {generation}")
        while any(door.accepts() for door in leaving):
            _pause(deadline, "workers of the previous generation still take requests")

    def _parked(self, generation: str) -> Path:
        return self._directory / f"{generation}{_PARKED}"

    def _sockets(self) -> list[Path]:
        return [path for path in self._directory.iterdir() if path.is_socket()]


def _answers(path: Path, generation: str) -> bool:
    try:
        with closing(Door(path)) as door:
            return door.ask("GET", "/generation") == (200, generation)
    except (OSError, http.client.HTTPException):
        return False


def _pause(deadline: float, complaint: str) -> None:
    if time.monotonic() > deadline:
        raise NotServed(complaint)
    time.sleep(_POLL_SECONDS)

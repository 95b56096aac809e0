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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from reconciler.edge.servers import ServerList

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

    def ask(self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None) -> str:
        """One request; the body of its answer. Raises NotServed, also for an answer other than 200."""
        connection = http.client.HTTPConnection("orchestry", timeout=_ANSWER_TIMEOUT_SECONDS)
        try:
            connection.sock = self._connect()
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise NotServed(f"no answer to {method} {path} on the control socket: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise NotServed(f"{method} {path} on the control socket: {answer.status} {text.strip()[:200]}")
        return text.strip()

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

    def state(self, door: str) -> str | None:
        """What is served behind a door, as nginx tells; None where nothing answers."""
        for path in (self._directory / door, self._parked(door)):
            state = _state(path)
            if state is not None:
                path.rename(self._parked(door))
                return state
        return None

    def ask(self, door: str, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None) -> str:
        """One request to a door that was seen to serve. Raises NotServed."""
        try:
            with closing(Door(self._parked(door))) as opened:
                return opened.ask(method, path, body, headers)
        except OSError as error:
            raise NotServed(f"the control socket {door} is gone") from error

    def replace_servers(self, door: str, servers: ServerList, before: ServerList) -> None:
        """Push the replicas that differ from those before, or all of them where others are there. Raises NotServed."""
        try:
            digest = self.ask(door, "PUT", "/servers", servers.changes_from(before), {"If-Match": before.digest})
        except NotServed:
            digest = self.ask(door, "PUT", "/servers", servers.text)
        if digest != servers.digest:
            raise NotServed(f"replicas {digest} are served instead of {servers.digest}")

    @contextmanager
    def leaving(self, door: str) -> Iterator[Sequence[Door]]:
        """Every door but this one that is still open, to see it close. nginx gets the files back, to delete them."""
        with ExitStack() as stack:
            leaving = []
            for path in self._sockets():
                name = path.name.removesuffix(_PARKED)
                other = stack.enter_context(closing(Door(path)))
                if not other.accepts():
                    path.unlink()
                elif name != door:
                    path.rename(path.with_name(name))
                    leaving.append(other)
            yield leaving

    def prove(
        self, door: str, state: str, leaving: Sequence[Door], timeout_seconds: float, obstacle: Callable[[], str | None]
    ) -> None:
        """Wait until this state is served at this door, and nothing at the leaving ones.

        ``obstacle`` is asked meanwhile whether there is a reason to give up. Raises NotServed.
        """
        deadline = time.monotonic() + timeout_seconds
        while (seen := self.state(door)) != state:
            if reason := obstacle():
                raise NotServed(reason)
            _pause(deadline, f"{seen or 'nothing'} is served instead of {state}")
        while any(other.accepts() for other in leaving):
            _pause(deadline, "workers of the previous configuration still take requests")

    def _sockets(self) -> list[Path]:
        known = self._directory.iterdir() if self._directory.is_dir() else ()
        return [path for path in known if path.is_socket()]

    def _parked(self, door: str) -> Path:
        return self._directory / f"{door}{_PARKED}"


def _state(path: Path) -> str | None:
    try:
        with closing(Door(path)) as door:
            return door.ask("GET", "/state")
    except (FileNotFoundError, NotServed):
        return None


def _pause(deadline: float, complaint: str) -> None:
    if time.monotonic() > deadline:
        raise NotServed(complaint)
    time.sleep(_POLL_SECONDS)

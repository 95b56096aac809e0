"""The way into a running nginx: a unix socket of its own for every generation, in a directory only we may enter.

Decides what counts as proof that a configuration is served. nginx opens the new generation's socket when it takes the
configuration over, and its old workers close the old one in the same breath as the public ports. So: the new socket
answers with the new name, and the old one refuses — then every new request goes by the new configuration.
"""

from __future__ import annotations

import http.client
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from reconciler.edge.servers import ServerList
from reconciler.ports import Fence, no_fence

_ANSWER_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.002
_PARKED = ".parked"
_CREDENTIALS = struct.Struct("3i")  # of unix(7): process, user, group


class NotServed(Exception):
    """A configuration that did not come to be served in time. The message says what was seen instead."""


class Control:
    """The control sockets of all generations, under ``run_directory``; each has the name of its generation.

    nginx can't open a socket whose file was left by one that was killed. So a socket is *parked* under another name as
    soon as it answers, and nginx, restarted by whomever, finds its own name free. It stays there until it refuses, so
    that a controller that takes over sees what an earlier one was waiting for.
    """

    def __init__(self, run_directory: Path, fence: Fence = no_fence) -> None:
        self._directory = run_directory
        self._fence = fence

    def state(self, name: str) -> str | None:
        """What is served at a control socket, as nginx tells; None where nothing answers."""
        for path in (self._directory / name, self._parked(name)):
            with suppress(NotServed):
                state = _ask(path, "GET", "/state")
                path.rename(self._parked(name))
                return state
        return None

    def ask(self, name: str, method: str, target: str, body: str = "", headers: Mapping[str, str] | None = None) -> str:
        """One request to a control socket that was seen to serve; one that changes something asks the fence first.
        Raises NotServed."""
        if method != "GET":
            self._fence()
        return _ask(self._parked(name), method, target, body, headers)

    def worker(self, name: str) -> int:
        """A worker of this generation, by its process id as the kernel numbers it for us: 0 where we can't see it.

        Raises NotServed.
        """
        try:
            with _connected(self._parked(name)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
                connection.sendall(b"GET /state HTTP/1.0\r\n\r\n")
                _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
        except OSError as error:
            raise NotServed(f"no answer on the control socket {name}: {error}") from error
        sent = [data for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS]
        return int(_CREDENTIALS.unpack(sent[0])[0]) if sent else 0

    def replace_servers(self, name: str, servers: ServerList, before: ServerList) -> None:
        """Push the replicas that differ from those before, or all of them where others are there. Raises NotServed."""
        try:
            digest = self.ask(name, "PUT", "/servers", servers.changes_from(before), {"If-Match": before.digest})
        except NotServed:
            digest = self.ask(name, "PUT", "/servers", servers.text)
        if digest != servers.digest:
            raise NotServed(f"replicas {digest} are served instead of {servers.digest}")

    @contextmanager
    def reloading(self, name: str) -> Iterator[None]:
        """Keep files under the names of all other control sockets while a generation is loaded: nginx deletes them by
        these names, and would be alarmed to find nothing there."""
        self._tidy()
        placeholders = [self._directory / other for other in self._parked_names() if other != name]
        for path in placeholders:
            path.touch()
        try:
            yield
        finally:
            for path in placeholders:
                path.unlink(missing_ok=True)

    def prove(self, name: str, state: str, timeout_seconds: float, obstacle: Callable[[], str | None]) -> None:
        """Wait until this state is served at this control socket, and nothing at any other.

        ``obstacle`` is asked meanwhile whether there is a reason to give up. Raises NotServed.
        """
        deadline = time.monotonic() + timeout_seconds
        while (served := self.state(name)) != state:
            if reason := obstacle():
                raise NotServed(reason)
            _pause(deadline, f"{served or 'nothing'} is served instead of {state}")
        self.wait_for_others(name, deadline - time.monotonic())

    def wait_for_others(self, name: str, timeout_seconds: float) -> None:
        """Wait until no worker of another generation takes requests. Raises NotServed."""
        deadline = time.monotonic() + timeout_seconds
        while any(_accepts(self._parked(other)) for other in self._parked_names() if other != name):
            _pause(deadline, "workers of the previous configuration still take requests")
        self._tidy()

    def _tidy(self) -> None:
        """Park what still listens, and remove what doesn't, placeholders of a controller that died included."""
        for path in self._files():
            if path.is_socket() and _accepts(path):
                path.rename(self._parked(path.name.removesuffix(_PARKED)))
            elif path.is_socket() or path.name[0].isdecimal():
                path.unlink()

    def _parked_names(self) -> list[str]:
        return [path.name.removesuffix(_PARKED) for path in self._files() if path.name.endswith(_PARKED)]

    def _files(self) -> list[Path]:
        return list(self._directory.iterdir()) if self._directory.is_dir() else []

    def _parked(self, name: str) -> Path:
        return self._directory / f"{name}{_PARKED}"


@contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    """A connection to a control socket, by way of a descriptor, since a socket's path has no more than 108 bytes."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(_ANSWER_TIMEOUT_SECONDS)
            connection.connect(f"/proc/self/fd/{descriptor}")
            yield connection
    finally:
        os.close(descriptor)


def _accepts(path: Path) -> bool:
    """Whether any process still listens."""
    try:
        with _connected(path):
            return True
    except (FileNotFoundError, ConnectionRefusedError):
        return False


def _ask(path: Path, method: str, target: str, body: str = "", headers: Mapping[str, str] | None = None) -> str:
    """The body of an answer. Raises NotServed, also for an answer other than 200."""
    try:
        with closing(http.client.HTTPConnection("orchestry")) as connection, _connected(path) as connection.sock:
            connection.request(method, target, body or None, dict(headers or {}))
            answer = connection.getresponse()
            text = answer.read().decode().strip()
    except FileNotFoundError as error:
        raise NotServed(f"the control socket {path.name.removesuffix(_PARKED)} is gone") from error
    except (OSError, http.client.HTTPException) as error:
        raise NotServed(f"no answer to {method} {target} on the control socket: {error}") from error
    if answer.status != 200:
        raise NotServed(f"{method} {target} on the control socket: {answer.status} {text[:200]}")
    return text


def _pause(deadline: float, complaint: str) -> None:
    if time.monotonic() > deadline:
        raise NotServed(complaint)
    time.sleep(_POLL_SECONDS)

"""A real TCP server whose every connection follows a script: as slow, rude or broken as a test needs it."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_GIVEN_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_RANDOM = random.SystemRandom()  # any other begins anew with each test

Script = Callable[[socket.socket], None]


class ScriptedServer:
    """Counts connections, and how many were open at once."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.max_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._follow_script, args=(connection,), daemon=True)
                self._connections.append(connection)
                self._threads.append(thread)
                thread.start()

    def _follow_script(self, connection: socket.socket) -> None:
        with self._lock:
            self._at_once += 1
            self.max_at_once = max(self.max_at_once, self._at_once)
        with connection, contextlib.suppress(OSError):
            self.requests.append(connection.recv(65536))
            self.script(connection)
        with self._lock:
            self._at_once -= 1


@contextlib.contextmanager
def serving(script: Script) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script)
    try:
        yield server
    finally:
        server.close()


def answer(status: int, body: bytes = b"", *headers: str) -> Script:
    """One whole HTTP answer, then the end of the connection."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    message = "\r\n".join(lines).encode() + body
    return lambda connection: connection.sendall(message)


def unused_port() -> int:
    """A port that refuses connections, and is still free when a server is started on it: the kernel gives out higher
    ones, to whatever connects or listens meanwhile."""
    lowest_given = int(_GIVEN_PORTS.read_text().split()[0])
    while True:
        port = _RANDOM.choice(range(10_000, lowest_given) or range(10_000, 65_536))
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def never_accepting() -> Iterator[int]:
    """A port where connecting neither succeeds nor fails: its queue is full, so the kernel drops what comes."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])

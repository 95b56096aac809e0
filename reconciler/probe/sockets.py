"""Connections that end on time.

A time-out of the socket module bounds one wait; a server that drips a byte a second passes it for ever. Here one moment
bounds all waits of a connection together, and everything open can be cut at once when the controller stops. What is
said over the connection is not this module's business, and nothing here resolves a name.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import weakref
from typing import Any


class BoundedSocket(socket.socket):
    """A TCP socket all of whose waits together last no longer than ``timeout_seconds`` from its creation."""

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self._ends_at = time.monotonic() + timeout_seconds

    def connect(self, address: Any) -> None:
        self._bound_next_wait()
        super().connect(address)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self._bound_next_wait()
        super().sendall(data, flags)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        self._bound_next_wait()
        return super().recv(bufsize, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self._bound_next_wait()
        return super().recv_into(buffer, nbytes, flags)

    def _bound_next_wait(self) -> None:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)


class Connections:
    """Every connection a prober has open, so that all of them can be ended from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[BoundedSocket] = weakref.WeakSet()
        self._closed = False

    def open(self, address: str, port: int, timeout_seconds: float) -> BoundedSocket:
        """A connected socket. Raises OSError, of which TimeoutError is one."""
        connection = BoundedSocket(timeout_seconds)
        try:
            with self._lock:
                if self._closed:
                    raise ConnectionAbortedError("the prober is closed")
                self._open.add(connection)
            connection.connect((address, port))
        except OSError:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Cut every connection, also one that is still being made, and refuse new ones."""
        with self._lock:
            self._closed = True
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):  # not connected any more
                connection.shutdown(socket.SHUT_RDWR)

"""A byte-exact replica, and clients that write requests byte by byte: to compare what was sent with what arrives.

A request here is the bytes of its head, line by line, and its body as it is meant, chunked or not.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from reconciler.model.routes import Server

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _GOAWAY = 0, 1, 4, 7
_END = 0x5  # END_STREAM and END_HEADERS
_ACK = 0x1


class Arrived(NamedTuple):
    """A request as its bytes have it: the request line, the header lines, the body without its framing."""

    line: bytes
    headers: tuple[bytes, ...]
    body: bytes

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    def values(self, name: str) -> list[bytes]:
        """The values of a header, in order."""
        pairs = (header.partition(b":") for header in self.headers)
        return [value.strip() for key, _, value in pairs if key.lower() == name.lower().encode()]


@dataclass
class Echo:
    """A replica that keeps each request as it arrives, and answers it with 200 and the body ``ok``; a request for
    ``websocket`` is upgraded, and what comes is sent back."""

    address: str
    port: int
    requests: list[Arrived]

    def server(self) -> Server:
        return Server("echo", self.address, self.port)


@contextmanager
def echo(address: str = "127.0.0.2") -> Iterator[Echo]:
    listener = socket.create_server((address, 0), backlog=64)
    replica = Echo(address, listener.getsockname()[1], [])
    connections: list[socket.socket] = []
    threads = [threading.Thread(target=_accept, args=(listener, replica, connections), daemon=True)]
    threads[0].start()
    try:
        yield replica
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        threads[0].join()
        listener.close()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, replica: Echo, connections: list[socket.socket]) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            connections.append(connection)
            threading.Thread(target=_serve, args=(connection, replica), daemon=True).start()


def _serve(connection: socket.socket, replica: Echo) -> None:
    with connection, suppress(OSError), connection.makefile("rb") as stream:
        while (request := _read(stream)) is not None:
            replica.requests.append(request)
            if request.values("Upgrade") == [b"websocket"]:
                connection.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                )
                while received := connection.recv(1024):
                    connection.sendall(received)
                return
            length = b"" if request.line.startswith(b"HEAD ") else b"ok"
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Replica: echo\r\nContent-Length: 2\r\n\r\n" + length)
            if request.values("Connection") == [b"close"]:
                return


def _read(stream: object) -> Arrived | None:
    lines = list(iter(lambda: stream.readline().rstrip(b"\r\n"), b""))  # type: ignore[attr-defined]
    if not lines:
        return None
    request = Arrived(lines[0], tuple(lines[1:]), b"")
    if request.values("Transfer-Encoding") == [b"chunked"]:
        body = b""
        while size := int(stream.readline().partition(b";")[0], 16):  # type: ignore[attr-defined]
            body += stream.read(size + 2)[:-2]  # type: ignore[attr-defined]
        stream.readline()  # type: ignore[attr-defined]
        return request._replace(body=body)
    length = request.values("Content-Length")
    return request._replace(body=stream.read(int(length[0])) if length else b"")  # type: ignore[attr-defined]


def send(port: int, request: bytes, *, to: str = "127.0.0.1", source: str = "") -> bytes:
    """All that is answered to these bytes, from ``source`` where one is given; the request asks for the end of the
    connection, or is refused."""
    with socket.create_connection((to, port), timeout=20, source_address=(source, 0) if source else None) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def refusal(port: int, request: bytes) -> int:
    """The status these bytes are answered with at once; nginx may still wait for the rest of them."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        return status_of(connection.recv(65536))


def status_of(answer: bytes) -> int:
    """The final status in what was answered."""
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.partition(b"\r\n\r\n")[2]
    return int(answer.split(b" ")[1])


def send_http_2(port: int, host: str, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> bytes:
    """The body of the answer to one request over HTTP/2 and TLS, with these headers just as they are."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as raw,
        context.wrap_socket(raw, server_hostname=host) as connection,
    ):
        assert connection.selected_alpn_protocol() == "h2"
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)
        flags = _END if not body else _END - 1
        frames = _PREFACE + _frame(_SETTINGS, 0, 0) + _frame(_HEADERS, flags, 1, block)
        connection.sendall(frames + (_frame(_DATA, 1, 1, body) if body else b""))
        return _answer(connection)


def _answer(connection: ssl.SSLSocket) -> bytes:
    answer = b""
    with connection.makefile("rb") as stream:
        while head := stream.read(9):
            length, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
            payload = stream.read(length)
            assert kind != _GOAWAY, payload
            if kind == _SETTINGS and not flags & _ACK:
                connection.sendall(_frame(_SETTINGS, _ACK, 0))
            answer += payload if kind == _DATA else b""
            if kind in (_DATA, _HEADERS) and flags & 1:
                break
    return answer


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + payload


def _text(text: bytes) -> bytes:
    """A string of HPACK, literal: its length in seven bits, continued where that is too little."""
    length = len(text)
    if length < 127:
        return bytes((length,)) + text
    rest, prefix = length - 127, b"\x7f"
    while rest >= 128:
        prefix += bytes((rest % 128 + 128,))
        rest //= 128
    return prefix + bytes((rest,)) + text

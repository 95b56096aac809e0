"""The least a websocket client needs (RFC 6455): a handshake, and frames of up to 64 KiB."""

from __future__ import annotations

import os
import socket

CLOSE = 8


def upgrade(connection: socket.socket, path: str) -> None:
    """The handshake, by RFC 6455's own example."""
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = connection.recv(1)
        assert more, f"the connection ended in the middle of the handshake: {answer!r}"
        answer += more
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer


def frame(kind: int, payload: bytes) -> bytes:
    """A client's frame: masked and whole."""
    mask = os.urandom(4)
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes([0x80 | kind]) + length + mask + masked


def read_frame(connection: socket.socket) -> tuple[int, bytes]:
    """A server's frame: its kind and its payload."""

    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = connection.recv(count - len(data))
            assert more, "the connection ended in the middle of a frame"
            data += more
        return data

    kind, length = exactly(2)
    return kind & 15, exactly(int.from_bytes(exactly(2), "big") if length == 126 else length)


def echo(connection: socket.socket, text: bytes) -> bytes:
    """What the server sends back."""
    connection.sendall(frame(1, text))
    return read_frame(connection)[1]

"""Who has bound a unix socket, as the kernel tells anybody who asks (sock_diag(7)).

``/proc`` has no owner of a socket, and shows which process has it open to few.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

_SOCK_DIAG = 4  # the protocol of netlink, and in it a request by family
_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_SHOW_NAME_AND_OWNER = 0x41
_NAME, _OWNER = 0, 7
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBHIIIII")
_ATTRIBUTE = struct.Struct("=HH")
_TIMEOUT_SECONDS = 5.0


def owner_of(name: bytes) -> int | None:
    """The user who bound the socket of this name, which begins with NUL for an abstract one; None where nobody has.

    Raises OSError where the kernel doesn't tell.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as line:
        line.settimeout(_TIMEOUT_SECONDS)
        request = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_NAME_AND_OWNER, 0, 0)
        line.send(_HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _REQUEST_DUMP, 1, 0) + request)
        for attributes in _sockets(line):
            if attributes.get(_NAME) == name:
                return int(struct.unpack("=I", attributes[_OWNER])[0])
    return None


def _sockets(line: socket.socket) -> Iterator[dict[int, bytes]]:
    """The attributes of each socket that the kernel lists."""
    while True:
        answer = line.recv(1 << 16)
        while answer:
            size, kind, *_ = _HEADER.unpack_from(answer)
            if kind != _BY_FAMILY:
                if error := struct.unpack_from("=i", answer, _HEADER.size)[0]:
                    raise OSError(-error, "the kernel does not tell who owns sockets")
                return
            # Of each its kind, state and number come first.
            yield dict(_attributes(answer[_HEADER.size + 16 : size]))
            answer = answer[_aligned(size) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        size, kind = _ATTRIBUTE.unpack_from(data)
        yield kind, data[_ATTRIBUTE.size : size]
        data = data[_aligned(size) :]


def _aligned(size: int) -> int:
    return (size + 3) & ~3

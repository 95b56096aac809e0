"""The TCP sockets of a network namespace, as the kernel lists them in ``/proc/PID/net``.

Reads and translates; what a connection means is for others to say. Whoever may not look gets an OSError, and not an
empty list.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LISTENING = "0A"
# Either side may still have something to say: being opened, open, and closed by the peer alone.
OPEN = ("01", "03", "08")


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One socket. Addresses are in dotted form where they are of IPv4, be it in the disguise of IPv6."""

    address: str
    port: int
    peer: str
    state: str
    inode: str


def sockets_in(network: Path) -> Iterator[TcpSocket]:
    """All TCP sockets of the namespace that this directory of /proc shows."""
    for table in (network / "tcp", network / "tcp6"):  # the second only where there is IPv6
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, remote, state, *_, inode = line.split(maxsplit=10)[:10]
            address, _, port = local.rpartition(":")
            yield TcpSocket(_text(address), int(port, 16), _text(remote.rpartition(":")[0]), state, inode)


def has_address(network: Path, address: str) -> bool:
    """Whether this address is the namespace's own."""
    routes = (network / "fib_trie").read_text()
    return re.search(rf"\|-- {re.escape(address)}\n\s+/32 host LOCAL$", routes, re.MULTILINE) is not None


def _text(hexadecimal: str) -> str:
    """The kernel writes an address as the numbers that its groups of four bytes are in memory."""
    words = [int(hexadecimal[start : start + 8], 16) for start in range(0, len(hexadecimal), 8)]
    address = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)

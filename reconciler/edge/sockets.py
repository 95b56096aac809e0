"""Requests in flight on replicas that left the configuration, for any nginx: by its sockets, as the kernel shows them.

Decides what still reaches a replica once a configuration without it was proven. Only the workers that nginx is shutting
down can: they have closed their idle kept connections, so that each connection they hold to a replica is a request or a
websocket. A client of theirs that no replica's connection belongs to is counted for every replica: it has not asked
yet, or is still sending a body that nginx reads to its end before it chooses a replica. So a count may be too high, and
a drain then takes its whole time; too low it is only where one HTTP/2 client with several requests hides another's
upload. Must never take what it may not see for 0, nor connections of anybody but nginx for requests.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TITLE = "nginx: worker process"
_LEAVING_TITLE = f"{_TITLE} is shutting down"
_LISTENING = "0A"
_ANSWERED = ("04", "05")  # nginx has closed its side, and only waits for the client to close the other


@dataclass(frozen=True, slots=True)
class _Socket:
    """One line of ``/proc/PID/net/tcp``. ``peer`` is in dotted form where it is of IPv4, as all replicas are."""

    local_port: int
    peer: str
    state: str


def requests_left(worker: int, replicas: Collection[str], addresses: Collection[str]) -> dict[str, int]:
    """Requests in flight by these addresses, of which none is served any more; empty where it can't be seen.

    ``worker`` is a worker of the configuration served, ``replicas`` are the addresses nginx may have connections to.
    """
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        return _requests_left(worker, replicas, addresses)
    return {}


def _requests_left(worker: int, replicas: Collection[str], addresses: Collection[str]) -> dict[str, int]:
    if _title(worker) != _TITLE:  # Of another machine or pid namespace, or under a name we don't know.
        return {}
    leaving = list(_held_by_leaving(worker))
    sockets = _sockets(worker) if leaving else {}
    own = [sockets[inode] for inode in _held(worker) if inode in sockets]
    ports = {each.local_port for each in own if each.state == _LISTENING}
    reached: Counter[str] = Counter()
    undecided = 0
    for held in leaving:
        known = [sockets[inode] for inode in held if inode in sockets]
        connections = [each for each in known if each.state not in _ANSWERED]
        upstream = [each.peer for each in connections if each.peer in replicas and each.local_port not in ports]
        reached.update(upstream)
        undecided += max(0, len(connections) - 2 * len(upstream))  # each takes its own client along
    return {address: reached[address] + undecided for address in addresses}


def _held_by_leaving(worker: int) -> Iterator[set[str]]:
    """What each worker of the same nginx holds that shuts down."""
    nginx = _nginx(worker)
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):  # It ended meanwhile.
                pid = int(entry.name)
                if _title(pid) == _LEAVING_TITLE and _nginx(pid) == nginx:
                    yield _held(pid)


def _nginx(pid: int) -> tuple[Path, str]:
    """The nginx a process belongs to, known by network and directory, also after its master was killed, or the
    directory removed."""
    directory = str((_PROC / f"{pid}/cwd").readlink())
    return (_PROC / f"{pid}/ns/net").readlink(), directory.removesuffix(" (deleted)")


def _held(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    inodes = set()
    for descriptor in (_PROC / f"{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # It was closed meanwhile.
            kind, _, inode = str(descriptor.readlink()).partition(":")
            if kind == "socket":
                inodes.add(inode.strip("[]"))
    return inodes


def _sockets(pid: int) -> dict[str, _Socket]:
    """All TCP sockets of a process's network, by inode."""
    tables = [_PROC / f"{pid}/net/tcp", _PROC / f"{pid}/net/tcp6"]  # the second only where there is IPv6
    by_inode = {}
    for table in tables:
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, peer, state, *_, inode = line.split(maxsplit=10)[:10]
            local_port, address = local.rpartition(":")[2], peer.rpartition(":")[0]
            by_inode[inode] = _Socket(int(local_port, 16), _address(address), state)
    return by_inode


def _address(hexadecimal: str) -> str:
    """The kernel writes an address of IPv4 as the number that its four bytes are in memory."""
    return socket.inet_ntoa(struct.pack("=I", int(hexadecimal, 16))) if len(hexadecimal) == 8 else hexadecimal


def _title(pid: int) -> str:
    return (_PROC / f"{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")

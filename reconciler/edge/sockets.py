"""Requests in flight on replicas that left the configuration, for any nginx: by its sockets, as the kernel shows them.

Decides what still reaches a replica once a configuration without it was proven. Only the workers that nginx is shutting
down can: they have closed their idle kept connections, so that each connection they hold to a replica is a request or a
websocket. A client of theirs that no replica's connection belongs to is counted for every replica: it has not asked
yet, or is still sending a body that nginx reads to its end before it chooses a replica. So a count may be too high, and
a drain then takes its whole time; too low it is only where one HTTP/2 client with several requests hides another's
upload. Must never take what it may not see for 0, nor connections of anybody but nginx for requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress

from reconciler.edge.processes import PROC, directory, processes, program, title, user
from reconciler.tcp_table import LISTENING, sockets_in

_TITLE = "nginx: worker process"
_LEAVING_TITLE = f"{_TITLE} is shutting down"
_ANSWERED = ("04", "05")  # nginx has closed its side, and only waits for the client to close the other


def requests_left(worker: int, replicas: Collection[str], addresses: Collection[str]) -> dict[str, int]:
    """Requests in flight by these addresses, of which none is served any more; empty where it can't be seen.

    ``worker`` is a worker of the configuration served, ``replicas`` are the addresses nginx may have connections to.
    """
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        return _requests_left(worker, replicas, addresses)
    return {}


def _requests_left(worker: int, replicas: Collection[str], addresses: Collection[str]) -> dict[str, int]:
    if title(worker) != _TITLE:  # Of another machine or pid namespace, or under a name we don't know.
        return {}
    leaving = list(_held_by_leaving(worker))
    sockets = {socket.inode: socket for socket in sockets_in(PROC / f"{worker}/net")} if leaving else {}
    own = [sockets[inode] for inode in _held(worker) if inode in sockets]
    ports = {each.port for each in own if each.state == LISTENING}
    reached: Counter[str] = Counter()
    undecided = 0
    for held in leaving:
        known = [sockets[inode] for inode in held if inode in sockets]
        connections = [each for each in known if each.state not in _ANSWERED]
        upstream = [each.peer for each in connections if each.peer in replicas and each.port not in ports]
        reached.update(upstream)
        undecided += max(0, len(connections) - 2 * len(upstream))  # each takes its own client along
    return {address: reached[address] + undecided for address in addresses}


def _held_by_leaving(worker: int) -> Iterator[set[str]]:
    """What each worker of the same nginx holds that shuts down. One of another user is none, whatever it calls itself;
    and it might not even be looked at."""
    nginx, own = _nginx(worker), user(worker)
    for pid in processes():
        with suppress(FileNotFoundError, ProcessLookupError):  # It ended meanwhile.
            if title(pid) == _LEAVING_TITLE and user(pid) == own and _nginx(pid) == nginx:
                yield _held(pid)


def _nginx(pid: int) -> tuple[str, str, str]:
    """The nginx a process belongs to, known by network, program and directory, also after its master was killed, or the
    directory removed."""
    return str((PROC / f"{pid}/ns/net").readlink()), program(pid), directory(pid)


def _held(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    inodes = set()
    for descriptor in (PROC / f"{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # It was closed meanwhile.
            kind, _, inode = str(descriptor.readlink()).partition(":")
            if kind == "socket":
                inodes.add(inode.strip("[]"))
    return inodes

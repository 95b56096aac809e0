"""Connections open to replicas, as the kernel shows them in a replica's own network namespace.

It is found by the process that the Engine names. That number may be of another machine or of another pid namespace, and
a sandbox may keep its connections to itself: so it is believed only where the address is the replica's. Must never take
what can't be seen for no connections, nor one that the replica has opened for one that others have opened to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from docker.errors import NotFound

from reconciler.model.observed import Listener
from reconciler.runtime.client import BoundedClient
from reconciler.tcp_table import OPEN, has_address, sockets_in

_PROC = Path("/proc")


class Connections:
    """Those to the replicas that are asked about. The processes of these are kept, to ask the Engine once for each."""

    def __init__(self) -> None:
        self._processes: dict[str, int] = {}

    def callers_of(self, called: Iterable[Listener], api: BoundedClient) -> Mapping[str, tuple[str, ...]]:
        """See `ports.Runtime.callers_of`. Raises docker's errors."""
        known, processes = {}, {}
        for listener in called:
            pid = self._processes.get(listener.container_id, 0)
            seen = _callers(pid, listener.address, listener.ports)
            if seen is None:  # it may have been started again
                pid = _process(listener.container_id, api)
                seen = _callers(pid, listener.address, listener.ports)
            if seen is not None:
                known[listener.container_id], processes[listener.container_id] = seen, pid
        self._processes = processes
        return known


def _process(container_id: str, api: BoundedClient) -> int:
    """The first process of a container, by the Engine's numbers; 0 where it doesn't run."""
    with suppress(NotFound):
        return int(api.inspect_container(container_id)["State"].get("Pid") or 0)
    return 0


def _callers(pid: int, address: str, ports: Collection[int]) -> tuple[str, ...] | None:
    """The address of whoever has a connection open to these ports, once for each connection; None where it can't be
    seen."""
    network = _PROC / f"{pid}/net"
    with suppress(OSError):
        if has_address(network, address):
            sockets = [socket for socket in sockets_in(network) if socket.state in OPEN and socket.port in ports]
            return tuple(sorted(socket.peer for socket in sockets if socket.address == address))
    return None

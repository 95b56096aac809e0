"""The kernel's table of TCP sockets, as it is and of the sockets of this very process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.observed import Listener
from reconciler.runtime.connections import Connections
from reconciler.tcp_table import OPEN, TcpSocket, has_address, sockets_in

OWN = Path("/proc/self/net")
HEAD = "  sl  local_address rem_address st\n"
LINE = "   0: {} {} {} 00000000:00000000 00:00000000 00000000     0        0 {} 1 0000000000000000 20 4 30 10 -1\n"


def table(*lines: str) -> str:
    return HEAD + "".join(lines)


def test_sockets_are_read_from_both_tables(tmp_path: Path) -> None:
    (tmp_path / "tcp").write_text(table(LINE.format("0200000A:1F90", "0300000A:D431", "01", "7")))
    mapped = "0000000000000000FFFF00000{}00000A:{}"
    lines = LINE.format(mapped.format(2, "1F90"), mapped.format(4, "D432"), "08", "8")
    native = LINE.format("B80D0120000000000000000001000000:0016", "00000000000000000000000001000000:0050", "0A", "9")
    (tmp_path / "tcp6").write_text(table(lines, native))
    assert list(sockets_in(tmp_path)) == [
        TcpSocket("10.0.0.2", 8080, "10.0.0.3", "01", "7"),
        TcpSocket("10.0.0.2", 8080, "10.0.0.4", "08", "8"),
        TcpSocket("2001:db8::1", 22, "::1", "0A", "9"),
    ]


def test_what_may_not_be_seen_of_a_network_is_no_empty_table(tmp_path: Path) -> None:
    assert list(sockets_in(tmp_path)) == []  # as of a kernel without any; whose address it is can't be told either
    with pytest.raises(FileNotFoundError):
        has_address(tmp_path, "127.0.0.1")


def test_the_addresses_of_a_network_are_its_own_and_no_others() -> None:
    assert has_address(OWN, "127.0.0.1")
    for other in ("127.0.0.0", "127.255.255.255", "192.0.2.1", "127.0.0.10"):
        assert not has_address(OWN, other)


class OneProcess:
    """An Engine whose one container is this process; counts how often it was asked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.asked = 0

    def inspect_container(self, container_id: str) -> Any:
        self.asked += 1
        return {"Id": container_id, "State": {"Pid": self.pid}}


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def server(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A server that clients of IPv4 reach, though it may know them by addresses of IPv6."""
    with socket.create_server(("", 0), family=request.param, dualstack_ipv6=request.param == socket.AF_INET6) as server:
        yield server


def callers(connections: Connections, engine: OneProcess, *ports: int, address: str = "127.0.0.1") -> Any:
    listener = Listener("c1", address, frozenset(ports))
    return connections.callers_of([listener], engine).get("c1")  # type: ignore[arg-type]


def test_connections_to_a_port_are_counted_and_those_from_it_are_not(server: socket.socket) -> None:
    port, engine, connections = server.getsockname()[1], OneProcess(os.getpid()), Connections()
    assert callers(connections, engine, port) == ()
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(2)]
        assert callers(connections, engine, port) == ("127.0.0.1",) * 2
        assert callers(connections, engine, 1) == ()
        accepted = [stack.enter_context(closing(server.accept()[0])) for _ in clients]
        clients[0].shutdown(socket.SHUT_WR)  # it may still be answered
        assert callers(connections, engine, port) == ("127.0.0.1",) * 2
        accepted[1].shutdown(socket.SHUT_RDWR)
        assert callers(connections, engine, port) == ("127.0.0.1",)
    assert engine.asked == 1


def test_a_process_of_another_network_is_not_believed(server: socket.socket) -> None:
    port, engine = server.getsockname()[1], OneProcess(os.getpid())
    assert callers(Connections(), engine, port, address="192.0.2.1") is None
    assert callers(Connections(), OneProcess(0), port) is None


def test_a_container_that_was_started_again_is_asked_for_again(server: socket.socket) -> None:
    port, engine, connections = server.getsockname()[1], OneProcess(2**22), Connections()
    assert callers(connections, engine, port) is None
    engine.pid = os.getpid()
    assert callers(connections, engine, port) == ()
    assert callers(connections, engine, port) == ()
    assert engine.asked == 2


def test_what_has_ended_is_not_open() -> None:
    finished = {"04", "05", "06", "07", "09", "0A", "0B"}
    assert not finished & set(OPEN)

"""What `ports.Edge.requests_left` promises: a replica that left the table has drained when nothing can reach it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nginx import Front, app_routes, ask, front
from tests.support.replicas import Replica, replicas
from tests.support.waiting import eventually

pytestmark = pytest.mark.nginx


def test_a_kept_connection_without_a_request_keeps_no_replica(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    with way.connect() as kept:
        for _ in range(3):
            ask(kept, "/web")
        _take_out(way, two)
        _left_come_to(0, way, two)


def test_a_request_in_flight_keeps_its_replica_until_it_ends(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    with way.in_flight(3, two) as connections:
        _take_out(way, two)
        _left_come_to(3, way, two)
        for _ in range(20):
            assert way.get("/web").replica == "web-2"
            assert _left(way, two) == 3
        two[0].release()
        assert [connection.getresponse().read() for connection in connections] == [b"web-1"] * 3
        _left_come_to(0, way, two)


def test_a_websocket_keeps_its_replica_until_it_ends(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    with way.speak("GET /web HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade") as client:
        assert client.recv(1024).startswith(b"HTTP/1.1 101 ")
        _take_out(way, two)
        _left_come_to(1, way, two)
    _left_come_to(0, way, two)


def test_an_upload_keeps_every_replica_it_may_still_be_given_to(way: Front, two: list[Replica]) -> None:
    """nginx reads a body to its end, and only then chooses a replica: workers of the old configuration an old one."""
    way.publish(app_routes("web", way.at(two[0])))
    with way.speak("POST /web HTTP/1.1", "Content-Length: 6") as client:
        client.sendall(b"abc")
        assert way.get("/web").status == 200
        _take_out(way, two)
        _left_come_to(0 if way.has_lua else 1, way, two)
        client.sendall(b"def")
        assert (b"X-Replica: web-2" if way.has_lua else b"X-Replica: web-1") in client.recv(4096)
        _left_come_to(0, way, two)


def test_requests_left_are_told_of_those_asked_about_only(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    assert way.edge.requests_left(()) == {}


def test_requests_left_are_unknown_where_nginx_does_not_answer(process: Front, two_here: list[Replica]) -> None:
    process.publish(app_routes("web", process.at(two_here[0])))
    _take_out(process, two_here)
    process.kill()
    assert process.edge.requests_left([two_here[0].address]) == {}


def test_requests_left_to_workers_whose_master_was_killed_are_seen_as_well(
    process: Front, two_here: list[Replica]
) -> None:
    process.publish(app_routes("web", process.at(two_here[0])))
    with process.in_flight(1, two_here) as (connection,):
        for pid in process.processes("nginx: master"):
            os.kill(pid, signal.SIGKILL)
        _take_out(process, two_here)
        _left_come_to(0 if process.has_lua else 1, process, two_here)  # with Lua a new nginx begins to count anew
        two_here[0].release()
        assert connection.getresponse().read() == b"web-1"
        _left_come_to(0, process, two_here)


@pytest.fixture(params=["auto", "off"], ids=["lua", "stock"])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    with front("process", tmp_path, lua=request.param) as made:
        yield made


@pytest.fixture
def two_here() -> Iterator[list[Replica]]:
    with replicas("web-1", "web-2") as running:
        yield running


def _take_out(way: Front, two: list[Replica]) -> None:
    """As a rollout does: the first one leaves the table that the second one is in."""
    way.publish(app_routes("web", [*way.at(two[0], draining=True), *way.at(two[1])]))


def _left(way: Front, two: list[Replica]) -> int | None:
    address = way.at(two[0])[0].address
    return way.edge.requests_left([address]).get(address)


def _left_come_to(count: int, way: Front, two: list[Replica]) -> None:
    """Never at once for certain: nginx ends a request, and closes an idle connection, just after it can be noticed."""
    eventually(lambda: _left(way, two) == count)

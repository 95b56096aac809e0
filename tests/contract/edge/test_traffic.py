"""What a client notices when replicas fail or the edge changes: retries, websockets, kept connections, the log."""

from __future__ import annotations

import http.client
import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from reconciler.model.access_log import FIELDS, SEPARATOR
from tests.support.nginx import Front, app_routes, ask
from tests.support.replicas import Replica, Request
from tests.support.tcp import unused_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.nginx


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_replica_that_refuses_connections_is_passed_over(way: Front, two: list[Replica], method: str) -> None:
    way.publish(app_routes("web", way.at(*two)))
    two[0].stop()
    answers = [way.get("/web", method=method) for _ in range(20)]
    assert {(answer.status, answer.replica) for answer in answers} == {(200, "web-2")}


@pytest.mark.parametrize("trouble", ["status=500", "status=502", "status=503", "drop"])
def test_a_get_that_failed_is_tried_elsewhere_and_a_post_is_not(way: Front, two: list[Replica], trouble: str) -> None:
    way.publish(app_routes("web", way.at(*two)))
    way.get(f"/web?{trouble}")
    assert len(_all(two)) == 2
    way.get(f"/web?{trouble}", method="POST", body=b"order")
    assert len(_all(two)) == 3


def test_tries_of_a_request_that_fails_are_bounded(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(*two), retries=0))
    assert way.get("/web?status=503").status == 503
    assert len(_all(two)) == 1


def test_a_request_that_ends_its_replica_is_repeated_on_one_other_at_most(way: Front, three: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(*three), retries=5))
    for _ in range(12 if way.has_lua else 0):  # without Lua nginx sends it once more for each kept connection
        way.get("/web")
    before = len(_all(three))
    assert way.get("/web?drop").status == 502
    assert len(_all(three)) == before + 2


def test_a_replica_that_refuses_connections_is_passed_over_after_a_request_broke_off(
    way: Front, three: list[Replica]
) -> None:
    """What was refused has sent nothing, so it is none of the repetitions. nginx without Lua can't tell."""
    way.publish(app_routes("web", way.at(*three), retries=5))
    three[0].stop()
    for count in range(1, 7):
        assert way.get("/web?drop").status == 502
        assert not way.has_lua or len(_all(three)) == 2 * count


def test_as_many_replicas_that_refuse_connections_are_passed_over_as_retries_says(
    way: Front, three: list[Replica]
) -> None:
    way.publish(app_routes("web", way.at(*three)))
    three[0].stop()
    three[1].stop()
    answers = [way.get("/web", method="POST").status for _ in range(12)]
    assert (answers.count(200) == 12) if way.has_lua else (answers.count(200) >= 6)


def test_a_replicas_answer_of_a_client_error_is_passed_on_as_it_is(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(*two)))
    answer = way.get("/web?status=404")
    assert (answer.status, answer.replica is not None, len(_all(two))) == (404, True, 1)


def test_a_client_that_provokes_errors_takes_no_replica_from_the_others(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(*two)))
    for _ in range(30):
        way.get("/web?status=500")
    assert Counter(way.get("/web").status for _ in range(20)) == {200: 20}


def test_a_single_replica_is_never_locked_out(way: Front, two: list[Replica]) -> None:
    """Its restart in place costs the requests of that moment, and not one more."""
    gone = Replica("gone", two[0].address)
    gone.stop()
    way.publish(app_routes("web", [*way.at(gone), *way.at(two[1], draining=True)]))
    assert {way.get("/web").status for _ in range(5)} == {502}
    way.publish(app_routes("web", [*way.at(two[0]), *way.at(two[1], draining=True)]))
    assert way.get("/web").status == 200


def test_connections_to_replicas_are_kept(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    ports = set()
    with way.connect() as connection:
        for _ in range(10):
            assert ask(connection, "/web").status == 200
            ports.add(connection.sock.getsockname()[1] if connection.sock else None)
    assert len(ports) == 1
    assert two[0].connections <= 2


def test_websockets_pass_and_outlive_a_reload(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    with _websocket(way) as connection:
        assert _echo(connection, b"before") == b"before"
        assert way.publish(app_routes("web", way.at(two[0])), app_routes("new")).how == "reloaded"
        assert _echo(connection, b"after") == b"after"


def test_a_kept_connection_sends_each_request_where_the_table_says_now(way: Front, two: list[Replica]) -> None:
    """With Lua the connection itself survives the change as well."""
    way.publish(app_routes("web", way.at(two[0])))
    with way.connect() as connection:
        assert ask(connection, "/web").replica == "web-1"
        port = connection.sock.getsockname()[1] if connection.sock else None
        way.publish(app_routes("web", way.at(two[1])))
        try:
            answer = ask(connection, "/web")
        except (http.client.RemoteDisconnected, ConnectionError):
            assert not way.has_lua
            connection.close()
            answer = ask(connection, "/web")
        assert answer.replica == "web-2"
        if way.has_lua:
            assert connection.sock.getsockname()[1] == port


def test_every_request_is_logged_in_our_format(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(*two)), app_routes("down"))
    already = len(way.log_lines())
    for path in ("/web", "/web?status=503", "/down", "/nowhere"):
        way.get(path)
    eventually(lambda: len(way.log_lines()) >= already + 4)
    rows = {(row["app"], row["status"]): row for row in map(_fields, way.log_lines()[already:])}
    assert set(rows) == {("web", "200"), ("web", "503"), ("down", "503"), ("-", "404")}
    both = {f"{server.address}:{server.port}" for server in way.at(*two)}
    good, bad, outage = rows["web", "200"], rows["web", "503"], rows["down", "503"]
    assert good["upstream_addresses"] in both
    assert set(bad["upstream_addresses"].split(", ")) == both
    assert bad["upstream_statuses"] == "503, 503"
    assert outage["upstream_addresses"] == "-"
    assert float(good["at"]) > 1e9
    assert float(good["request_seconds"]) < 10


def test_access_logs_are_opened_anew_after_they_were_renamed(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(*two)))
    log = way.edge.access_log
    way.get("/web")
    eventually(lambda: log.exists() and log.stat().st_size)
    before = log.stat().st_ino
    log.rename(log.with_name("access.log.1"))
    way.edge.reopen_logs()
    eventually(lambda: log.exists() and log.stat().st_ino != before)

    def arrives() -> bool:
        way.get("/web")
        return log.stat().st_size > 0

    eventually(arrives, every_seconds=0.2)


def test_an_unprivileged_reader_may_read_the_access_log(way: Front) -> None:
    way.publish()
    assert way.edge.access_log.stat().st_mode & 0o004
    assert os.access(way.edge.access_log, os.R_OK)


def test_a_replica_that_never_answers_a_connection_is_passed_over_in_time(way: Front, two: list[Replica]) -> None:
    port = unused_port()
    nowhere = way.at(two[0])[0].__class__("nowhere", "192.0.2.1", port)
    way.publish(app_routes("web", [nowhere, *way.at(two[1])], connectTimeoutSeconds=0.2))
    assert {way.get("/web").replica for _ in range(4)} == {"web-2"}


def _fields(line: str) -> dict[str, str]:
    return dict(zip([field.name for field in FIELDS], line.split(SEPARATOR), strict=True))


def _all(running: list[Replica]) -> list[Request]:
    return [request for replica in running for request in replica.requests]


@contextmanager
def _websocket(way: Front) -> Iterator[socket.socket]:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", key, "Sec-WebSocket-Version: 13")
    with way.speak("GET /web HTTP/1.1", *upgrade) as connection:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1024)
        assert head.startswith(b"HTTP/1.1 101")
        yield connection


def _echo(connection: socket.socket, message: bytes) -> bytes:
    connection.sendall(message)
    return connection.recv(1024)

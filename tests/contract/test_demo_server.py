"""The demo server: that it behaves as a good app does, and misbehaves as it is asked to.

Other tests and the benchmarks draw conclusions from it, so it must be right about itself.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.engine import Playground, client, demo_image, playground
from tests.support.http import fetch, serves
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine

Start = Callable[..., "Demo"]


class Demo:
    """A running container of the demo image, on the playground's network."""

    def __init__(self, place: Playground, number: int, version: str, command: list[str], **variables: str) -> None:
        container = client().create_container(
            demo_image(version),
            command,
            name=f"{place.name_prefix}{number}",
            environment=dict(variables),
            host_config=client().create_host_config(network_mode=place.network),
        )
        self.id = container["Id"]
        client().start(self.id)
        self.address = client().inspect_container(self.id)["NetworkSettings"]["Networks"][place.network]["IPAddress"]

    def until_it_serves(self) -> Demo:
        eventually(lambda: serves(self.address))
        return self

    def exit_code(self) -> int:
        return int(client().wait(self.id, timeout=30)["StatusCode"])

    def log(self) -> str:
        return client().logs(self.id).decode()

    def connect(self) -> socket.socket:
        return socket.create_connection((self.address, 8080), timeout=20)


@pytest.fixture
def start() -> Iterator[Start]:
    with playground() as place:
        client().create_network(place.network)
        started: list[Demo] = []

        def start_one(*command: str, version: str = "1", **variables: str) -> Demo:
            started.append(Demo(place, len(started), version, list(command), **variables))
            return started[-1]

        yield start_one


def test_the_demo_server_says_who_it_is(start: Start) -> None:
    demo = start(version="2", INSTANCE_IP="10.0.0.9").until_it_serves()
    assert fetch(demo.address, "/").body == f"orchestry-demo 2 from {demo.id[:12]} at 10.0.0.9\n".encode()
    assert fetch(demo.address, "/shop/version").body == b"2\n"


def test_the_demo_servers_health_can_be_switched(start: Start) -> None:
    demo = start(HEALTH="fail").until_it_serves()
    assert fetch(demo.address, "/healthz").status == 503
    fetch(demo.address, "/pass-health")
    assert fetch(demo.address, "/web/healthz").status == 200
    fetch(demo.address, "/fail-health")
    assert fetch(demo.address, "/healthz").status == 503


def test_the_demo_server_echoes_bodies_and_headers(start: Start) -> None:
    demo = start().until_it_serves()
    body = os.urandom(300_000)
    assert fetch(demo.address, "/echo", body=body).body == body
    assert fetch(demo.address, "/echo", body=bytes(2**20 + 1)).status == 413
    assert f"Host: {demo.address}:8080".encode() in fetch(demo.address, "/headers").body


def test_the_demo_server_answers_with_the_status_and_the_share_of_errors_asked_for(start: Start) -> None:
    demo = start(ERROR_PERCENT="30").until_it_serves()
    assert fetch(demo.address, "/status?code=418").status == 418
    statuses = [fetch(demo.address, "/").status for _ in range(100)]
    assert statuses.count(500) == 30


def test_the_demo_server_takes_as_long_as_it_is_asked_to(start: Start) -> None:
    demo = start().until_it_serves()
    for path in ("/slow?ms=300", "/burn?ms=300"):
        started = time.monotonic()
        fetch(demo.address, path)
        assert time.monotonic() - started >= 0.3


def receive(connection: socket.socket, marker: bytes) -> bytes:
    data = b""
    while marker not in data and (more := connection.recv(65536)):
        data += more
    return data


def test_a_connection_to_the_demo_server_takes_many_requests_also_several_sent_at_once(start: Start) -> None:
    demo = start().until_it_serves()
    with demo.connect() as connection:
        for _ in range(3):
            connection.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
            assert receive(connection, b"\r\n\r\n1\n").startswith(b"HTTP/1.1 200 OK\r\n")
        post = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst"
        connection.sendall(post + post.replace(b"first", b"other") + b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        answers = receive(connection, b"what never comes")  # until the connection ends
        assert answers.index(b"first") < answers.index(b"other") < answers.index(b"Connection: close")
        assert answers.endswith(f"orchestry-demo 1 from {demo.id[:12]}\n".encode())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /\r\n\r\n", b"400"),
        (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    ],
)
def test_the_demo_server_refuses_what_it_does_not_understand(start: Start, request_bytes: bytes, status: bytes) -> None:
    demo = start().until_it_serves()
    with demo.connect() as connection:
        connection.sendall(request_bytes)
        assert receive(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 " + status)
    assert serves(demo.address)


# Websockets


def frame(kind: int, payload: bytes) -> bytes:
    """A client's frame: masked, whole, up to 64 KiB."""
    mask = os.urandom(4)
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes([0x80 | kind]) + length + mask + masked


def read_frame(connection: socket.socket) -> tuple[int, bytes]:
    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = connection.recv(count - len(data))
            assert more, "the connection ended in the middle of a frame"
            data += more
        return data

    kind, length = exactly(2)
    return kind & 15, exactly(int.from_bytes(exactly(2), "big") if length == 126 else length)


@contextlib.contextmanager
def websocket(demo: Demo) -> Iterator[socket.socket]:
    """RFC 6455's own example of a handshake."""
    with demo.connect() as connection:
        connection.sendall(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        answer = receive(connection, b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
        yield connection


def test_the_demo_server_echoes_over_a_websocket(start: Start) -> None:
    with websocket(start().until_it_serves()) as connection:
        for kind, payload, answer in (
            (1, b"hello", (1, b"hello")),
            (2, os.urandom(4000), None),
            (9, b"ping", (10, b"ping")),
            (1, b"", (1, b"")),
        ):
            connection.sendall(frame(kind, payload))
            assert read_frame(connection) == (answer or (kind, payload))
        connection.sendall(frame(8, (1000).to_bytes(2, "big")))
        assert read_frame(connection) == (8, (1000).to_bytes(2, "big"))
        assert connection.recv(1) == b""


def test_a_websocket_is_told_when_the_demo_server_goes(start: Start) -> None:
    demo = start().until_it_serves()
    with websocket(demo) as connection:
        connection.sendall(frame(1, b"hello"))
        read_frame(connection)
        client().kill(demo.id, "SIGTERM")
        assert read_frame(connection) == (8, (1001).to_bytes(2, "big"))
    assert demo.exit_code() == 0


# Beginnings and ends


def test_the_demo_server_ends_at_once_when_idle_also_with_open_connections(start: Start) -> None:
    demo = start().until_it_serves()
    with demo.connect() as idle, demo.connect() as used:
        used.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        receive(used, b"\r\n\r\n1\n")
        started = time.monotonic()
        client().kill(demo.id, "SIGTERM")
        assert demo.exit_code() == 0
        assert time.monotonic() - started < 20
        assert idle.recv(1) == used.recv(1) == b""


def test_the_demo_server_answers_requests_in_flight_before_it_ends(start: Start) -> None:
    demo = start().until_it_serves()
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(fetch, demo.address, "/slow?ms=1000") for _ in range(8)]
        time.sleep(0.4)
        client().kill(demo.id, "SIGTERM")
        assert [answer.result().status for answer in answers] == [200] * 8
        assert all(answer.result().headers["Connection"] == "close" for answer in answers)
    assert demo.exit_code() == 0


def test_the_demo_server_may_ignore_a_signal_to_stop(start: Start) -> None:
    demo = start(IGNORE_TERM="1").until_it_serves()
    client().kill(demo.id, "SIGTERM")
    eventually(lambda: "ignoring" in demo.log())
    assert serves(demo.address)


@pytest.mark.parametrize(("path", "code"), [("/exit", 0), ("/exit?code=7", 7), ("/crash", 132)])
def test_the_demo_server_ends_as_it_is_asked_to(start: Start, path: str, code: int) -> None:
    demo = start().until_it_serves()
    with contextlib.suppress(OSError):
        fetch(demo.address, path)
    assert demo.exit_code() == code


def test_the_demo_server_may_end_by_itself(start: Start) -> None:
    assert start(EXIT_AFTER_MS="100", EXIT_CODE="9").exit_code() == 9
    assert start("--worker", EXIT_AFTER_MS="1").exit_code() == 1


def test_the_demo_server_may_start_slowly_and_be_stopped_meanwhile(start: Start) -> None:
    demo = start(START_DELAY_MS="600000")
    eventually(lambda: "starting in" in demo.log())
    assert not serves(demo.address)
    client().kill(demo.id, "SIGTERM")
    assert demo.exit_code() == 0


def test_the_demo_server_as_a_worker_listens_to_nothing_but_signals(start: Start) -> None:
    demo = start("--worker")
    eventually(lambda: "working" in demo.log())
    assert not serves(demo.address)
    client().kill(demo.id, "SIGTERM")
    assert demo.exit_code() == 0


def test_an_unknown_option_of_the_demo_server_is_an_error(start: Start) -> None:
    assert start("--nonsense").exit_code() == 2

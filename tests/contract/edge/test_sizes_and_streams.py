"""What may be large, and what may take long: headers both ways, bodies that pass piece by piece, and silence."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.nginx import Front, app_routes, front
from tests.support.replicas import Replica, replicas
from tests.support.waiting import eventually

pytestmark = pytest.mark.nginx

UPGRADE = ("Upgrade: websocket", "Connection: Upgrade")


@pytest.mark.parametrize(("size", "fits", "too_large"), [(None, 15_000, 17_000), ("64Ki", 63_000, 66_000)])
def test_an_answers_header_may_be_as_large_as_the_app_says(
    way: Front, two: list[Replica], size: str | None, fits: int, too_large: int
) -> None:
    given = {} if size is None else {"responseHeaderSize": size}
    way.publish(app_routes("web", way.at(two[0]), **given))
    answer = way.get(f"/web?header={fits}")
    assert (answer.status, len(answer.headers["X-Large"])) == (200, fits)
    assert way.get(f"/web?header={too_large}").status == 502


def test_a_requests_header_may_have_32_kib_in_a_line(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    assert way.get("/web", headers={"X-Token": "x" * 32_000, "X-Other": "x" * 32_000}).status == 200
    assert len(two[0].requests[-1].headers["X-Token"]) == 32_000
    assert way.get(f"/web?{'x' * 32_000}").status == 200
    assert way.get("/web", headers={"X-Token": "x" * 33_000}).status == 400
    assert way.get(f"/web?{'x' * 33_000}").status == 414


@pytest.fixture(params=["auto", "off"], ids=["lua", "stock"])
def roomy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    """An nginx whose settings allow more of a request's header."""
    with front(
        "process", tmp_path, lua=request.param, request_header_bytes=64_000, underscores_in_headers=True
    ) as made:
        yield made


def test_the_settings_allow_larger_request_headers_and_names_with_underscores(roomy: Front) -> None:
    with replicas("web-1") as running:
        roomy.publish(app_routes("web", roomy.at(*running)))
        assert roomy.get("/web", headers={"X-Token": "x" * 60_000, "api_key": "1"}).status == 200
        assert running[0].requests[-1].headers["api_key"] == "1"
        assert roomy.get("/web", headers={"X-Token": "x" * 64_500}).status == 400


def test_a_header_with_an_underscore_in_its_name_is_left_out_by_default(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    way.get("/web", headers={"api_key": "1", "Api-Key": "2"})
    headers = two[0].requests[-1].headers
    assert ("api_key" in headers, headers["Api-Key"]) == (False, "2")


def test_an_answer_that_ends_by_closing_passes_piece_by_piece_where_the_app_says_so(
    way: Front, two: list[Replica]
) -> None:
    way.publish(app_routes("web", way.at(two[0]), responseBuffering=False))
    with way.speak("GET /web?stream HTTP/1.1") as client:
        assert b"first" in _read_until(client, b"first")
        two[0].release()
        assert b"last" in _read_until(client, b"0\r\n\r\n")


def test_an_upload_reaches_the_app_while_it_is_still_being_sent_where_the_app_says_so(
    way: Front, two: list[Replica]
) -> None:
    way.publish(app_routes("web", way.at(two[0]), requestBuffering=False, maxBodySize="0"))
    with way.speak("POST /web HTTP/1.1", "Content-Length: 100000") as client:
        client.sendall(b"x" * 50_000)
        eventually(lambda: two[0].received_bytes >= 50_000)
        assert two[0].requests == []
        client.sendall(b"x" * 50_000)
        assert b"200 OK" in _read_until(client, b"web-1")
    assert len(two[0].requests[-1].body) == 100_000


def test_an_upload_is_gathered_before_the_app_is_asked_by_default(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    with way.speak("POST /web HTTP/1.1", "Content-Length: 100000") as client:
        client.sendall(b"x" * 50_000)
        assert way.get("/web").status == 200
        assert two[0].received_bytes == 0
        client.sendall(b"x" * 50_000)
        assert b"200 OK" in _read_until(client, b"web-1")


@pytest.mark.parametrize("path", ["/web", "/web/a%20b?c=d"])
def test_a_silent_websocket_outlives_the_time_out_of_other_requests(way: Front, two: list[Replica], path: str) -> None:
    way.publish(app_routes("web", way.at(two[0]), readTimeoutSeconds=0.3, sendTimeoutSeconds=0.3, retries=0))
    with _websocket(way, path) as client:
        started = time.monotonic()
        assert way.get("/web?wait").status == 504
        eventually(lambda: time.monotonic() - started > 1)
        client.sendall(b"still here")
        assert client.recv(1024) == b"still here"
    assert two[0].requests[0].target == path


def test_a_websocket_that_is_silent_for_too_long_is_closed(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0]), websocketTimeoutSeconds=0.5))
    with _websocket(way, "/web") as client:
        assert client.recv(1024) == b""


def test_a_websocket_is_treated_as_the_app_says_of_all_requests(way: Front, two: list[Replica]) -> None:
    limit = {"requestsPerSecond": 1}
    way.publish(app_routes("web", way.at(two[0]), sticky="cookie", rateLimit=limit))
    with way.speak("GET /web HTTP/1.1", *UPGRADE) as client:
        head = _read_until(client, b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert b"orchestry_web=" in head
    assert way.get("/web").status == 429


def _read_until(client: socket.socket, end: bytes) -> bytes:
    text = b""
    while end not in text:
        piece = client.recv(65536)
        assert piece, f"the connection ended after {text[-200:]!r}"
        text += piece
    return text


@contextmanager
def _websocket(way: Front, path: str) -> Iterator[socket.socket]:
    with way.speak(f"GET {path} HTTP/1.1", *UPGRADE) as client:
        assert _read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 101")
        yield client

"""Where nginx listens: every address of IPv4 and IPv6, those that are named, and IPv4 where the other can't be had."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from reconciler.edge.generations import Generations
from reconciler.edge.probe import with_ipv6
from reconciler.edge.process import ProcessNginx
from reconciler.edge.settings import Build, EdgeSettings
from tests.support.nginx import Front, app_routes, front, table
from tests.support.replicas import replicas

pytestmark = pytest.mark.nginx

WAYS = [("process", "auto"), ("process", "off"), ("external", "off")]
Listening = Callable[..., Front]
UPGRADED = "from this version of the controller on"


@pytest.fixture(params=WAYS, ids="-".join)
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listening]:
    mode, lua = request.param
    with ExitStack() as stack:

        def make(bind: str | tuple[str, ...] = "", **settings: Any) -> Front:
            (tmp_path / "w").mkdir()
            return stack.enter_context(front(mode, tmp_path / "w", lua=lua, bind=bind, **settings))

        yield make


def reached(way: Front, *addresses: str) -> list[str]:
    """Those of the addresses that nginx answers at."""
    answering = []
    for address in addresses:
        with suppress(OSError), socket.create_connection((address, way.settings.port), timeout=20) as client:
            client.sendall(b"GET /nowhere HTTP/1.0\r\n\r\n")
            if client.recv(64).startswith(b"HTTP/1.1 404"):
                answering.append(address)
    return answering


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("", ["127.0.0.1", "127.0.0.9", "::1"]),
        ("0.0.0.0", ["127.0.0.1", "127.0.0.9"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("[::1]", ["::1"]),
        ("::1", ["::1"]),
        ("::", ["::1"]),
        ("127.0.0.9, ::1", ["127.0.0.9", "::1"]),
        (("127.0.0.1", "[::1]", "::1"), ["127.0.0.1", "::1"]),
    ],
)
def test_nginx_listens_on(listening: Listening, bind: str | tuple[str, ...], expected: list[str]) -> None:
    way = listening(bind)
    assert way.publish(app_routes("web")).notices == ()
    assert reached(way, "127.0.0.1", "127.0.0.9", "::1") == expected
    assert way.reopen().publish(table(app_routes("web"))).how == "unchanged"


def test_a_client_of_ipv6_is_told_to_the_app_and_limited_by_its_network(listening: Listening) -> None:
    way = listening()
    with replicas("web-1") as running:
        way.publish(app_routes("web", way.at(*running), rateLimit={"requestsPerSecond": 0.02, "burst": 1}))
        statuses = []
        for _ in range(3):
            with socket.create_connection(("::1", way.settings.port), timeout=20) as client:
                client.sendall(b"GET /web HTTP/1.0\r\n\r\n")
                statuses.append(client.recv(64).split()[1])
        assert statuses == [b"200", b"200", b"429"]
        headers = running[0].requests[0].headers
        assert (headers["X-Real-IP"], headers["X-Forwarded-For"]) == ("::1", "::1")


def test_ipv4_alone_does_where_another_program_has_the_port_of_ipv6(listening: Listening) -> None:
    way = listening()
    for port in (way.settings.port, way.settings.tls_port):
        with socket.create_server(("::", port), family=socket.AF_INET6):
            edge = way.reopen()
            publication = edge.publish(table(app_routes("web")))
            (notice,) = publication.notices
            assert notice.startswith(f"nginx listens on IPv4 alone: port {port} of [::] is in use already; ")
            assert (edge.publish(table(app_routes("web"))).notices, publication.news) == ((notice,), ())
            assert reached(way, "127.0.0.1") == ["127.0.0.1"]
    assert way.reopen().publish(table(app_routes("web"))).notices == ()
    assert reached(way, "127.0.0.1", "::1") == ["127.0.0.1", "::1"]


def test_ipv6_alone_is_listened_on_beside_a_program_that_has_the_port_of_ipv4(tmp_path: Path) -> None:
    with front("process", tmp_path / "w", bind="::") as way, socket.create_server(("0.0.0.0", way.settings.port)):
        way.publish(app_routes("web"))
        assert reached(way, "::1") == ["::1"]


def test_a_port_in_use_is_not_taken_for_a_longer_one_that_nginx_serves(tmp_path: Path) -> None:
    generations = Generations(tmp_path, 5)
    generations.prepare()
    with socket.create_server(("::", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        generations.write("000001-x", {"http.conf": f"listen [::]:{port}0;"})
        generations.activate("000001-x")
        settings = EdgeSettings(port=port)
        build = with_ipv6(Build(), ProcessNginx(tmp_path, settings), generations, settings)
    assert build.ipv6_trouble == f"port {port} of [::] is in use already"


def test_ipv4_alone_does_where_nginx_can_not_have_ipv6(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = "nginx: [emerg] socket() [::]:80 failed (97: Address family not supported by protocol)"
    way = listening()
    monkeypatch.setattr("reconciler.edge.probe._refusal", lambda *_: refusal)
    (notice,) = way.publish(app_routes("web")).notices
    assert "nginx listens on IPv4 alone: socket() [::]:80 failed (97: Address family not supported" in notice
    assert 'edge_address = "0.0.0.0"' in notice
    assert reached(way, "127.0.0.1", "::1") == ["127.0.0.1"]


def test_what_this_version_does_otherwise_is_told_once(listening: Listening) -> None:
    way = listening()
    first = way.publish(app_routes("web"), app_routes("api"))
    assert first.news == ('nginx listens on IPv6 as well as on IPv4; edge_address = "0.0.0.0" keeps it to IPv4',)
    assert way.publish(app_routes("web"), app_routes("api")).news == ()
    _let_it_be_of_an_earlier_version(way)
    upgraded = way.reopen()
    of_addresses, of_headers = upgraded.publish(table(app_routes("web"))).news
    assert of_addresses.startswith(f"nginx listens on IPv6 as well as on IPv4 {UPGRADED}")
    assert of_headers.startswith(f"{UPGRADED}, api, web get no Forwarded and X-Forwarded-… headers that clients write")
    assert 'trusted_proxies = ["0.0.0.0/0", "::/0"] passes on what anybody writes, as before' in of_headers
    for edge in (upgraded, way.reopen()):
        assert edge.publish(table(app_routes("web"))).news == ()


def test_an_upgrade_is_told_nothing_that_settings_have_answered_already(listening: Listening) -> None:
    way = listening()
    way.publish(app_routes("web"))
    _let_it_be_of_an_earlier_version(way)
    edge = way.reopen(bind="0.0.0.0", trusted_proxies=("192.0.2.7/32",))
    assert edge.publish(table(app_routes("web"))).news == ()


def test_the_proxy_protocol_that_nobody_is_trusted_with_is_noticed(listening: Listening) -> None:
    (notice,) = listening("127.0.0.1", proxy_protocol=True).publish().notices
    assert notice.startswith("proxy_protocol is on, and trusted_proxies names nobody")


def _let_it_be_of_an_earlier_version(way: Front) -> None:
    for path in (way.root / "generations").glob("*/manifest.json"):
        manifest = json.loads(path.read_text()) | {"digest": "of-an-earlier-version"}
        del manifest["edition"]
        path.write_text(json.dumps(manifest))

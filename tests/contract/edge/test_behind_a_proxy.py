"""Who asks and how, where nginx isn't the first hop: told by the proxies that are trusted, and by nobody else."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.spec import Route
from tests.support.echo import Arrived, Echo, echo, send, status_of
from tests.support.nginx import Front, app_routes, front, make_certificate
from tests.support.replicas import replicas
from tests.support.tcp import unused_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.nginx

PROXY, STRANGER, CLIENT = "127.0.0.1", "127.0.0.77", "203.0.113.9"
CLAIMS = [
    f"X-Forwarded-For: {CLIENT}", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443", "X-Forwarded-Host: shop.example",
    "X-Forwarded-Prefix: /outer/", "X-Forwarded-Server: lb", "X-Forwarded-User: root", "Forwarded: for=203.0.113.9",
]  # fmt: skip
OPERATIONS = (Path(__file__).parents[3] / "docs/operations.md").read_text().partition("## Your own nginx in front")[2]

Behind = Callable[..., Front]


@pytest.fixture(
    params=[("process", "auto"), ("process", "off"), ("external", "auto"), ("external", "off")], ids="-".join
)
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    """An nginx that trusts the proxy, with other settings where they are given."""
    mode, lua = request.param
    with ExitStack() as stack:

        def make(**settings: Any) -> Front:
            given = {"trusted_proxies": (PROXY,), "secrets_dir": tmp_path / "secrets", "lua": lua} | settings
            return stack.enter_context(front(mode, tmp_path / "w", **given))

        (tmp_path / "w").mkdir()
        yield make


@pytest.fixture
def replica() -> Iterator[Echo]:
    with echo() as running:
        yield running


def publish(way: Front, replica: Echo, *routes: Route, **options: Any) -> None:
    named = routes or (Route(path="/web"), Route(path="/cut", strip_prefix=True))
    assert way.publish(app_routes("web", [replica.server()], *named, **options)).refusals == ()


def asked(
    way: Front, replica: Echo, *lines: str, path: str = "/web", source: str = PROXY, first: bytes = b""
) -> Arrived:
    answer = ask(way, *lines, path=path, source=source, first=first)
    assert status_of(answer) == 200, answer
    return replica.requests[-1]


def ask(way: Front, *lines: str, path: str = "/web", source: str = PROXY, first: bytes = b"", host: str = "x") -> bytes:
    head = "\r\n".join((f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", ""))
    return send(way.settings.port, first + head.encode(), source=source)


def told(request: Arrived) -> dict[str, str]:
    """What a request tells the app of whom it is for."""
    pairs = (header.decode().partition(": ") for header in request.headers)
    return {name: value for name, _, value in pairs if re.match("(?i)x[-_]real[-_]ip|x[-_]forwarded|forwarded", name)}


def test_what_a_trusted_proxy_says_arrives(behind: Behind, replica: Echo) -> None:
    way = behind()
    publish(way, replica)
    assert told(asked(way, replica, *CLAIMS, path="/cut/x")) == {
        "X-Real-IP": CLIENT,
        "X-Forwarded-For": f"{CLIENT}, {PROXY}",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Prefix": "/outer/cut",
        "X-Forwarded-Host": "shop.example",
        "X-Forwarded-Server": "lb",
        "X-Forwarded-User": "root",
        "Forwarded": "for=203.0.113.9",
    }
    bare = {"X-Real-IP": PROXY, "X-Forwarded-For": PROXY, "X-Forwarded-Proto": "http"}
    assert told(asked(way, replica)) == bare
    assert told(asked(way, replica, "X-Forwarded-For: nobody", "X-Forwarded-Proto: gopher")) == bare | {
        "X-Forwarded-For": f"nobody, {PROXY}"
    }


@pytest.mark.parametrize("trusted", [(), ("192.0.2.0/24", "2001:db8::/32"), (PROXY,)])
def test_what_anybody_else_says_of_a_client_is_removed(behind: Behind, replica: Echo, trusted: tuple[str, ...]) -> None:
    way = behind(trusted_proxies=trusted)
    publish(way, replica)
    more = ["X-Forwarded-Any-Thing: x", "x-FORWARDED-y: z"] if way.has_lua else []
    own = {"X-Real-IP": STRANGER, "X-Forwarded-For": STRANGER, "X-Forwarded-Proto": "http"}
    assert told(asked(way, replica, *CLAIMS, *more, source=STRANGER)) == own
    assert told(asked(way, replica, *CLAIMS, path="/cut/x", source=STRANGER)) == own | {"X-Forwarded-Prefix": "/cut"}


@pytest.mark.parametrize("trusted", [(), (PROXY,)])
def test_underscores_in_headers_are_no_way_around_that(behind: Behind, replica: Echo, trusted: tuple[str, ...]) -> None:
    way = behind(trusted_proxies=trusted, underscores_in_headers=True)
    publish(way, replica)
    claims = [re.sub("-", "_", claim.partition(":")[0], count=n) + ": x" for claim in CLAIMS for n in (0, 1)]
    claims += ["X-Forwarded_For: 6.6.6.6", "X_Real_IP: 6.6.6.6", "X-Real_IP: 6.6.6.6"]
    request = asked(way, replica, *(claim for claim in claims if "_" in claim), "X_Other: kept", source=STRANGER)
    assert told(request) == {"X-Real-IP": STRANGER, "X-Forwarded-For": STRANGER, "X-Forwarded-Proto": "http"}
    assert request.values("X_Other") == [b"kept"]


def test_what_a_client_of_a_trusted_proxy_writes_with_underscores_stands_for_nothing_that_the_proxy_writes(
    behind: Behind, replica: Echo
) -> None:
    way = behind(underscores_in_headers=True)
    if not way.has_lua:  # nginx alone can't tell one from the other: a notice says what the proxy has to do
        (notice,) = way.publish(app_routes("web", [replica.server()])).notices
        assert "edge_underscores_in_headers" in notice
        return
    publish(way, replica)
    claims = ("X_Forwarded_Proto: https", "X_Forwarded-Port: 1", "X_Forwarded_Prefix: /evil", "X_Forwarded_Host: evil")
    request = asked(way, replica, *claims, "X-Forwarded-Proto: http", "X-Forwarded-Host: shop.example")
    own = {"X-Real-IP": PROXY, "X-Forwarded-For": PROXY, "X-Forwarded-Proto": "http"}
    assert told(request) == own | {"X-Forwarded-Host": "shop.example"}


def test_what_a_trusted_proxy_adds_to_a_header_in_a_line_of_its_own_arrives(behind: Behind, replica: Echo) -> None:
    """nginx before 1.23 alone knows the first line of most headers only, which may be the proxy's client's."""
    way = behind()
    publish(way, replica)
    request = asked(way, replica, "Forwarded: for=client", "Forwarded: for=proxy")
    if way.has_lua:
        assert request.values("Forwarded") == [b"for=client", b"for=proxy"]
    else:
        assert request.values("Forwarded") in ([b"for=client"], [b"for=client, for=proxy"])


def test_a_client_is_the_last_in_the_chain_that_is_no_trusted_proxy(behind: Behind, replica: Echo) -> None:
    way = behind(trusted_proxies=(PROXY, "10.0.0.0/8", "2001:db8:ff::/48"))
    publish(way, replica)
    for chain, client in {
        f"192.0.2.1, {CLIENT}, 10.1.2.3": CLIENT,
        "192.0.2.1, 2001:db8::7, 2001:db8:ff::1, 10.1.2.3": "2001:db8::7",
        "10.9.9.9": "10.9.9.9",
    }.items():
        request = told(asked(way, replica, f"X-Forwarded-For: {chain}"))
        assert (request["X-Real-IP"], request["X-Forwarded-For"]) == (client, f"{chain}, {PROXY}")


def test_what_came_to_a_trusted_proxy_by_https_is_not_redirected(behind: Behind, replica: Echo) -> None:
    way = behind()
    assert way.settings.secrets_dir is not None
    make_certificate(way.settings.secrets_dir / "shop", "shop.example.com")
    publish(way, replica, Route.model_validate({"host": "shop.example.com", "tls": {"secret": "shop"}}))
    port, tls_port, claim = way.settings.port, way.settings.tls_port, "X-Forwarded-Proto: "
    cases: list[tuple[str, list[str], str | None]] = [
        (PROXY, [claim + "https"], None),
        (PROXY, [claim + "HTTPS, http"], None),
        (PROXY, [claim + "wss"], None),
        (PROXY, [claim + "http"], "https://shop.example.com/a%2Fb?c"),
        (PROXY, [claim + "http", "X-Forwarded-Port: 80"], "https://shop.example.com/a%2Fb?c"),
        (PROXY, [claim + "http", f"X-Forwarded-Port: {port}"], f"https://shop.example.com:{tls_port}/a%2Fb?c"),
        (PROXY, [], "https://shop.example.com/a%2Fb?c"),
        (STRANGER, [claim + "https"], f"https://shop.example.com:{tls_port}/a%2Fb?c"),
    ]
    for source, lines, location in cases:
        answer = ask(way, *lines, path="/a%2Fb?c", source=source, host="shop.example.com")
        found = re.search(rb"\r\nLocation: (\S+)", answer)
        assert (lines, status_of(answer)) == (lines, 308 if location else 200)
        assert (lines, found and found[1].decode()) == (lines, location)


def test_a_client_behind_a_trusted_proxy_that_names_no_host_is_redirected_nowhere(
    behind: Behind, replica: Echo
) -> None:
    way = behind()
    assert way.settings.secrets_dir is not None
    make_certificate(way.settings.secrets_dir / "shop", "shop.example.com")
    publish(way, replica, Route.model_validate({"path": "/", "tls": {"secret": "shop"}}))
    for scheme, status in (("http", 400), ("https", 200)):
        head = f"GET / HTTP/1.0\r\nX-Forwarded-Proto: {scheme}\r\n\r\n"
        assert status_of(send(way.settings.port, head.encode(), source=PROXY)) == status


def test_each_client_behind_a_trusted_proxy_has_a_rate_limit_of_its_own(behind: Behind, replica: Echo) -> None:
    way = behind()
    publish(way, replica, rateLimit={"requestsPerSecond": 0.02, "burst": 1})

    def statuses(*clients: str, source: str = PROXY) -> list[int]:
        return [status_of(ask(way, f"X-Forwarded-For: {client}", source=source)) for client in clients]

    assert statuses(*["203.0.113.1"] * 3, *["203.0.113.2"] * 3) == [200, 200, 429] * 2
    assert statuses("203.0.113.3", "203.0.113.4", "203.0.113.5", source=STRANGER) == [200, 200, 429]
    same_network = [f"2001:db8:0:1:{n}::{n}" for n in range(1, 4)]
    assert statuses(*same_network, "2001:db8:0:2::1") == [200, 200, 429, 200]
    assert statuses(*(f"::ffff:203.0.113.{n}" for n in range(11, 16))) == [200] * 5


def test_each_client_behind_a_trusted_proxy_keeps_a_replica_of_its_own(behind: Behind) -> None:
    way = behind()
    with replicas("web-1", "web-2") as two:
        way.publish(app_routes("web", way.at(*two), sticky="ip"))
        owners = [{_replica(ask(way, f"X-Forwarded-For: 203.0.113.{n}")) for _ in range(3)} for n in range(1, 25)]
    assert {len(names) for names in owners} == {1}
    assert set.union(*owners) == {b"web-1", b"web-2"}


def _replica(answer: bytes) -> bytes:
    found = re.search(rb"\r\nX-Replica: (\S+)", answer)
    assert found, answer
    return found[1]


@pytest.mark.engine
def test_a_containers_nginx_believes_what_the_engine_connects_from_where_that_is_trusted(tmp_path: Path) -> None:
    with front("container", tmp_path) as way, echo(way.replica_addresses[0]) as replica:
        publish(way, replica)
        gateway = told(asked(way, replica, *CLAIMS))["X-Forwarded-For"]
        way.edge = way.reopen(trusted_proxies=(f"{gateway}/32",))
        publish(way, replica)
        request = told(asked(way, replica, *CLAIMS))
        assert (request["X-Real-IP"], request["X-Forwarded-For"]) == (CLIENT, f"{CLIENT}, {gateway}")
        assert request["X-Forwarded-Proto"] == "https"


# -- the PROXY protocol -----------------------------------------------------------------------------------------------


def version_1(port: int = 80, client: str = CLIENT) -> bytes:
    return f"PROXY TCP4 {client} 192.0.2.1 4711 {port}\r\n".encode()


def version_2(port: int = 80, client: str = CLIENT) -> bytes:
    addresses = socket.inet_aton(client) + socket.inet_aton("192.0.2.1") + struct.pack(">HH", 4711, port)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", len(addresses)) + addresses


@pytest.mark.parametrize("proxy", [version_1, version_2])
def test_the_proxy_protocol_of_a_trusted_proxy_tells_client_port_and_scheme(
    behind: Behind, replica: Echo, proxy: Callable[..., bytes]
) -> None:
    way = behind(proxy_protocol=True)
    publish(way, replica)
    client = {"X-Real-IP": CLIENT, "X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "http", "X-Forwarded-Port": "80"}
    assert told(asked(way, replica, first=proxy())) == client
    assert told(asked(way, replica, *CLAIMS, first=proxy())) == client, "what it passes on is the client's own"
    secure = client | {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}
    assert told(asked(way, replica, first=proxy(443))) == secure
    stranger = {"X-Real-IP": STRANGER, "X-Forwarded-For": STRANGER, "X-Forwarded-Proto": "http"}
    assert told(asked(way, replica, *CLAIMS, first=proxy(443), source=STRANGER)) == stranger


def test_headers_count_where_the_proxy_protocol_names_a_trusted_proxy(behind: Behind, replica: Echo) -> None:
    way = behind(proxy_protocol=True, trusted_proxies=(PROXY, "198.51.100.0/24"))
    publish(way, replica)
    request = told(asked(way, replica, *CLAIMS, first=version_1(client="198.51.100.7")))
    assert request["X-Forwarded-For"] == f"{CLIENT}, 198.51.100.7"
    assert (request["X-Forwarded-Proto"], request["X-Forwarded-Port"]) == ("https", "443")
    unknown = told(asked(way, replica, *CLAIMS, first=b"PROXY UNKNOWN\r\n"))
    assert unknown["X-Forwarded-For"] == f"{CLIENT}, {PROXY}"


def test_with_the_proxy_protocol_a_redirect_goes_to_the_port_that_the_proxy_has(behind: Behind, replica: Echo) -> None:
    way = behind(proxy_protocol=True)
    assert way.settings.secrets_dir is not None
    make_certificate(way.settings.secrets_dir / "shop", "shop.example.com")
    publish(way, replica, Route.model_validate({"host": "shop.example.com", "tls": {"secret": "shop"}}))
    tls_port = way.settings.tls_port
    for port, location in {80: b"https://shop.example.com/x", 443: None}.items():
        answer = ask(way, path="/x", first=version_1(port), host="shop.example.com")
        found = re.search(rb"\r\nLocation: (\S+)", answer)
        assert (port, found and found[1]) == (port, location)
    answer = ask(way, path="/x", first=version_1(way.settings.port), host="shop.example.com")
    assert f"\r\nLocation: https://shop.example.com:{tls_port}/x\r\n".encode() in answer


# -- the documented chain ---------------------------------------------------------------------------------------------


@contextmanager
def nginx_in_front(directory: Path, way: Front, secret: Path) -> Iterator[int]:
    """Somebody's nginx, which ends TLS, with what is documented for it; its port."""
    of_http, of_location = re.findall(r"```nginx\n(.*?)```", OPERATIONS, re.DOTALL)[:2]
    assert "127.0.0.1:8080" in of_location
    location, port = of_location.replace("127.0.0.1:8080", f"127.0.0.1:{way.settings.port}"), unused_port()
    directory.mkdir()
    (directory / "nginx.conf").write_text(
        f"daemon off;\npid {directory}/nginx.pid;\nerror_log {directory}/error.log;\nevents {{}}\nhttp {{\n"
        f"access_log off;\nclient_body_temp_path {directory}/body;\nproxy_temp_path {directory}/proxy;\n{of_http}"
        f"server {{ listen 127.0.0.1:{port} ssl;\n"
        f"ssl_certificate {secret}/tls.crt;\nssl_certificate_key {secret}/tls.key;\nlocation / {{\n{location}}} }} }}\n"
    )
    command = ["/usr/sbin/nginx", "-p", str(directory), "-c", "nginx.conf", "-e", "error.log"]
    process = subprocess.Popen(command)
    try:
        eventually(lambda: _accepts(port))
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_documented_chain_works_as_it_is_written(behind: Behind, replica: Echo, tmp_path: Path) -> None:
    assert 'trusted_proxies = ["127.0.0.1"]' in OPERATIONS
    way = behind()
    secret = tmp_path / "secrets/shop"
    make_certificate(secret, "shop.example.com")
    publish(way, replica, Route.model_validate({"host": "shop.example.com", "tls": {"secret": "shop"}}))
    context = ssl.create_default_context(cafile=str(secret / "tls.crt"))
    with nginx_in_front(tmp_path / "theirs", way, secret) as port:

        def connect() -> ssl.SSLSocket:
            raw = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(STRANGER, 0))
            return context.wrap_socket(raw, server_hostname="shop.example.com")

        with connect() as client:
            lines = ("GET /a%2Fb//c HTTP/1.1", "Host: Shop.example.com:7443", "Connection: close", *CLAIMS[1:], "", "")
            client.sendall("\r\n".join(lines).encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert status_of(answer) == 200, answer
        request = replica.requests[-1]
        assert (request.target, request.values("Host")) == (b"/a%2Fb//c", [b"Shop.example.com:7443"])
        said = told(request)
        assert (said["X-Real-IP"], said["X-Forwarded-For"]) == (STRANGER, f"{STRANGER}, {PROXY}")
        assert (said["X-Forwarded-Proto"], said["X-Forwarded-Port"]) == ("https", str(port))
        assert said.keys().isdisjoint({"Forwarded", "X-Forwarded-Host", "X-Forwarded-Prefix"})
        with connect() as client:
            upgrade = (
                "GET /ws HTTP/1.1",
                "Host: shop.example.com",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "",
                "",
            )
            client.sendall("\r\n".join(upgrade).encode())
            assert client.recv(1024).startswith(b"HTTP/1.1 101")

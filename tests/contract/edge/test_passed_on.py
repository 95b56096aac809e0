"""What arrives of a request, byte by byte: the same as if the app had been asked itself, but for what is documented."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.spec import Route
from tests.support.echo import Arrived, Echo, echo, refusal, send, send_http_2, status_of
from tests.support.nginx import Front, app_routes, make_certificate
from tests.support.waiting import eventually

pytestmark = pytest.mark.nginx

OWN = {"host", "connection", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-prefix"}
TLS_HOST = "shop.example.com"

# What follows a route's prefix, as clients write it.
REST = [
    b"", b"/", b"/x", b"/x/", b"?", b"?a=b", b"/?", b"/x?", b"/x?a=b&&c=%2F;d=&=", b"/x?a?b?c#d", b"/x#fragment",
    b"/@scope%2Fname", b"/%40scope%2fname", b"/a%20b+c", b"/a%2520b", b"/%7Euser/~user", b"/sig=a%2Bb%3D%3D",
    b"/https://cdn.example.com/a//b.png", b"//", b"//x", b"/a//b///c", b"/a/./b", b"/a/../b", b"/a/b/../../c",
    b"/a%2F..%2Fb", b"/a/%2e/b", b"/a;v=1/b;w", b"/a:b", b"/a,b!c$d'e(f)*g", b"/[1]|{2}^`\\<>\"", b"/caf\xc3\xa9/\xff",
    b"/caf%C3%A9", b"/a%0Ab%0D", b"/a%01%7F", b"/a%25zz", b"/" + b"long" * 7500, b"/x?" + b"y" * 30_000,
]  # fmt: skip
HEADERS = [
    (b"accept: */*", b"X-CASE: Kept", b"x-order: 1", b"X-Order: 2", b"x-order: 1", b"Cookie: a=b; c=d", b"Cookie: e"),
    (b"X-Empty:", b"X-Spaces:    many   inside", b"X-Bytes: caf\xc3\xa9 \xff", b"X-Quotes: \"a\", 'b'"),
    (b"Authorization: Basic Zm9v", b"Referer: http://a/%2F", b"Range: bytes=0-1",
     b"If-None-Match: \"x\"", b"Via: 1 y"),
    (b"Accept-Encoding: gzip, br", b"User-Agent: x", b"Origin: null", b"Content-Type: a/b", b"X-Request-Id: 7"),
    (b"X-Long: " + b"z" * 30_000,),
]  # fmt: skip
OTHERWISE = {
    b"/cut/off%2Eit/a%2Fb//c": b"/a/b/c",
    b"//cut/off.it/a%20b?c=%2F": b"/a%20b?c=%2F",
    b"/x/../cut/off.it/a%0Ab": b"/a%0Ab",
    b"/cut/off.it%2Fx": b"/x",
    b"/cut/./off.it": b"/",
}
METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND", b"M-SEARCH", b"X_Y"]
HOSTS = [
    b"shop.example.com", b"Shop.EXAMPLE.com", b"shop.example.com.", b"SHOP.example.com.:8080", b"shop.example.com:80",
    b"a_b.example", b"127.0.0.1:9", b"[::1]", b"[2001:DB8::1]:8080", b"localhost:", b"xn--caf-dma.example",
]  # fmt: skip
NOT_PASSED_ON = [
    b"Keep-Alive: timeout=5", b"TE: trailers", b"Upgrade: h2c", b"Under_scored: x", b"Dot.ted: x",
    b"Forwarded: for=192.0.2.7", b"X-Forwarded-Host: x", b"X-Forwarded-Port: 1", b"X-Forwarded-User: root",
    b"x-forwarded-client-cert: x",
]  # fmt: skip
DOCUMENTED = (Path(__file__).parents[3] / "docs/edge.md").read_text().partition("## What arrives of a request")[2]


@pytest.fixture
def replica(way: Front) -> Iterator[Echo]:
    """A replica behind every kind of route: whole, with its prefix taken off, at the top, and of a host with TLS."""
    assert way.settings.secrets_dir is not None
    make_certificate(way.settings.secrets_dir / "shop", TLS_HOST)
    tls = {"host": TLS_HOST, "path": "/secure", "stripPrefix": True, "tls": {"secret": "shop", "redirect": False}}
    routes = (
        Route(path="/whole"),
        Route(path="/cut/off.it/", strip_prefix=True),
        Route(host="top.example", path="/", strip_prefix=True),
        Route.model_validate(tls),
    )
    with echo(*way.replica_addresses[:1]) as running:
        publication = way.publish(app_routes("web", [running.server()], *routes, maxBodySize="2Mi"))
        assert publication.refusals == ()
        yield running


def asked(way: Front, replica: Echo, head: bytes, body: bytes = b"") -> tuple[Arrived, Arrived]:
    """What arrives of this request where the replica is asked itself, and what of it through nginx."""
    before, request = len(replica.requests), head + b"\r\nConnection: close\r\n\r\n" + body
    for address, port in ((replica.address, replica.port), ("127.0.0.1", way.settings.port)):
        answer = send(port, request, to=address)
        assert status_of(answer) == 200, (head, answer)
    direct, passed_on = replica.requests[before:]
    return direct, passed_on


def test_a_path_arrives_as_it_was_written_behind_every_kind_of_route(way: Front, replica: Echo) -> None:
    for rest in REST:
        for prefix, cut in ((b"/whole", b""), (b"/cut/off.it", b"/cut/off.it")):
            direct, passed_on = asked(way, replica, b"GET " + prefix + rest + b" HTTP/1.1\r\nHost: x")
            assert passed_on.target == from_the_top(direct.target.removeprefix(cut))
            assert passed_on.values("X-Forwarded-Prefix") == ([cut] if cut else [])
        direct, passed_on = asked(way, replica, b"GET " + from_the_top(rest) + b" HTTP/1.1\r\nHost: top.example")
        assert passed_on.line == direct.line


def from_the_top(target: bytes) -> bytes:
    return target if target.startswith(b"/") else b"/" + target


def test_a_prefix_that_is_written_otherwise_is_taken_off_nginxs_own_form_of_the_path(way: Front, replica: Echo) -> None:
    for written, arrives in OTHERWISE.items():
        _, passed_on = asked(way, replica, b"GET " + written + b" HTTP/1.1\r\nHost: x")
        assert (written, passed_on.target) == (written, arrives)


def test_any_method_arrives_with_its_body(way: Front, replica: Echo) -> None:
    for method in METHODS:
        for body in (b"", b"\0\xffbody", b"x" * 1_500_000):
            for path in (b"/whole", b"/cut/off.it/x"):
                head = method + b" " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d" % len(body)
                direct, passed_on = asked(way, replica, head, body)
                assert passed_on.line.split()[0] == direct.line.split()[0]
                assert passed_on.body == direct.body


def test_headers_arrive_as_they_were_written_in_their_order(way: Front, replica: Echo) -> None:
    for headers in HEADERS:
        head = b"GET /cut/off.it/x HTTP/1.1\r\nHost: x\r\n" + b"\r\n".join(headers)
        direct, passed_on = asked(way, replica, head)
        assert others(passed_on) == others(direct)


def others(request: Arrived) -> list[tuple[bytes, bytes]]:
    """The headers that nginx has no word in, in order."""
    pairs = (header.partition(b":") for header in request.headers)
    return [(name, value.strip()) for name, _, value in pairs if name.decode().lower() not in OWN]


def test_host_arrives_as_it_was_written(way: Front, replica: Echo) -> None:
    for host in HOSTS:
        for prefix in (b"/whole", b"/cut/off.it"):
            direct, passed_on = asked(way, replica, b"GET " + prefix + b" HTTP/1.1\r\nHost: " + host)
            assert passed_on.values("Host") == direct.values("Host") == [host]


def test_an_app_whose_client_names_no_host_gets_its_own_name(way: Front, replica: Echo) -> None:
    for prefix in (b"/whole", b"/cut/off.it"):
        _, passed_on = asked(way, replica, b"GET " + prefix + b" HTTP/1.0")
        assert passed_on.values("Host") == [b"web"]


def test_the_host_of_an_absolute_target_wins_over_the_header(way: Front, replica: Echo) -> None:
    cases = {
        b"http://x.example/cut/off.it/a%2Fb?c": (b"Host: X.example:80", b"/a%2Fb?c", b"X.example:80"),
        b"http://X.example:81/whole//b": (b"Host: y.example", b"/whole//b", b"x.example"),
    }
    for written, (host, target, arrives) in cases.items():
        _, passed_on = asked(way, replica, b"GET " + written + b" HTTP/1.1\r\n" + host)
        assert (passed_on.target, passed_on.values("Host")) == (target, [arrives])


def test_a_chunked_body_arrives_whole(way: Front, replica: Echo) -> None:
    for prefix in (b"/whole", b"/cut/off.it"):
        head = b"POST " + prefix + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
        direct, passed_on = asked(way, replica, head, b"3\r\nabc\r\n5;x=y\r\n\0\1\2\3\4\r\n0\r\n\r\n")
        assert passed_on.body == direct.body == b"abc\0\1\2\3\4"


def test_a_client_that_waits_to_be_told_to_go_on_is_told(way: Front, replica: Echo) -> None:
    with socket.create_connection(("127.0.0.1", way.settings.port), timeout=20) as client:
        head = b"PUT /cut/off.it/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
        client.sendall(head + b"Connection: close\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.1 100")
        client.sendall(b"abc")
        assert status_of(b"".join(iter(lambda: client.recv(65536), b""))) == 200
    assert (replica.requests[-1].body, replica.requests[-1].values("Expect")) == (b"abc", [])


def test_a_websocket_passes_where_the_prefix_is_taken_off(way: Front, replica: Echo) -> None:
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13")
    with way.speak("GET /cut/off.it/a%2Fb//c HTTP/1.1", *upgrade) as client:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1024)
        assert head.startswith(b"HTTP/1.1 101")
        client.sendall(b"\x81\x00")
        assert client.recv(16) == b"\x81\x00"
    eventually(lambda: replica.requests[-1].target == b"/a%2Fb//c")


def test_what_came_by_http_2_arrives_as_what_came_by_http_1_does(way: Front, replica: Echo) -> None:
    for rest in REST:
        known = [
            (b":method", b"PUT"),
            (b":scheme", b"https"),
            (b":path", b"/secure" + rest),
            (b":authority", b"SHOP.example.com"),
        ]
        more = [(b"x-order", b"1"), (b"x-order", b"2"), (b"cookie", b"a=b"), (b"cookie", b"c=d")]
        assert send_http_2(way.settings.tls_port, TLS_HOST, [*known, *more], b"body") == b"ok"
        arrived = replica.requests[-1]
        assert (arrived.target, arrived.body) == (from_the_top(rest), b"body")
        assert (arrived.values("Host"), arrived.values("X-Order")) == ([b"SHOP.example.com"], [b"1", b"2"])
        assert (arrived.values("X-Forwarded-Proto"), arrived.values("Cookie")) == ([b"https"], [b"a=b; c=d"])


REFUSED = {
    400: [
        b"OPTIONS * HTTP/1.1\r\nHost: x",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x",
        b"GET /whole/%00 HTTP/1.1\r\nHost: x",
        b"GET /whole/%zz HTTP/1.1\r\nHost: x",
        b"GET /whole/% HTTP/1.1\r\nHost: x",
        b"GET /whole/a b HTTP/1.1\r\nHost: x",
        b"GET /../whole HTTP/1.1\r\nHost: x",
        b"get /whole HTTP/1.1\r\nHost: x",
        b"GET /whole HTTP/1.1",
        b"GET /whole HTTP/1.1\r\nHost: x\r\nHost: x",
        b"GET /whole HTTP/1.1\r\nHost: x/y",
        b"GET /whole HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000,
        b"POST /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
    ],
    404: [b"GET /cut/off-it HTTP/1.1\r\nHost: x", b"GET /cut/off.its HTTP/1.1\r\nHost: x"],
    405: [b"TRACE /whole HTTP/1.1\r\nHost: x"],
    413: [b"PUT /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000"],
    414: [b"GET /whole/" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x"],
    501: [b"PUT /whole HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip"],
}


def test_what_nginx_answers_itself(way: Front, replica: Echo) -> None:
    for status, heads in REFUSED.items():
        for head in heads:
            status_told = refusal(way.settings.port, head + b"\r\nConnection: close\r\n\r\n")
            assert (head[:60], status_told) == (head[:60], status)
    assert replica.requests == []


def test_what_is_between_two_hops_alone_is_not_passed_on(way: Front, replica: Echo) -> None:
    """And what nginx doesn't take for a header's name, or for a client's to say."""
    for line in NOT_PASSED_ON:
        direct, passed_on = asked(way, replica, b"GET /cut/off.it HTTP/1.1\r\nHost: x\r\n" + line)
        name = line.partition(b":")[0].decode()
        assert (name, len(direct.values(name)), passed_on.values(name)) == (name, 1, [])


def test_every_difference_is_documented() -> None:
    table = DOCUMENTED.partition("\n## ")[0].lower()
    names = [line.partition(b":")[0].decode() for line in NOT_PASSED_ON if not line.lower().startswith(b"x-forwarded-")]
    assert [name for name in (*names, *map(str, REFUSED), *OWN) if f"`{name.lower()}`" not in table] == []

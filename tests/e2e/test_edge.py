"""What requests meet on their way in: routes, TLS, stickiness, limits, websockets, and changes that need no reload."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from reconciler.ports import CHECKPOINT_SECONDS
from tests.support.engine import demo_image
from tests.support.nginx import make_certificate
from tests.support.site import Site, web
from tests.support.undisturbed import undisturbed
from tests.support.websocket import echo, upgrade

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

SECURE = "{host: secure.example.com, path: /, tls: {secret: site-tls}}"


@contextmanager
def secure(site: Site, authority: Path, protocol: str = "http/1.1") -> Iterator[ssl.SSLSocket]:
    """A TLS connection to secure.example.com, whose certificate is checked against ``authority``."""
    context = ssl.create_default_context(cafile=str(authority))
    context.set_alpn_protocols([protocol])
    with (
        socket.create_connection(("127.0.0.1", site.tls_port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="secure.example.com") as connection,
    ):
        yield connection


def get_securely(site: Site, authority: Path, path: str) -> tuple[int, str]:
    with secure(site, authority) as connection:
        client = http.client.HTTPConnection("secure.example.com", timeout=10)
        client.sock = connection
        client.request("GET", path, headers={"Host": "secure.example.com"})
        answer = client.getresponse()
        return answer.status, answer.read().decode()


def is_trusted(site: Site, authority: Path) -> bool:
    try:
        return get_securely(site, authority, "/version")[0] == 200
    except (ssl.SSLError, ConnectionError):
        return False


def test_tls_with_http2_a_redirect_and_a_renewed_certificate(site: Site, tmp_path: Path) -> None:
    secret = site.secrets_dir / "site-tls"
    authority = Path(make_certificate(secret, "secure.example.com").rename(tmp_path / "first.crt"))
    (secret / "tls.crt").write_bytes(authority.read_bytes())
    site.start()
    site.deploy({"secure.yaml": web("secure", routes=SECURE)}, "secure")
    assert get_securely(site, authority, "/version") == (200, "1\n")
    assert "X-Forwarded-Proto: https" in get_securely(site, authority, "/headers")[1]
    with secure(site, authority, protocol="h2") as connection:
        assert connection.selected_alpn_protocol() == "h2"
    redirect = site.get("/a/path?with=query", headers={"Host": "secure.example.com"}, allow_redirects=False)
    assert redirect.status_code == 308
    assert redirect.headers["Location"] == f"https://secure.example.com:{site.tls_port}/a/path?with=query"
    renewed = make_certificate(secret, "secure.example.com")
    site.wait(lambda: is_trusted(site, renewed))
    assert not is_trusted(site, authority)
    assert site.app("secure")["error"] == ""


def test_hosts_and_the_longest_path_decide_and_prefixes_are_stripped_on_demand(shared: Site) -> None:
    shared.deploy(
        {
            "any.yaml": web("any", replicas=1, routes="{path: /tree}"),
            "branch.yaml": web("branch", replicas=1, routes="{path: /tree/branch, stripPrefix: true}, {path: /also}"),
            "host.yaml": web("host", replicas=1, routes="{host: tree.example.com, path: /tree}"),
        },
        "any",
        "branch",
        "host",
    )

    def who(path: str, host: str = "localhost") -> str:
        address = shared.get(path, headers={"Host": host}).text.split(" at ")[1].strip()
        return next(a["name"] for a in shared.status()["apps"] if address in {i["address"] for i in a["instances"]})

    assert who("/tree/leaf") == "any"
    assert who("/tree/branch/leaf") == "branch"
    assert who("/tree/branchless") == "any", "a path ends where its name does"
    assert who("/also/") == "branch"
    assert who("/tree/leaf", host="tree.example.com") == "host"
    assert shared.get("/elsewhere").status_code == 404


def test_sticky_clients_stay_with_their_replica(shared: Site) -> None:
    extra = "  edge: {{sticky: {}}}"
    names = {"by-cookie": "cookie", "by-ip": "ip"}
    shared.deploy({f"{n}.yaml": web(n, replicas=3, extra=extra.format(how)) for n, how in names.items()}, *names)
    with requests.Session() as one, requests.Session() as another:
        one.trust_env = another.trust_env = False
        url = f"http://127.0.0.1:{shared.port}/by-cookie/"
        mine = one.get(url, timeout=10).text
        assert {one.get(url, timeout=10).text for _ in range(10)} == {mine}
        others = set()
        for _ in range(20):
            another.cookies.clear()
            others.add(another.get(url, timeout=10).text)
        assert len(others) > 1, "clients without the cookie are spread"
    assert len({shared.get("/by-ip/").text for _ in range(10)}) == 1


def test_large_bodies_and_hasty_clients_are_turned_away(shared: Site) -> None:
    limits = "  edge: {maxBodySize: 64Ki, rateLimit: {requestsPerSecond: 1, burst: 4}}"
    shared.deploy(
        {"limited.yaml": web("limited", replicas=1, extra=limits), "free.yaml": web("free")}, "limited", "free"
    )
    url = f"http://127.0.0.1:{shared.port}/limited/echo"
    assert requests.post(url, data=b"x" * 65_536, timeout=10).status_code == 200
    assert requests.post(url, data=b"x" * 65_537, timeout=10).status_code == 413
    codes = [shared.get("/limited/").status_code for _ in range(20)]
    assert set(codes) == {200, 429}
    assert codes.count(200) <= 8
    assert {shared.get("/free/").status_code for _ in range(20)} == {200}, "others have limits of their own"


def test_a_websocket_outlives_the_rollout_of_another_app(shared: Site) -> None:
    shared.deploy({"chat.yaml": web("chat", replicas=1), "busy.yaml": web("busy", replicas=3, grace=0)}, "chat", "busy")
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
        upgrade(connection, "/chat/ws")
        assert echo(connection, b"before") == b"before"
        with undisturbed(shared, "busy"):
            shared.deploy({"busy.yaml": web("busy", replicas=3, grace=0, image="orchestry-demo:2")}, "busy")
        shared.deploy({"new.yaml": web("new", replicas=1)}, "new")  # a new route, and so a reload
        assert echo(connection, b"after") == b"after"


def test_replica_changes_need_no_reload_where_nginx_has_lua(site: Site) -> None:
    demo_image("2")
    site.start()
    site.deploy({"web.yaml": web(grace=0)})
    assert "without a reload" in site.status()["controller"]["edge"]
    workers, reloads = nginx_workers(site), site.reloads()
    with undisturbed(site, "web"):
        site.deploy({"web.yaml": web(grace=0, image="orchestry-demo:2")})
        site.deploy({"web.yaml": web(grace=0, image="orchestry-demo:2", replicas=4)})
    assert nginx_workers(site) == workers
    assert site.reloads() == reloads
    # An nginx started alone, as after a reboot, serves the replicas of now.
    site.stop()
    restart_nginx(site)
    assert len({site.get("/web/").text for _ in range(40)}) == 4


def test_a_rollout_all_at_once_takes_a_stock_nginx_two_reloads(site: Site) -> None:
    demo_image("2")
    site.environment["ORCHESTRY_EDGE_LUA"] = "off"
    site.start()
    strategy = "  strategy: {maxSurge: 100%}"
    site.deploy({"web.yaml": web(replicas=4, extra=strategy)})
    assert "by reload" in site.status()["controller"]["edge"]
    reloads = site.reloads()
    with undisturbed(site, "web"):
        site.deploy({"web.yaml": web(replicas=4, extra=strategy, image="orchestry-demo:2")})
    assert site.reloads() - reloads <= 2
    assert {site.get("/web/version").text for _ in range(8)} == {"2\n"}


def test_a_drain_by_a_stock_nginx_ends_with_the_last_request_in_flight(site: Site) -> None:
    demo_image("2")
    site.environment["ORCHESTRY_EDGE_LUA"] = "off"
    site.start()
    site.deploy({"web.yaml": web(grace=600)})
    with ThreadPoolExecutor(2) as clients:
        answers = [clients.submit(site.get, "/web/slow?ms=3000") for _ in range(2)]
        time.sleep(0.5)
        revision = site.commit({"web.yaml": web(grace=600, image="orchestry-demo:2")})
        site.wait(lambda: site.get("/web/version").text == "2\n")
        assert {answer.result().status_code for answer in answers} == {200}
    site.wait_converged(revision)


def test_an_nginx_that_is_killed_is_back_long_before_anybody_would_have_looked_by_themselves(site: Site) -> None:
    site.start("--tick", "600")
    site.deploy({"web.yaml": web()})
    for _ in range(2):  # the second time right after a look
        killed_at = time.monotonic()
        for pid in (master(site), *map(int, nginx_workers(site))):
            os.kill(pid, signal.SIGKILL)
        site.wait(lambda: site.answers("/web/"))
        assert time.monotonic() - killed_at < CHECKPOINT_SECONDS / 2


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_an_open_connection_to_a_replica_survives_its_rollout_by_name_until_it_ends(site: Site, kind: str) -> None:
    """From another app; an idle one, which the program would close as soon as it is asked to end."""
    demo_image("2")
    site.start()
    specs = {"db.yaml": database(kind), "web.yaml": web("caller", replicas=1)}
    site.deploy(specs, "db", "caller")
    before, address = site.ids("db"), str(site.app("db")["instances"][0]["address"])
    with connected_from(site, "caller-1", address) as client:
        assert said(client, "/version") == "1\n"
        revision = site.commit({"db.yaml": database(kind, image="orchestry-demo:2")})
        site.wait(lambda: "1 connection open" in json.dumps(site.app("db")))
        for _ in range(10):
            assert said(client, "/version") == "1\n"
            time.sleep(0.1)
        assert before.items() <= site.ids("db").items()
    site.wait_converged(revision, "db")
    assert not before.items() <= site.ids("db").items()


def database(kind: str, image: str = "orchestry-demo:1") -> str:
    """A demo app with a grace that nobody waits out, with a route or without."""
    text = web("db", replicas=1, grace=600, image=image)
    if kind == "tcp":
        text = text.replace("type: http", "type: tcp").replace("  routes: [{path: /db, stripPrefix: true}]\n", "")
    return text


@contextmanager
def connected_from(site: Site, replica: str, address: str) -> Iterator[socket.socket]:
    """A connection that a replica has to port 8080 of an address: made by a process in its network."""
    pid = site.api.inspect_container(site.place.name_prefix + replica)["State"]["Pid"]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours:
        with theirs:
            command = [
                "nsenter",
                f"--net=/proc/{pid}/ns/net",
                sys.executable,
                "-c",
                CONNECT,
                str(theirs.fileno()),
                address,
            ]
            subprocess.run(command, pass_fds=[theirs.fileno()], check=True, timeout=30)
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        with socket.socket(fileno=descriptors[0]) as client:
            client.settimeout(10)
            yield client


CONNECT = """
import socket, sys
with socket.socket(fileno=int(sys.argv[1])) as channel, socket.create_connection((sys.argv[2], 8080)) as client:
    socket.send_fds(channel, [b"x"], [client.fileno()])
"""


def said(client: socket.socket, path: str) -> str:
    """The body of the answer to one request, after which the connection stays open."""
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = http.client.HTTPResponse(client)
    answer.begin()
    return answer.read().decode()


def edge_directory(site: Site) -> Path:
    return site.state_dir / site.place.instance / "edge"


def master(site: Site) -> int:
    return int((edge_directory(site) / "run" / "nginx.pid").read_text())


def nginx_workers(site: Site) -> set[str]:
    return set(Path(f"/proc/{master(site)}/task/{master(site)}/children").read_text().split())


def restart_nginx(site: Site) -> None:
    os.kill(master(site), signal.SIGTERM)
    while (edge_directory(site) / "run" / "nginx.pid").exists():
        time.sleep(0.02)
    command = ["nginx", "-p", "./", "-c", "current/nginx.conf"]
    subprocess.run(command, cwd=edge_directory(site), check=True, timeout=30)

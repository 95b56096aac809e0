"""What people see of requests that fail, and of certificates that end, while every check passes."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.nginx import make_certificate
from tests.support.site import Site, web

pytestmark = [pytest.mark.engine, pytest.mark.nginx]


def traffic(site: Site, name: str, count: int) -> dict[str, Any]:
    """The app once the edge is known to have had so many requests for it."""

    def counted() -> dict[str, Any] | None:
        app = site.app(name)
        return app if app["traffic"] and app["traffic"]["requests"] >= count else None

    app: dict[str, Any] = site.wait(counted)
    assert app["traffic"]["requests"] == count
    return app


def test_an_app_that_answers_a_tenth_of_its_requests_with_an_error_is_ready_and_warned_of(shared: Site) -> None:
    shared.deploy({"ill.yaml": web("ill", replicas=1, ERROR_PERCENT="10")}, "ill")
    codes = [shared.get("/ill/").status_code for _ in range(100)]
    app = traffic(shared, "ill", 100)
    assert codes.count(500) == 10
    told = {name: app["traffic"][name] for name in ("errors", "error_percent", "repaired", "given_up")}
    assert told == {"errors": 10, "error_percent": 10, "repaired": 0, "given_up": 0}
    assert (app["instances"][0]["requests"], app["instances"][0]["error_percent"]) == (100, 10)
    status = shared.command("status", "ill", "--exit-code")
    assert status.returncode == 0
    assert "10 % of 100 requests in the last" in status.stdout
    assert "warning: 10 % of 100 requests" in shared.command("status").stdout
    explained = shared.command("explain", "ill").stdout
    assert "100 requests in the last" in explained
    assert "ill-1 failed 10 of the 100 it was asked (10 %)" in explained


def test_replicas_that_fail_requests_are_told_though_nginx_repaired_them(shared: Site) -> None:
    """No client noticed anything, and nothing else would show it."""
    shared.deploy({"half.yaml": web("half", replicas=2, ERROR_PERCENT="10")}, "half")
    first = shared.app("half")["instances"][0]
    for _ in range(4):  # so that the two don't fail in step
        requests.get(f"http://{first['address']}:{first['port']}/", timeout=10)
    codes = [shared.get("/half/").status_code for _ in range(100)]
    app = traffic(shared, "half", 100)
    assert (app["traffic"]["errors"], app["traffic"]["given_up"]) == (codes.count(500), 0)
    assert codes.count(500) < 3
    assert app["traffic"]["repaired"] >= 5
    assert sum(replica["requests"] for replica in app["instances"]) >= 105
    assert {round(replica["error_percent"], -1) for replica in app["instances"]} == {10}
    assert "other replicas answered for it" in app["warnings"][0]
    assert "5XX" in shared.command("status", "-o", "wide").stdout

    def sampled() -> list[int]:
        past = json.loads(shared.command("history", "half", "-o", "json").stdout)
        return [sample["repaired"] for sample in past["samples"] if sample["repaired"]]

    shared.wait(lambda: sum(sampled()) == app["traffic"]["repaired"])


def test_a_request_on_its_way_to_a_replica_that_dies_is_a_repaired_one(shared: Site) -> None:
    shared.deploy({"mortal.yaml": web("mortal", replicas=2)}, "mortal")
    with ThreadPoolExecutor(6) as clients:
        answers = [clients.submit(shared.get, "/mortal/slow?ms=3000") for _ in range(6)]
        shared.wait(lambda: _open_connections(shared, "mortal-1") >= 3)  # one may be its check's
        shared.api.kill(shared.ids("mortal")["mortal-1"])
        assert {answer.result().status_code for answer in answers} == {200}
    app = traffic(shared, "mortal", 6)
    assert app["traffic"]["errors"] == 0
    assert app["traffic"]["repaired"] in (2, 3)


def _open_connections(site: Site, name: str) -> int:
    """How many connections are open inside a replica, as its own sockets show."""
    pid = site.api.inspect_container(site.ids("mortal")[name])["State"]["Pid"]
    sockets = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[3] == "01" for line in sockets)


def test_a_request_that_its_client_gave_up_is_told_apart_from_an_error(shared: Site) -> None:
    shared.deploy({"patient.yaml": web("patient", replicas=1)}, "patient")
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as hasty:
            hasty.sendall(b"GET /patient/slow?ms=5000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            hasty.settimeout(0.3)
            with pytest.raises(TimeoutError):
                hasty.recv(1)
    assert shared.get("/patient/").status_code == 200
    app = traffic(shared, "patient", 4)
    assert (app["traffic"]["errors"], app["traffic"]["given_up"], app["warnings"]) == (0, 3, [])


def test_the_end_of_a_certificate_is_warned_of_and_wrong_and_over_once_it_is_renewed(shared: Site) -> None:
    secret = shared.secrets_dir / "shop-tls"
    make_certificate(secret, "shop.example.com", age=timedelta(days=80), left=timedelta(days=10))
    routes = "{host: shop.example.com, path: /, tls: {secret: shop-tls}}"
    shared.deploy({"shop.yaml": web("shop", routes=routes)}, "shop")
    (certificate,) = shared.wait(lambda: shared.app("shop")["certificates"])
    assert (certificate["secret"], certificate["hosts"]) == ("shop-tls", ["shop.example.com"])
    assert (round(certificate["days_left"]), certificate["standing"]) == (10, "expiring")
    status = shared.command("status")
    assert "notice: certificate shop-tls of shop expires on " in status.stdout
    assert "warning: certificate shop-tls expires on " in shared.command("status").stdout
    assert shared.command("status", "shop", "--exit-code").returncode == 0

    make_certificate(secret, "shop.example.com", age=timedelta(days=90), left=timedelta(days=-1))
    degraded = shared.wait(lambda: _if_true(shared.condition("Degraded", "shop")))
    assert degraded["reason"] == "CertificateExpired"
    assert shared.command("status", "shop", "--exit-code").returncode == 1
    assert "(expired 24 h ago)" in shared.command("explain", "shop").stdout

    make_certificate(secret, "shop.example.com", left=timedelta(days=90))
    shared.wait(lambda: not shared.condition("Degraded", "shop")["status"])
    assert "certificate" not in shared.command("status").stdout
    told = [event.message for event in shared.events("shop", "routes") if "certificate" in event.message]
    assert [" ".join(message.split()[:4]) for message in told] == [
        "certificate shop-tls expires on",
        "certificate shop-tls was replaced",
        "certificate shop-tls expired on",
        "certificate shop-tls was replaced",
    ]


def _if_true(condition: dict[str, Any]) -> dict[str, Any] | None:
    return condition if condition["status"] else None

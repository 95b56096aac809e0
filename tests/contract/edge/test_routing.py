"""Which request reaches which replica, and what it finds there: hosts, paths, headers, TLS and limits."""

from __future__ import annotations

import http.client
import socket
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.spec import Route
from tests.support.echo import send, status_of
from tests.support.nginx import Front, app_routes, make_certificate
from tests.support.replicas import Replica

pytestmark = pytest.mark.nginx


def route(**values: Any) -> Route:
    return Route.model_validate({"path": "/"} | values)


def test_a_path_takes_what_is_below_it_and_nothing_else(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    statuses = {path: way.get(path).status for path in ("/web", "/web/", "/web/x?y=1", "/website", "/", "/unknown")}
    assert statuses == {"/web": 200, "/web/": 200, "/web/x?y=1": 200, "/website": 404, "/": 404, "/unknown": 404}


def test_the_route_with_the_longest_path_wins(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("root", way.at(two[0]), route()), app_routes("deep", way.at(two[1]), route(path="/a/b")))
    seen = {path: way.get(path).replica for path in ("/", "/a", "/a/bc", "/a/b", "/a/b/c")}
    assert seen == {"/": "web-1", "/a": "web-1", "/a/bc": "web-1", "/a/b": "web-2", "/a/b/c": "web-2"}


def test_the_route_with_the_more_exact_host_wins(way: Front, two: list[Replica]) -> None:
    way.publish(
        app_routes("shop", way.at(two[0]), route(host="shop.example.com")),
        app_routes("any", way.at(two[1]), route(host="*.example.com")),
    )
    hosts = ("shop.example.com", f"shop.example.com:{way.settings.port}", "other.example.com", "example.org")
    seen = [(way.get("/", host=host).status, way.get("/", host=host).replica) for host in hosts]
    assert seen == [(200, "web-1"), (200, "web-1"), (200, "web-2"), (404, None)]


def test_a_route_without_a_host_serves_every_host(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("shop", way.at(two[0]), route(host="shop.example.com")), app_routes("web", way.at(two[1])))
    assert way.get("/web/x", host="shop.example.com").replica == "web-2"
    assert way.get("/webx", host="shop.example.com").replica == "web-1"
    assert way.get("/web", host="anything.example.org").replica == "web-2"


def test_an_app_has_as_many_routes_as_it_wants(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0]), route(path="/one"), route(path="/two"), route(host="a.example.com")))
    assert [way.get(path).status for path in ("/one", "/two", "/three")] == [200, 200, 404]
    assert way.get("/three", host="a.example.com").status == 200


def test_the_path_of_a_request_is_passed_on_unchanged_unless_it_is_stripped(way: Front, two: list[Replica]) -> None:
    way.publish(
        app_routes("whole", way.at(two[0]), route(path="/whole")),
        app_routes("cut", way.at(two[1]), route(path="/cut", stripPrefix=True)),
    )
    for path in ("/whole/a%20b?c=d", "/whole", "/cut/a?c=d", "/cut", "/cut/"):
        assert way.get(path).status == 200
    assert [request.target for request in two[0].requests] == ["/whole/a%20b?c=d", "/whole"]
    assert [request.target for request in two[1].requests] == ["/a?c=d", "/", "/"]


def test_replicas_learn_who_asked_and_how(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    way.get("/web", host="shop.example.com:8080", headers={"X-Forwarded-For": "192.0.2.7", "Upgrade": "h2c"})
    headers = two[0].requests[0].headers
    assert headers["X-Forwarded-For"] == headers["X-Real-IP"]
    assert (headers["Host"], headers["X-Forwarded-Proto"]) == ("shop.example.com:8080", "http")
    assert "Connection" not in headers
    assert "Upgrade" not in headers


def test_tls_with_http_2_and_a_redirect_that_keeps_the_method(way: Front, two: list[Replica]) -> None:
    authority = make_certificate(_secrets(way) / "shop", "shop.example.com")
    tls = {"host": "shop.example.com", "tls": {"secret": "shop"}}
    way.publish(app_routes("shop", way.at(two[0]), route(**tls)))
    answer = way.get_tls("/x", "shop.example.com", authority)
    assert answer.replica == "web-1"
    assert two[0].requests[-1].headers["X-Forwarded-Proto"] == "https"
    assert _protocol(way, "shop.example.com", authority) == "h2"
    plain = way.get("/x?y=1", host="shop.example.com", method="POST")
    expected = f"https://shop.example.com:{way.settings.tls_port}/x?y=1"
    assert (plain.status, plain.headers["Location"]) == (308, expected)


def test_a_client_that_names_no_host_is_redirected_nowhere(way: Front, two: list[Replica]) -> None:
    make_certificate(_secrets(way) / "shop", "shop.example.com")
    way.publish(app_routes("shop", way.at(two[0]), route(path="/", tls={"secret": "shop"})))
    answers = [send(way.settings.port, line + b"\r\n\r\n") for line in (b"GET / HTTP/1.0", b"GET http://a/ HTTP/1.0")]
    assert [status_of(answer) for answer in answers] == [400, 308]
    assert b"https://_" not in answers[0]


def test_without_a_redirect_both_http_and_https_are_served(way: Front, two: list[Replica]) -> None:
    authority = make_certificate(_secrets(way) / "shop", "shop.example.com")
    tls = {"host": "shop.example.com", "tls": {"secret": "shop", "redirect": False}}
    way.publish(app_routes("shop", way.at(two[0]), route(**tls)))
    assert way.get("/", host="shop.example.com").status == 200
    assert way.get_tls("/", "shop.example.com", authority).status == 200


def test_an_unknown_host_gets_no_certificate_of_another_host(way: Front, two: list[Replica]) -> None:
    make_certificate(_secrets(way) / "shop", "shop.example.com")
    way.publish(app_routes("shop", way.at(two[0]), route(host="shop.example.com", tls={"secret": "shop"})))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", way.settings.tls_port), timeout=10) as raw,
        pytest.raises(ssl.SSLError, match="(?i)unrecognized"),
    ):
        context.wrap_socket(raw, server_hostname="other.example.com")


def test_a_changed_certificate_is_served_and_a_broken_one_is_not(way: Front, two: list[Replica]) -> None:
    secret = _secrets(way) / "shop"
    make_certificate(secret, "shop.example.com")
    shop = app_routes("shop", way.at(two[0]), route(host="shop.example.com", tls={"secret": "shop"}))
    way.publish(shop)
    renewed = make_certificate(secret, "shop.example.com").read_text()
    assert way.publish(shop).how == "reloaded"
    assert way.publish(shop).how == "unchanged"
    authority = secret.parent / "renewed.crt"
    authority.write_text(renewed)
    assert way.get_tls("/", "shop.example.com", authority).status == 200

    (secret / "tls.crt").write_text("broken")
    publication = way.publish(shop)
    assert (publication.how, [r.app_name for r in publication.refusals]) == ("unchanged", ["shop"])
    assert "TLS secret shop" in publication.refusals[0].message
    moved = app_routes("shop", way.at(two[1]), *shop.routes)
    way.publish(moved)
    assert way.get_tls("/", "shop.example.com", authority).replica == "web-2"


def test_until_when_certificates_are_valid_is_told_of_what_is_served(way: Front, two: list[Replica]) -> None:
    secret = _secrets(way) / "shop"
    make_certificate(secret, "shop.example.com", age=timedelta(days=1), left=timedelta(days=9))
    shop = app_routes("shop", way.at(two[0]), route(host="shop.example.com", tls={"secret": "shop"}))
    (told,) = way.publish(shop).certificates
    assert (told.secret, told.not_after - told.not_before) == ("shop", 10 * 86_400)
    (secret / "tls.crt").write_text("broken")
    assert way.publish(shop).certificates == (told,)
    make_certificate(secret, "shop.example.com", age=timedelta(days=9), left=timedelta(days=-1))
    (expired,) = way.publish(shop).certificates
    assert told.not_after - expired.not_after == pytest.approx(10 * 86_400, abs=600)
    assert way.publish(shop).certificates == (expired,)
    assert way.publish(app_routes("web", way.at(two[0]))).certificates == ()


@pytest.mark.parametrize("secret", ["nowhere", "plain"])
def test_a_secret_that_is_missing_or_a_plain_file_costs_only_its_app(
    way: Front, two: list[Replica], secret: str
) -> None:
    _secrets(way).mkdir(parents=True, exist_ok=True)
    (_secrets(way) / "plain").write_text("a certificate, perhaps")
    wants = app_routes("shop", way.at(two[0]), route(host="shop.example.com", tls={"secret": secret}))
    publication = way.publish(wants, app_routes("web", way.at(two[1])))
    assert [refusal.app_name for refusal in publication.refusals] == ["shop"]
    assert f"TLS secret {secret}: tls.crt is missing" in publication.refusals[0].message
    assert way.get("/web").status == 200


def test_a_secret_that_is_missing_leaves_the_app_its_old_one(way: Front, two: list[Replica]) -> None:
    authority = make_certificate(_secrets(way) / "shop", "shop.example.com")
    way.publish(app_routes("shop", way.at(two[0]), route(host="shop.example.com", tls={"secret": "shop"})))
    moved = app_routes("shop", way.at(two[1]), route(host="shop.example.com", tls={"secret": "nowhere"}))
    assert [refusal.app_name for refusal in way.publish(moved).refusals] == ["shop"]
    assert way.get_tls("/", "shop.example.com", authority).replica == "web-2"
    assert way.publish(moved).how == "unchanged"


def test_a_body_may_be_as_large_as_the_app_says(way: Front, two: list[Replica]) -> None:
    way.publish(
        app_routes("small", way.at(two[0]), maxBodySize="1Ki"), app_routes("large", way.at(two[0]), maxBodySize="1Mi")
    )
    body = b"x" * 100_000
    assert way.get("/small", method="POST", body=body).status == 413
    assert way.get("/large", method="POST", body=body).status == 200
    assert two[0].requests[-1].body == body


def test_a_client_may_ask_as_often_as_the_app_says(way: Front, two: list[Replica]) -> None:
    limit = {"requestsPerSecond": 0.02, "burst": 2}  # so seldom that no slow machine earns another one meanwhile
    way.publish(app_routes("web", way.at(two[0]), rateLimit=limit), app_routes("free", way.at(two[0])))
    statuses = [way.get(path).status for path in ("/web", "/web/x", "/web", "/web", "/web/y")]
    assert statuses == [200, 200, 200, 429, 429]
    assert [way.get("/free").status for _ in range(5)] == [200] * 5


def test_a_replica_may_take_as_long_as_the_app_says(way: Front, two: list[Replica]) -> None:
    way.publish(
        app_routes("hasty", way.at(two[0]), readTimeoutSeconds=0.2, retries=0), app_routes("patient", way.at(two[1]))
    )
    assert way.get("/hasty?wait").status == 504
    assert way.get("/patient?slow=0.5").status == 200


def test_a_cookie_brings_a_client_back_to_its_replica(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("my-web", way.at(*two), sticky="cookie"))
    clients = [way.get("/my-web") for _ in range(60)]
    assert {client.replica for client in clients} == {"web-1", "web-2"}
    for client in clients:
        cookie = client.headers["Set-Cookie"].partition(";")[0]
        again = way.get("/my-web", headers={"Cookie": cookie})
        assert again.replica == client.replica
        assert "Set-Cookie" not in again.headers


def test_an_address_brings_a_client_back_to_its_replica(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(*two), sticky="ip"))
    assert len({way.get("/web").replica for _ in range(12)}) == 1


def test_a_sticky_client_whose_replica_left_is_served_by_another(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(*two), sticky="ip"))
    mine = way.get("/web").replica
    (other,) = [replica for replica in two if replica.name != mine]
    way.publish(app_routes("web", way.at(other), sticky="ip"))
    assert way.get("/web").replica == other.name


def _secrets(way: Front) -> Path:
    assert way.settings.secrets_dir is not None
    return way.settings.secrets_dir


def _protocol(way: Front, host: str, authority: Path) -> str | None:
    context = ssl.create_default_context(cafile=str(authority))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", way.settings.tls_port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=host) as connection,
    ):
        return connection.selected_alpn_protocol()


def test_an_app_can_not_send_a_request_on_into_another(way: Front, two: list[Replica]) -> None:
    """X-Accel-Redirect is nginx's own trust in its upstreams, which are not ours to trust."""
    way.publish(app_routes("web", way.at(two[0])), app_routes("api", way.at(two[1])))
    answer = way.get("/web?accel=/api")
    assert answer.replica == "web-1"
    assert http.client.responses[answer.status] == "OK"

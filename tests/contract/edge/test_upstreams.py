"""What the edge speaks to replicas: HTTPS that it verifies, and gRPC, also while replicas come and go."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.routes import AppRoutes, Server, Upstream
from reconciler.model.spec import Route, UpstreamTls
from tests.support.grpc_calls import calling, grpc_replica
from tests.support.nginx import Front, app_routes, front, make_certificate
from tests.support.replicas import Replica, replicas
from tests.support.waiting import eventually

pytestmark = pytest.mark.nginx

HOST = "rpc.example.com"


@pytest.fixture(params=["auto", "off"], ids=["lua", "stock"])
def edge(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    """An nginx whose secrets have a certificate for replicas, its CA, and another CA."""
    secrets = tmp_path / "secrets"
    for name, host in (("internal", "web.internal"), ("other", "web.internal"), ("rpc", HOST)):
        made = make_certificate(secrets / name, host)
        made.with_name("ca.crt").write_bytes(made.read_bytes())
    with front("process", tmp_path, lua=request.param, secrets_dir=secrets) as made_front:
        yield made_front


@pytest.fixture
def encrypted(edge: Front) -> Iterator[list[Replica]]:
    """Two replicas that speak HTTPS."""
    with replicas("web-1", "web-2", secret=secrets_of(edge) / "internal") as running:
        yield running


def secrets_of(edge: Front) -> Path:
    assert edge.settings.secrets_dir is not None
    return edge.settings.secrets_dir


def https(servers: list[Server], *, name: str = "web.internal", **tls: str) -> AppRoutes:
    upstream = Upstream("HTTPS", UpstreamTls.model_validate({"server_name": name} | tls))
    return replace(app_routes("web", servers), upstream=upstream)


def grpc(*servers: Server, tls: UpstreamTls | None = None, **options: Any) -> AppRoutes:
    route = Route.model_validate({"host": HOST, "tls": {"secret": "rpc"}})
    return replace(app_routes("rpc", servers, route, **options), upstream=Upstream("GRPC", tls))


def test_replicas_that_speak_https_are_known_by_their_ca_and_name(edge: Front, encrypted: list[Replica]) -> None:
    publication = edge.publish(https(edge.at(*encrypted), ca="internal"))
    assert publication.refusals == ()
    assert {edge.get("/web").replica for _ in range(10)} == {"web-1", "web-2"}
    assert edge.get("/web", method="POST", body=b"order").status == 200
    assert publication.certificates == ()


def test_websockets_pass_to_replicas_that_speak_https(edge: Front, encrypted: list[Replica]) -> None:
    edge.publish(https(edge.at(*encrypted), ca="internal"))
    with edge.speak("GET /web HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade") as client:
        assert client.recv(1024).startswith(b"HTTP/1.1 101")
        client.sendall(b"hello")
        assert client.recv(1024) == b"hello"


def test_an_app_that_speaks_https_and_has_no_replica_answers_503(edge: Front, encrypted: list[Replica]) -> None:
    edge.publish(https(edge.at(*encrypted), ca="internal"))
    edge.publish(https(edge.at(*encrypted, draining=True), ca="internal"))
    answer = edge.get("/web")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("tls", [{"ca": "other"}, {"ca": "internal", "name": "shop.internal"}], ids=["ca", "name"])
def test_a_replica_of_another_ca_or_name_gets_no_request(
    edge: Front, encrypted: list[Replica], tls: dict[str, str]
) -> None:
    edge.publish(https(edge.at(*encrypted), **tls))
    assert edge.get("/web").status == 502
    assert [replica.requests for replica in encrypted] == [[], []]


def test_a_ca_that_is_missing_is_told_and_touches_no_other_app(edge: Front, encrypted: list[Replica]) -> None:
    with replicas("api-1", addresses=("127.0.0.9",)) as others:
        publication = edge.publish(app_routes("api", edge.at(*others)), https(edge.at(*encrypted), ca="nowhere"))
        assert edge.get("/api").status == 200
    (refusal,) = publication.refusals
    assert refusal.app_name == "web"
    assert refusal.message.startswith("TLS secret nowhere: ca.crt is missing")


def test_a_ca_that_was_broken_by_its_last_change_counts_as_it_was(edge: Front, encrypted: list[Replica]) -> None:
    wanted = https(edge.at(*encrypted), ca="internal")
    edge.publish(wanted)
    (secrets_of(edge) / "internal" / "ca.crt").write_text("broken")
    publication = edge.publish(wanted)
    assert "ca.crt has no certificate of a CA" in publication.refusals[0].message
    assert edge.get("/web").status == 200


def test_a_changed_ca_is_taken_over(edge: Front, encrypted: list[Replica]) -> None:
    wanted = https(edge.at(*encrypted), ca="rotated")
    made = make_certificate(secrets_of(edge) / "rotated", "web.internal").with_name("ca.crt")
    made.write_bytes((secrets_of(edge) / "other" / "ca.crt").read_bytes())
    edge.publish(wanted)
    assert edge.get("/web").status == 502
    made.write_bytes((secrets_of(edge) / "internal" / "ca.crt").read_bytes() + b"\n")
    assert edge.publish(wanted).how == "reloaded"
    assert edge.get("/web").status == 200


def fingerprint(secret: Path) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert((secret / "tls.crt").read_text())).hexdigest()


def test_replicas_may_be_known_by_the_fingerprint_of_their_certificate(edge: Front, encrypted: list[Replica]) -> None:
    """It is fetched once: a controller that is started again has what is served."""
    known = Upstream("HTTPS", UpstreamTls(fingerprint=fingerprint(secrets_of(edge) / "internal").upper()))
    wanted = replace(app_routes("web", edge.at(*encrypted)), upstream=known)
    eventually(lambda: edge.publish(wanted).refusals == ())
    assert {edge.get("/web").replica for _ in range(4)} == {"web-1", "web-2"}
    edge.edge = edge.reopen()
    for replica in encrypted:
        replica.stop()
    assert edge.publish(wanted).refusals == ()


def test_an_app_known_by_a_fingerprint_is_nobodys_trouble_before_it_has_a_replica(
    edge: Front, encrypted: list[Replica]
) -> None:
    known = Upstream("HTTPS", UpstreamTls(fingerprint=fingerprint(secrets_of(edge) / "internal")))
    assert edge.publish(replace(app_routes("web"), upstream=known)).refusals == ()
    assert edge.get("/web").status == 503
    eventually(lambda: not edge.publish(replace(app_routes("web", edge.at(*encrypted)), upstream=known)).refusals)
    assert edge.get("/web").status == 200


def test_a_fingerprint_that_apps_share_is_asked_of_one_that_has_a_replica(
    edge: Front, encrypted: list[Replica]
) -> None:
    known = Upstream("HTTPS", UpstreamTls(fingerprint=fingerprint(secrets_of(edge) / "internal")))
    apps = app_routes("web", edge.at(*encrypted)), app_routes("without")
    eventually(lambda: edge.publish(*(replace(app, upstream=known) for app in apps)).refusals == ())
    assert [edge.get(path).status for path in ("/web", "/without")] == [200, 503]


def test_a_certificate_that_nobody_can_read_is_a_trouble_of_its_app_alone(edge: Front) -> None:
    secret = secrets_of(edge) / "internal"
    content = ssl.PEM_cert_to_DER_cert((secret / "tls.crt").read_text())
    of_no_version = content.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09", 1)
    (secret / "tls.crt").write_text(ssl.DER_cert_to_PEM_cert(of_no_version))
    known = Upstream("HTTPS", UpstreamTls(fingerprint=fingerprint(secret)))
    with replicas("web-1", secret=secret) as running:
        wanted = replace(app_routes("web", edge.at(*running)), upstream=known), app_routes("other")
        eventually(lambda: "web-1 can't be read" in edge.publish(*wanted).refusals[0].message)
    assert edge.get("/other").status == 503


def test_a_replica_whose_certificate_has_another_fingerprint_gets_no_request(
    edge: Front, encrypted: list[Replica]
) -> None:
    known = Upstream("HTTPS", UpstreamTls(fingerprint=fingerprint(secrets_of(edge) / "other")))
    wanted = replace(app_routes("web", edge.at(*encrypted)), upstream=known)
    own = fingerprint(secrets_of(edge) / "internal")
    eventually(lambda: f"has another fingerprint: {own}" in edge.publish(wanted).refusals[0].message)
    assert edge.get("/web").status in (404, 503)
    assert [replica.requests for replica in encrypted] == [[], []]


def test_a_certificate_that_a_ca_has_signed_is_known_by_the_ca_and_not_by_its_fingerprint(edge: Front) -> None:
    """nginx wants a chain up to somebody it trusts, and trusts nobody for their own sake who isn't self-signed."""
    secrets = secrets_of(edge)
    make_certificate(secrets / "issued", "web.internal", issuer=secrets / "internal")
    with replicas("web-1", secret=secrets / "issued") as running:
        servers = edge.at(*running)
        known = Upstream("HTTPS", UpstreamTls(fingerprint=fingerprint(secrets / "issued")))
        wanted = replace(app_routes("web", servers), upstream=known)
        eventually(lambda: "isn't self-signed" in edge.publish(wanted).refusals[0].message)
        assert edge.publish(https(servers, ca="internal")).refusals == ()
        assert edge.get("/web").replica == "web-1"


def test_replicas_are_never_spoken_to_as_those_before_them(edge: Front, encrypted: list[Replica]) -> None:
    """A change of language is one publication: workers of before go on with the replicas that they know."""
    with replicas("web-3", addresses=("127.0.0.9",)) as plain:
        edge.publish(app_routes("web", edge.at(*plain)))
        with edge.in_flight(1, plain) as waiting:
            edge.publish(https(edge.at(*encrypted), ca="internal"))
            assert {edge.get("/web").replica for _ in range(4)} == {"web-1", "web-2"}
            plain[0].release()
            assert waiting[0].getresponse().status == 200


def test_an_app_whose_new_ca_is_missing_keeps_the_replicas_that_it_has(edge: Front, encrypted: list[Replica]) -> None:
    with replicas("web-3", addresses=("127.0.0.9",)) as plain:
        edge.publish(app_routes("web", edge.at(*plain)))
        publication = edge.publish(https(edge.at(*encrypted), ca="nowhere"))
        assert publication.table.routed_names() == {"web-3"}
        assert {edge.get("/web").replica for _ in range(4)} == {"web-3"}


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_grpc_calls_pass_unary_and_streaming_while_all_replicas_are_replaced(edge: Front, over_tls: bool) -> None:
    secret = secrets_of(edge) / "internal" if over_tls else None
    tls = UpstreamTls(ca="internal", server_name="web.internal") if over_tls else None
    with grpc_replica("rpc-1", "127.0.0.2", secret) as first, grpc_replica("rpc-2", "127.0.0.3", secret) as second:
        edge.publish(grpc(first.server(), second.server(), tls=tls))
        authority = secrets_of(edge) / "rpc" / "tls.crt"
        with calling(edge.settings.tls_port, authority, HOST) as caller:
            caller.wait_for(5)
            with grpc_replica("rpc-3", "127.0.0.4", secret) as third:
                edge.publish(grpc(first.server(draining=True), second.server(), third.server(), tls=tls))
                edge.publish(grpc(first.server(draining=True), second.server(draining=True), third.server(), tls=tls))
                eventually(lambda: not any(edge.edge.requests_left(("127.0.0.2", "127.0.0.3")).values()))
                first.stop()
                second.stop()
                caller.wait_for(5)
                outcomes = caller.outcomes()
    assert set(outcomes) == {"well"}
    assert outcomes["well"] >= 10


def test_a_grpc_call_tells_the_app_who_asked(edge: Front) -> None:
    with grpc_replica("rpc-1", "127.0.0.2") as replica:
        edge.publish(grpc(replica.server()))
        with calling(edge.settings.tls_port, secrets_of(edge) / "rpc" / "tls.crt", HOST) as caller:
            caller.wait_for(1)
            assert caller.headers["x-real-ip"] == "127.0.0.1"
            assert caller.headers["x-forwarded-proto"] == "https"


def test_a_grpc_app_can_lead_no_call_to_another_app(edge: Front) -> None:
    """The server of these tests answers with X-Accel-Redirect, which is nginx's own trust in its upstreams."""
    with grpc_replica("rpc-1", "127.0.0.2") as replica:
        edge.publish(grpc(replica.server()))
        with calling(edge.settings.tls_port, secrets_of(edge) / "rpc" / "tls.crt", HOST) as caller:
            caller.wait_for(1)
            assert set(caller.outcomes()) == {"well"}


def test_a_grpc_app_without_a_replica_is_unavailable_to_its_clients(edge: Front) -> None:
    edge.publish(grpc())
    with calling(edge.settings.tls_port, secrets_of(edge) / "rpc" / "tls.crt", HOST) as caller:
        caller.wait_for(1)
        assert {outcome.partition(":")[0] for outcome in caller.outcomes()} == {"UNAVAILABLE"}

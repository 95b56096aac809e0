"""Checks over HTTPS and by gRPC, asked of the real prober against real servers, gRPC's own among them."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.observed import ProbeSample
from reconciler.model.plan import ProbeTarget
from reconciler.model.spec import HealthCheck, UpstreamTls
from reconciler.probe import open_prober
from tests.support.grpc_calls import GrpcReplica, grpc_replica
from tests.support.nginx import make_certificate
from tests.support.replicas import Replica, replicas
from tests.support.tcp import answer, never_accepting, serving
from tests.support.waiting import eventually


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Secrets with two CAs: ``internal``, which the replicas have their certificate from, and ``other``."""
    for name in ("internal", "other"):
        made = make_certificate(tmp_path / name, "web.internal")
        made.with_name("ca.crt").write_bytes(made.read_bytes())
    return tmp_path


@contextmanager
def over_tls(secrets: Path) -> Iterator[Replica]:
    with replicas("web-1", secret=secrets / "internal") as (replica,):
        yield replica


def ask(port: int, tls: UpstreamTls | None, secrets: Path | None = None, **check: Any) -> ProbeSample:
    """The first sample of a check of this port, without what was asked."""
    address = check.pop("address", "127.0.0.2")
    prober = open_prober(wake=lambda: None, redactor_of=lambda _: str, secrets_dir=secrets)
    try:
        asked = HealthCheck.model_validate(check)
        prober.watch([ProbeTarget("c1", "health", address, port, asked, True, 0.0, tls)])
        return eventually(prober.collect)[0]
    finally:
        prober.close()


def known(**tls: str) -> UpstreamTls:
    return UpstreamTls.model_validate({"server_name": "web.internal"} | tls)


def fingerprint(secret: Path) -> str:
    der = ssl.PEM_cert_to_DER_cert((secret / "tls.crt").read_text())
    return hashlib.sha256(der).hexdigest()


HTTPS = {"protocol": "HTTPS", "path": "/healthz?a=b"}
GRPC = {"protocol": "GRPC"}


def test_a_check_over_https_asks_as_one_over_http_does(secrets: Path) -> None:
    with over_tls(secrets) as replica:
        sample = ask(replica.port, known(ca="internal"), secrets, **HTTPS)
    assert (sample.ok, sample.detail) == (True, f"GET https://127.0.0.2:{replica.port}/healthz?…: answered 200")
    assert replica.requests[0].target == "/healthz?a=b"


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        ({"ca": "other"}, "its certificate is not trusted: "),
        ({"ca": "internal", "server_name": "shop.internal"}, "its certificate is not trusted: Hostname mismatch"),
        ({"ca": "missing"}, "TLS secret missing: ca.crt can't be read: No such file or directory"),
        ({"fingerprint": "ab" * 32}, "its certificate has another fingerprint: "),
    ],
)
def test_a_replica_that_is_not_known_by_its_certificate_is_asked_nothing(
    secrets: Path, tls: dict[str, str], reason: str
) -> None:
    with over_tls(secrets) as replica:
        sample = ask(replica.port, known(**tls), secrets, **HTTPS)
    assert (sample.ok, replica.requests) == (False, [])
    assert f": {reason}" in sample.detail


def test_a_replica_may_be_known_by_the_fingerprint_of_its_certificate_alone(secrets: Path) -> None:
    printed = ":".join(fingerprint(secrets / "internal").upper()[i : i + 2] for i in range(0, 64, 2))
    with over_tls(secrets) as replica:
        assert ask(replica.port, UpstreamTls(fingerprint=printed), **HTTPS).ok


def test_what_speaks_no_tls_is_told_as_that(secrets: Path) -> None:
    with replicas("web-1") as (replica,):
        assert ": no TLS: " in ask(replica.port, known(ca="internal"), secrets, **HTTPS).detail


def test_a_ca_that_is_renewed_counts_at_once_and_one_that_is_gone_as_it_was(secrets: Path) -> None:
    prober = open_prober(wake=lambda: None, redactor_of=lambda _: str, secrets_dir=secrets)
    file = secrets / "rotated" / "ca.crt"
    file.parent.mkdir()
    file.write_bytes((secrets / "other" / "ca.crt").read_bytes())
    check = HealthCheck.model_validate(HTTPS | {"successThreshold": 1000})
    try:
        with over_tls(secrets) as replica:
            target = ProbeTarget("c1", "health", replica.address, replica.port, check, True, 0.0, known(ca="rotated"))
            prober.watch([target])
            eventually(lambda: any(not sample.ok for sample in prober.collect()))
            file.write_bytes((secrets / "internal" / "ca.crt").read_bytes() + b"\n")
            eventually(lambda: any(sample.ok for sample in prober.collect()))
            file.unlink()
            gone_at = time.time()
            later = eventually(lambda: [sample for sample in prober.collect() if sample.at > gone_at])
            assert all(sample.ok for sample in later)
    finally:
        prober.close()


# ---- gRPC


@pytest.fixture(scope="module")
def plain() -> Iterator[GrpcReplica]:
    with grpc_replica("rpc-1", "127.0.0.2") as replica:
        yield replica


@pytest.mark.parametrize(
    ("service", "ok", "words"),
    [
        ("", True, "SERVING"),
        ("shop.Orders", True, "SERVING"),
        ("sick", False, "NOT_SERVING"),
        ("nobody", False, "the app knows no such service (NOT_FOUND): who is that?"),
        ("n" * 256, False, "the app knows no such service (NOT_FOUND): who is that?"),
    ],
)
def test_a_grpc_check_asks_the_standard_health_service(plain: GrpcReplica, service: str, ok: bool, words: str) -> None:
    sample = ask(plain.port, None, **GRPC, service=service)
    assert (sample.ok, sample.detail) == (ok, f"grpc 127.0.0.2:{plain.port} {service}".rstrip() + f": {words}")


def test_a_grpc_check_speaks_tls_where_the_app_does(secrets: Path) -> None:
    with grpc_replica("rpc-1", "127.0.0.2", secrets / "internal") as replica:
        sample = ask(replica.port, known(ca="internal"), secrets, **GRPC)
        assert (sample.ok, sample.detail) == (True, f"grpcs 127.0.0.2:{replica.port}: SERVING")
        assert "not trusted" in ask(replica.port, known(ca="other"), secrets, **GRPC).detail


def test_a_server_without_http_2_fails_a_grpc_check() -> None:
    with serving(answer(200)) as server:
        detail = ask(server.port, None, address="127.0.0.1", **GRPC).detail
    assert detail.endswith(": answered with something that is not HTTP/2")


def test_a_grpc_check_that_gets_no_answer_ends_in_time() -> None:
    with never_accepting() as port:
        detail = ask(port, None, address="127.0.0.1", timeoutSeconds=0.2, **GRPC).detail
    assert detail == f"grpc 127.0.0.1:{port}: no answer within 0.2 s"

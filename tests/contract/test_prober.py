"""What `ports.Prober` promises, asked of the real prober against real servers."""

from __future__ import annotations

import errno
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.observed import ProbeSample
from reconciler.model.plan import ProbeTarget
from reconciler.model.spec import HealthCheck
from reconciler.ports import Prober, Unavailable
from reconciler.probe import open_prober
from reconciler.probe.checks import asked_of, check_for
from reconciler.probe.prober import HEARD_WITHIN_SECONDS
from reconciler.probe.sockets import BoundedSocket, Connections
from tests.support.tcp import Script, answer, never_accepting, serving, unused_port
from tests.support.waiting import eventually

_OK = answer(200, b"ok")


def without_secrets(container_id: str) -> Callable[[str], str]:
    """The redactor of a container without secrets."""
    return str


class Watched:
    """A prober, what it reported, and how often it woke us."""

    def __init__(self, prober: Prober, wakes: list[float]) -> None:
        self.prober = prober
        self.wakes = wakes
        self.samples: list[ProbeSample] = []

    def collect(self) -> list[ProbeSample]:
        self.samples.extend(self.prober.collect())
        return self.samples

    def wait_for(self, count: int) -> list[ProbeSample]:
        return eventually(lambda: len(self.collect()) >= count and self.samples)

    def first(self, target: ProbeTarget) -> ProbeSample:
        self.prober.watch([target])
        return self.wait_for(1)[0]


@pytest.fixture
def watched() -> Iterator[Watched]:
    wakes: list[float] = []
    prober = open_prober(wake=lambda: wakes.append(time.monotonic()), redactor_of=without_secrets)
    yield Watched(prober, wakes)
    prober.close()


def target_of(port: int, *, container_id: str = "c1", quick: bool = True, **check: Any) -> ProbeTarget:
    kind = check.pop("kind", "health")
    first_at = check.pop("first_at", 0.0)
    address = check.pop("address", "127.0.0.1")
    return ProbeTarget(container_id, kind, address, port, HealthCheck.model_validate(check), quick, first_at)


def ask(watched: Watched, script: Script, **check: Any) -> ProbeSample:
    with serving(script) as server:
        target = target_of(server.port, **check)
        return without_what_was_asked(watched.first(target), target)


def without_what_was_asked(sample: ProbeSample, target: ProbeTarget) -> ProbeSample:
    """The sample with what came of it alone: that it begins with what was asked, is part of every answer."""
    asked = f"{asked_of(target)}: "
    assert sample.detail.startswith(asked)
    return replace(sample, detail=sample.detail.removeprefix(asked))


# What is asked, and what counts as an answer


def test_a_probe_that_succeeds_says_which_container_and_check_it_was(watched: Watched) -> None:
    sample = ask(watched, _OK, kind="readiness")
    assert (sample.container_id, sample.check, sample.ok) == ("c1", "readiness", True)
    assert sample.detail == "answered 200"
    assert abs(sample.at - time.time()) < 60


@pytest.mark.parametrize(
    ("status", "expected", "ok"),
    [(200, [], True), (204, [], True), (299, [], True), (302, [], False), (404, [], False), (503, [], False)]
    + [(418, [418], True), (200, [418], False), (301, [301], True), (500, [200, 500], True)],
)
def test_the_codes_that_a_probe_expects_default_to_any_2xx(
    watched: Watched, status: int, expected: list[int], ok: bool
) -> None:
    assert ask(watched, answer(status), expectedStatusCodes=tuple(expected)).ok is ok


def test_a_probe_makes_the_request_that_the_spec_asks_for(watched: Watched) -> None:
    headers = ({"name": "X-Probe", "value": "orchestry"}, {"name": "Host", "value": "shop.example"})
    with serving(_OK) as server:
        watched.first(target_of(server.port, method="POST", path="/deep/check", headers=headers, body="ping"))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /deep/check HTTP/1.1"
    assert {"X-Probe: orchestry", "Host: shop.example", "Connection: close"} <= set(lines)
    assert body in (b"ping", b"")  # the body may come in a packet of its own


@pytest.mark.parametrize("path", ["/check?deep=1&of=a%20b", "/check?", "/?a=%41", "/check?to=/x/../y?z"])
def test_a_probe_asks_with_the_query_as_it_is_written_and_tells_nothing_of_it(watched: Watched, path: str) -> None:
    with serving(answer(500)) as server:
        sample = watched.first(target_of(server.port, path=path))
    assert server.requests[0].startswith(f"GET {path.removesuffix('?')} HTTP/1.1\r\n".encode())
    asked = f"GET http://127.0.0.1:{server.port}{path.partition('?')[0]}?…"
    assert sample.detail == f"{asked}: answered 500, expected 2xx"


def test_every_probe_makes_a_connection_of_its_own_and_keeps_no_cookie(watched: Watched) -> None:
    with serving(answer(200, b"", "Set-Cookie: id=1; Path=/", "Connection: keep-alive")) as server:
        watched.prober.watch([target_of(server.port)])
        watched.wait_for(3)
    assert len(server.requests) >= 3
    assert not any(b"Cookie" in request for request in server.requests)


def test_a_tcp_probe_passes_when_the_port_accepts(watched: Watched) -> None:
    assert ask(watched, lambda connection: None, protocol="TCP").ok


def test_a_tcp_probe_fails_when_the_port_refuses(watched: Watched) -> None:
    port = unused_port()
    sample = watched.first(target_of(port, protocol="TCP"))
    assert (sample.ok, sample.detail) == (False, f"tcp 127.0.0.1:{port}: connection refused")


def test_nothing_but_an_allowed_address_is_probed() -> None:
    prober = open_prober(
        wake=lambda: None, redactor_of=without_secrets, allowed=lambda address: address.startswith("10.")
    )
    with serving(_OK) as server:
        watched = Watched(prober, [])
        target = target_of(server.port)
        sample = without_what_was_asked(watched.first(target), target)
        prober.close()
    assert not sample.ok
    assert sample.detail == "127.0.0.1 is not an address of a replica, so it is not asked"
    assert not server.requests


def test_a_probe_never_resolves_a_name(watched: Watched) -> None:
    sample = watched.first(target_of(80, address="localhost"))
    assert not sample.ok
    assert "not an address of a replica" in sample.detail


@pytest.mark.parametrize(
    ("expected", "words"),
    [([], "2xx"), ([204], "204"), ([200, 204], "200 or 204")],
)
def test_a_failed_probe_tells_what_it_asked_and_what_it_expected(
    watched: Watched, expected: list[int], words: str
) -> None:
    with serving(answer(503)) as server:
        check: Any = {"method": "HEAD", "path": "/deep/check", "expectedStatusCodes": tuple(expected)}
        sample = watched.first(target_of(server.port, **check))
    assert sample.detail == f"HEAD http://127.0.0.1:{server.port}/deep/check: answered 503, expected {words}"


def test_what_a_probe_sent_along_is_in_no_answer(watched: Watched) -> None:
    headers = ({"name": "Authorization", "value": "Bearer swordfish"},)
    sample = ask(watched, answer(503), method="POST", headers=headers, body="marlin")
    assert sample.detail == "answered 503, expected 2xx"


def test_a_probe_of_a_long_path_is_told_in_bounds(watched: Watched) -> None:
    sample = watched.first(target_of(unused_port(), path="/" + "x" * 1000))
    assert sample.detail.endswith("xxx…: connection refused")
    assert len(sample.detail) < 250


# Servers that misbehave


def _send_and_wait(*parts: bytes, every_seconds: float = 0.05) -> Script:
    """Drips the parts, the last of them for ever."""

    def script(connection: Any) -> None:
        for part in itertools.chain(parts, itertools.repeat(parts[-1])):
            connection.sendall(part)
            time.sleep(every_seconds)

    return script


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(lambda connection: connection.recv(1), id="silent"),
        pytest.param(_send_and_wait(b"H", b"T"), id="drips its status line"),
        pytest.param(_send_and_wait(_HEAD, b"X: y\r\n"), id="drips headers"),
        pytest.param(_send_and_wait(_HEAD + b"\r\n", b"z"), id="drips its body"),
        pytest.param(_send_and_wait(b"HTTP/1.1 100 Continue\r\n\r\n"), id="goes on continuing"),
        pytest.param(
            _send_and_wait(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"), id="drips a chunk"
        ),
    ],
)
def test_the_timeout_of_a_probe_bounds_everything_together(watched: Watched, script: Script) -> None:
    sample = ask(watched, script, timeoutSeconds=0.4)
    assert (sample.ok, sample.detail) == (False, "no answer within 0.4 s")


class _Resetting(Connections):
    """A network that resets a connection while it is being made."""

    def open(self, address: str, port: int, timeout_seconds: float) -> BoundedSocket:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_a_reset_while_connecting_is_a_failed_probe(protocol: str) -> None:
    target = target_of(1, protocol=protocol)
    answer = check_for(target, _Resetting(), without_secrets)()
    assert not answer.ok
    assert answer.detail == f"{asked_of(target)}: closed the connection before the answer was complete"


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_a_probe_of_a_server_that_never_accepts_times_out(watched: Watched, protocol: str) -> None:
    with never_accepting() as port:
        target = target_of(port, protocol=protocol, timeoutSeconds=0.3)
        sample = watched.first(target)
    assert (sample.ok, sample.detail) == (False, f"{asked_of(target)}: no answer within 0.3 s")


def test_a_redirect_is_an_answer_to_a_probe_and_its_body_is_bounded(watched: Watched) -> None:
    """Following it, or only reading it all, would let an app send the controller anywhere or fill its memory."""
    sent: list[int] = []

    def endless_redirect(connection: Any) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\xff\r\n\r\n")
        for _ in range(4096):
            sent.append(connection.send(b"x" * 65536))

    sample = ask(watched, endless_redirect)
    assert not sample.ok
    assert sample.detail.startswith("answered 302, expected 2xx: xxx")
    assert sum(sent) < 64 * 2**20  # of 256 MiB offered: what the kernel buffered


def test_a_probe_does_not_read_a_huge_body_to_its_end(watched: Watched) -> None:
    sample = ask(watched, _send_and_wait(b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 65536, every_seconds=0), timeoutSeconds=60)
    assert sample.ok


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
def test_a_connection_closed_early_is_a_failed_probe(watched: Watched, said: bytes) -> None:
    sample = ask(watched, lambda connection: connection.sendall(said))
    assert (sample.ok, sample.detail) == (False, "closed the connection before the answer was complete")


@pytest.mark.parametrize("said", [b"\x16\x03\x01\x00\xa5\x01\x00" * 20, b"SSH-2.0-OpenSSH_9.2\r\n", b"\r\n\r\n"])
def test_what_answers_a_probe_with_no_http_is_named_so(watched: Watched, said: bytes) -> None:
    sample = ask(watched, lambda connection: connection.sendall(said))
    assert (sample.ok, sample.detail) == (False, "answered with something that is not HTTP")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nSet-Cookie: \xff=\x00;;;=\r\n\xff\xfe: z\r\n\r\n\x1f\x8b",
    ],
)
def test_broken_http_never_stops_the_probes(watched: Watched, head: bytes) -> None:
    with serving(lambda connection: connection.sendall(head)) as server:
        watched.prober.watch([target_of(server.port)])
        samples = watched.wait_for(2)
    assert all(sample.detail.isprintable() and sample.detail for sample in samples)


def test_the_detail_of_a_failed_probe_is_one_bounded_printable_line(watched: Watched) -> None:
    body = b"\n\n  database \x1b[31mgone\x00\xff " + b"!" * 1000 + b"\nsecond line"
    detail = ask(watched, answer(503, body)).detail
    assert detail.startswith("answered 503, expected 2xx: database  [31mgone")
    assert detail.isprintable()
    assert len(detail) < 250
    assert "second" not in detail


@pytest.mark.parametrize(
    "script",
    [
        answer(503, b"\n 424242: login failed"),
        answer(503, b"x" * 180 + b" 424242"),  # half of it would be cut off
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 424242\r\n\r\n"),
    ],
)
def test_what_a_failing_app_says_is_shown_without_its_secrets(script: Script) -> None:
    asked: list[str] = []

    def redactor_of(container_id: str) -> Callable[[str], str]:
        asked.append(container_id)
        return lambda text: text.replace("424242", "***")

    watched = Watched(open_prober(wake=lambda: None, redactor_of=redactor_of), [])
    with serving(script) as server, closing(watched.prober):
        watched.prober.watch([target_of(server.port)])
        samples = watched.wait_for(3)
    assert all("***" in sample.detail and "4242" not in sample.detail for sample in samples)
    assert asked == ["c1"]


def test_what_a_failing_app_says_is_not_shown_while_its_secrets_are_unknown() -> None:
    known = threading.Event()

    def redactor_of(container_id: str) -> Callable[[str], str]:
        if not known.is_set():
            raise Unavailable("the Engine does not answer")
        return str

    watched = Watched(open_prober(wake=lambda: None, redactor_of=redactor_of), [])
    with serving(answer(503, b"swordfish")) as server, closing(watched.prober):
        target = target_of(server.port)
        sample = watched.first(target)
        known.set()
        words = f"{asked_of(target)}: answered 503, expected 2xx: "
        eventually(lambda: watched.collect()[-1].detail == f"{words}swordfish")
    assert not sample.ok
    assert sample.detail == f"{words}(not shown: the Engine can't tell which secrets may be in it)"


def test_nobody_is_asked_for_secrets_where_nothing_of_a_probe_is_shown() -> None:
    def redactor_of(container_id: str) -> Callable[[str], str]:
        raise AssertionError("needless")

    watched = Watched(open_prober(wake=lambda: None, redactor_of=redactor_of), [])
    with serving(_OK) as server, closing(watched.prober):
        watched.prober.watch([target_of(server.port), target_of(unused_port(), container_id="c2")])
        eventually(lambda: {sample.container_id for sample in watched.collect()} == {"c1", "c2"})


# When it is asked


def test_a_quick_target_is_probed_again_soon_and_ever_more_slowly(watched: Watched) -> None:
    watched.prober.watch([target_of(unused_port(), periodSeconds=3600.0)])
    samples = watched.wait_for(8)
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(samples[:8])]
    assert gaps[0] >= 0.1
    assert gaps[-1] >= 0.2
    assert not watched.wakes  # failing to be up yet is no news


def test_a_quick_target_that_answered_often_enough_is_probed_in_no_hurry_any_more(watched: Watched) -> None:
    with serving(_OK) as server:
        watched.prober.watch([target_of(server.port, successThreshold=2, periodSeconds=3600.0)])
        first, second, third = watched.wait_for(3)[:3]
    assert third.at - second.at >= HEARD_WITHIN_SECONDS
    assert second.at - first.at < third.at - second.at


def test_a_target_is_not_probed_before_its_first_moment(watched: Watched) -> None:
    first_at = time.time() + 0.5
    with serving(_OK) as server:
        assert watched.first(target_of(server.port, first_at=first_at)).at >= first_at


def test_watching_the_same_targets_again_keeps_the_rhythm_of_their_probes(watched: Watched) -> None:
    """A tick every few milliseconds must not ask more often than the period, nor put a check off for ever."""
    with serving(_OK) as server:
        target = target_of(server.port, quick=False, periodSeconds=0.5)

        def asked_while_watching() -> list[ProbeSample]:
            watched.prober.watch([target])
            return watched.collect()

        eventually(lambda: len(asked_while_watching()) >= 4)
    elapsed_seconds = watched.samples[-1].at - watched.samples[0].at
    assert elapsed_seconds > 0.5 * (len(watched.samples) - 2)  # the first may have been late


def test_a_target_that_became_ready_is_probed_at_its_period(watched: Watched) -> None:
    with serving(_OK) as server:
        watched.first(target_of(server.port, periodSeconds=3600.0))
        watched.prober.watch([target_of(server.port, periodSeconds=3600.0, quick=False)])
        asked = len(server.requests)
        time.sleep(0.6)
        assert len(server.requests) <= asked + 1  # one may have been under way


def test_a_target_no_longer_watched_is_probed_no_more(watched: Watched) -> None:
    with serving(_OK) as server:
        watched.first(target_of(server.port))
        watched.prober.watch([])
        watched.collect()
        time.sleep(0.4)
        assert not watched.prober.collect()


def test_a_new_check_replaces_the_old_one_of_a_target_at_once(watched: Watched) -> None:
    with serving(_OK) as server:
        watched.first(target_of(server.port, path="/old"))
        watched.prober.watch([target_of(server.port, path="/new")])
        eventually(lambda: any(b"/new" in request for request in server.requests))
        seen = len(server.requests)
        eventually(lambda: len(server.requests) >= seen + 3)
        assert not any(b"/old" in request for request in server.requests[seen:])


def test_answers_to_a_check_that_is_asked_otherwise_now_are_forgotten(watched: Watched) -> None:
    """They would be taken for answers to the new one, which nobody has given yet."""
    with serving(_OK) as server:
        other = target_of(server.port, kind="readiness")
        watched.prober.watch([target_of(server.port, path="/old"), other])
        eventually(lambda: sum(b"/old" in request for request in server.requests) >= 2)
        later = target_of(server.port, path="/new", first_at=time.time() + 3600)
        watched.prober.watch([later, other])
        assert {sample.check for sample in watched.prober.collect()} == {"readiness"}


def test_both_checks_of_a_container_have_a_schedule_of_their_own(watched: Watched) -> None:
    with serving(_OK) as server:
        watched.prober.watch([target_of(server.port, kind="health"), target_of(server.port, kind="readiness")])
        eventually(lambda: {sample.check for sample in watched.collect()} == {"health", "readiness"})


def test_never_two_probes_at_once_of_one_target(watched: Watched) -> None:
    def slow(connection: Any) -> None:
        time.sleep(0.3)
        _OK(connection)

    with serving(slow) as server:
        target = target_of(server.port, periodSeconds=0.1)
        for _ in range(50):
            watched.prober.watch([target])
            time.sleep(0.02)
        watched.wait_for(3)
        assert server.max_at_once == 1


def test_the_concurrency_of_probes_is_bounded_and_used() -> None:
    gate = threading.Event()

    def held(connection: Any) -> None:
        gate.wait(20)
        _OK(connection)

    prober = open_prober(wake=lambda: None, redactor_of=without_secrets, concurrency=3)
    with serving(held) as server:
        prober.watch([target_of(server.port, container_id=f"c{number}") for number in range(9)])
        eventually(lambda: len(server.requests) == 3)
        time.sleep(0.2)
        assert server.max_at_once == 3
        gate.set()
        watched = Watched(prober, [])
        eventually(lambda: len({sample.container_id for sample in watched.collect()}) == 9)
        prober.close()


# When it wakes the loop


class Switch:
    """A server's script that can be turned over."""

    def __init__(self) -> None:
        self.status = 200

    def __call__(self, connection: Any) -> None:
        answer(self.status)(connection)


def _woken_by(watched: Watched, act: Callable[[], object]) -> int:
    before = len(watched.wakes)
    act()
    return len(watched.wakes) - before


def test_probes_wake_the_loop_for_news_only(watched: Watched) -> None:
    switch = Switch()
    with serving(switch) as server:
        routine = target_of(server.port, quick=False, periodSeconds=0.1)

        def three_more() -> None:
            watched.wait_for(len(watched.collect()) + 3)

        watched.first(target_of(server.port))
        eventually(lambda: watched.wakes)  # first success of a quick target
        watched.prober.watch([routine])
        three_more()
        assert _woken_by(watched, three_more) == 0  # routine
        switch.status = 500
        assert _woken_by(watched, three_more) >= 1  # each failure counts towards a verdict
        assert _woken_by(watched, three_more) >= 1
        switch.status = 200
        assert _woken_by(watched, three_more) >= 1  # well again
        assert _woken_by(watched, three_more) == 0


def test_closing_the_prober_is_quick_whatever_is_under_way_and_leaves_no_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = set(threading.enumerate())
    prober = open_prober(wake=lambda: None, redactor_of=without_secrets)
    with serving(lambda connection: connection.recv(1)) as server, never_accepting() as port:
        connecting = target_of(port, container_id="c2", timeoutSeconds=600.0)
        prober.watch([target_of(server.port, timeoutSeconds=600.0), connecting])
        eventually(lambda: server.requests)
        own = set(threading.enumerate()) - before
        started = time.monotonic()
        prober.close()
        assert time.monotonic() - started < 10  # of 600
        assert not any(thread.is_alive() for thread in own if thread.name.startswith("probe"))
        assert not prober.collect()
        assert not caplog.records

"""The load generator tells every way to fail from every other: what it counts decides what benchmarks claim."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from tests.support.load import Stream, Tally, load
from tests.support.tcp import Script, answer, never_accepting, serving, unused_port


def tally(port: int, seconds: float = 0.3, **options: object) -> Tally:
    stream = Stream("it", "/", **{"per_second": 50.0, "clients": 2, **options})  # type: ignore[arg-type]
    with load(port, [stream]) as running:
        time.sleep(seconds)
    return running.tallies["it"]


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def kept(answers: int) -> Script:
    """So many answers on one connection; the next request finds it closed."""

    def script(connection: socket.socket) -> None:
        for number in range(answers + 1):
            if number and not connection.recv(65536):
                return
            if number < answers:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return script


def closed_in_the_middle(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf")


def test_the_load_generator_counts_and_times_good_answers() -> None:
    with serving(answer(200, b"ok", "Connection: close")) as server:
        found = tally(server.port, keep_alive=False)
    assert found.sent == len(server.requests) > 5
    assert found.failures == ()
    assert 0 < found.p50_ms <= found.p99_ms
    assert b"Connection: close" in server.requests[0]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (answer(503), "503"),
        (lambda connection: None, "closed"),
        (closed_in_the_middle, "closed"),
        (reset, "reset"),
    ],
)
def test_the_load_generator_names_each_way_to_fail(script: Script, reason: str) -> None:
    with serving(script) as server:
        found = tally(server.port, keep_alive=False)
    assert found.reasons == {reason: found.sent}


def test_a_port_where_nobody_listens_is_refused_to_the_load_generator() -> None:
    found = tally(unused_port())
    assert found.reasons == {"refused": found.sent}


def test_an_answer_that_does_not_come_holds_up_no_other_request_of_the_load_generator() -> None:
    with never_accepting() as port:
        found = tally(port, timeout_seconds=0.2)
    assert found.sent > 5
    assert found.reasons == {"time-out": found.sent}
    assert found.longest_gap_seconds > 0.2


def test_the_load_generator_uses_a_kept_connection_again() -> None:
    with serving(kept(1000)) as server:
        found = tally(server.port, seconds=1.0, per_second=20.0)
    assert found.sent > 5
    assert found.failures == ()
    # A request that is due while another one is still under way opens a connection more, as a busy machine shows.
    assert len(server.requests) < found.sent


def test_a_request_on_a_closed_connection_fails_but_for_the_client_that_retries() -> None:
    with serving(kept(2)) as server:
        strict, patient = tally(server.port), tally(server.port, retries=True)
    assert strict.failed
    assert strict.reasons.keys() <= {"closed", "reset"}
    assert patient.failures == ()
    assert patient.retried


def test_failures_of_the_load_generator_tell_when_they_were_sent_and_ended() -> None:
    began = time.time()
    found = tally(unused_port())
    moments = [moment for failure in found.failures for moment in (failure.sent_at, failure.ended_at)]
    assert found.failed
    assert began <= min(moments) <= max(moments) <= time.time()

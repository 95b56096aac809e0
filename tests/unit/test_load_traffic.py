"""From log lines to numbers: what counts for whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.load.traffic import Batch, Key, TrafficCounts, tally
from tests.support.access_log import line

_AT = 1_700_000_000.5
_SECOND = 1_700_000_000


def only(batch: Batch) -> TrafficCounts:
    ((_, traffic),) = batch.traffic.items()
    return traffic


def test_a_line_of_the_access_log_counts_for_its_app_replica_and_second() -> None:
    batch = tally(line(_AT))
    assert list(batch.traffic) == [Key(_SECOND, "web", "10.0.0.7")]
    traffic = only(batch)
    assert (traffic.requests, traffic.statuses[2], traffic.bytes_sent, traffic.busy_ms) == (1, 1, 500, 20)
    assert traffic.latencies.quantile(0.95) == 20
    assert batch.skipped == 0


def test_latency_is_the_replicas_not_the_clients() -> None:
    assert only(tally(line(_AT, request_seconds="9.000", upstream_seconds="0.030"))).latencies.quantile(1) == 30


def test_equal_lines_of_the_access_log_each_count() -> None:
    traffic = only(tally(line(_AT) * 3 + line(_AT, status="503", upstream_statuses="503")))
    assert traffic.requests == 4
    assert traffic.error_rate == 0.25


def test_a_retry_is_the_last_replicas_request_and_the_first_ones_failed_try() -> None:
    lines = line(
        _AT,
        upstream_addresses="10.0.0.7:8080, 10.0.0.8:8080",
        upstream_statuses="502, 200",
        upstream_seconds="0.001, 0.020",
    )
    traffic = tally(lines).traffic
    failed, answered = traffic[Key(_SECOND, "web", "10.0.0.7")], traffic[Key(_SECOND, "web", "10.0.0.8")]
    assert (failed.requests, failed.failed_tries, failed.busy_ms) == (0, 1, 1)
    assert (answered.requests, answered.failed_tries, answered.busy_ms) == (1, 0, 20)
    assert answered.latencies.quantile(1) == 21  # the client waited for both


def test_tries_after_an_internal_redirect_of_nginx_are_tries() -> None:
    lines = line(_AT, upstream_addresses="10.0.0.7:1 : 10.0.0.8:1", upstream_seconds="0.001 : 0.002")
    assert {key.address for key in tally(lines).traffic} == {"10.0.0.7", "10.0.0.8"}


@pytest.mark.parametrize("address", ["-", "web", "orchestry_web"])
def test_what_nginx_answers_by_itself_has_no_latency(address: str) -> None:
    lines = line(_AT, upstream_addresses=address, upstream_seconds="-", upstream_statuses="-", status="503")
    (key,) = tally(lines).traffic
    assert key.address == "-"
    traffic = only(tally(lines))
    assert (traffic.requests, traffic.statuses[5], traffic.latencies.total) == (1, 1, 0)


def test_a_websockets_life_is_no_latency_but_time_in_hand() -> None:
    batch = tally(line(_AT, status="101", upstream_statuses="101", upstream_seconds="3.500"))
    assert sum(traffic.latencies.total for traffic in batch.traffic.values()) == 0
    assert sum(traffic.busy_ms for traffic in batch.traffic.values()) == 3500


def test_time_in_hand_belongs_to_the_seconds_it_was_spent_in() -> None:
    batch = tally(line(_AT, upstream_seconds="2.300"))
    assert {_SECOND - key.second: traffic.busy_ms for key, traffic in batch.traffic.items()} == {
        0: 1000,
        1: 1000,
        2: 300,
    }


def test_a_day_long_request_costs_no_more_than_ten_minutes_of_seconds() -> None:
    assert len(tally(line(_AT, upstream_seconds="86400.000")).traffic) == 600


@pytest.mark.parametrize(
    "strange",
    [
        b"GET / HTTP/1.1\n",
        line(_AT)[:-10] + b"\n",
        line(_AT, status="999"),
        line(_AT, status="-"),
        line(_AT, bytes_sent="many"),
        line(_AT, upstream_seconds="soon"),
        line(_AT, upstream_seconds="1e999"),
        line(_AT, upstream_seconds="nan"),
        line(_AT).replace(b"1700000000.500", b"noon.000"),
        line(_AT, app="weß").replace("ß".encode(), b"\xff"),
    ],
)
def test_a_strange_line_of_the_access_log_is_skipped_and_counted(strange: bytes) -> None:
    batch = tally(line(_AT) + strange + line(_AT))
    assert only(batch).requests == 2
    assert batch.skipped == 1


@given(st.binary())
def test_garbage_in_the_access_log_never_raises(garbage: bytes) -> None:
    tally(garbage)
    tally(line(_AT) + b"\t".join([garbage] * 9) + b"\n")


_LINES = st.lists(
    st.builds(
        line,
        st.floats(min_value=1e9, max_value=1e9 + 5),
        st.sampled_from(["web", "shop"]),
        upstream_addresses=st.sampled_from(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80, 10.0.0.2:80", "-"]),
        upstream_seconds=st.sampled_from(["0.001", "0.500", "1.700", "0.100, 0.200", "-"]),
        status=st.sampled_from(["200", "404", "499", "502", "101"]),
    ),
    max_size=30,
)


@given(_LINES, st.integers(min_value=0, max_value=30))
def test_it_does_not_matter_where_the_access_log_is_cut(lines: list[bytes], cut: int) -> None:
    def summed(batches: list[Batch]) -> dict[Key, TrafficCounts]:
        total: dict[Key, TrafficCounts] = {}
        for batch in batches:
            for key, traffic in batch.traffic.items():
                total.setdefault(key, TrafficCounts()).merge(traffic)
        return total

    whole = summed([tally(b"".join(lines))])
    parts = summed([tally(b"".join(lines[:cut])), tally(b"".join(lines[cut:]))])
    assert whole.keys() == parts.keys()
    for key, traffic in whole.items():
        other = parts[key]
        assert (traffic.requests, traffic.statuses, traffic.bytes_sent) == (
            other.requests,
            other.statuses,
            other.bytes_sent,
        )
        assert (traffic.busy_ms, traffic.failed_tries) == (other.busy_ms, other.failed_tries)
        assert traffic.latencies.quantiles((0.5, 0.95)) == other.latencies.quantiles((0.5, 0.95))
    assert sum(traffic.requests for traffic in whole.values()) == len(lines)

"""What clients were answered in the last minutes: by app and replica, complete, and forgotten when it is past."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.load.recent import WINDOW_SECONDS, Recent
from reconciler.load.traffic import tally
from reconciler.model.load import RecentTraffic
from tests.support.access_log import line

_START = 1_000_000.0
_REPAIRED = {
    "upstream_addresses": "10.0.0.7:80, 10.0.0.8:80",
    "upstream_statuses": "500, 200",
    "upstream_seconds": "0.001, 0.002",
}


def recent_with(lines: bytes, until: float = _START + 10, covered_since: float = _START) -> Recent:
    recent = Recent()
    recent.configure(["web"], covered_since)
    recent.add(tally(lines).traffic)
    recent.seen_until(until)
    return recent


def test_errors_repaired_and_given_up_requests_are_told_apart() -> None:
    lines = line(_START) * 6 + line(_START, status="502", upstream_statuses="502")
    lines += line(_START, status="499", upstream_statuses="-") * 2 + line(_START, **_REPAIRED)
    recent = recent_with(lines)
    assert recent.of_app("web") == RecentTraffic(10, 10, 1, repaired=1, given_up=2)
    assert recent.of_replica("web", "10.0.0.7") == RecentTraffic(10, 10, 2, given_up=2)
    assert recent.of_replica("web", "10.0.0.8") == RecentTraffic(10, 1, 0)
    assert recent.of_replica("web", "10.0.0.9") == RecentTraffic(10, 0, 0)


def test_a_request_that_every_replica_failed_is_an_error_and_no_repair() -> None:
    failed = _REPAIRED | {"upstream_statuses": "500, 500", "status": "500"}
    recent = recent_with(line(_START, **failed))
    assert recent.of_app("web") == RecentTraffic(10, 1, 1)
    assert [recent.of_replica("web", f"10.0.0.{host}") for host in (7, 8)] == [RecentTraffic(10, 1, 1)] * 2


def test_a_request_that_was_given_up_after_a_failed_try_was_not_repaired() -> None:
    given_up = _REPAIRED | {"upstream_statuses": "500, -", "status": "499"}
    assert recent_with(line(_START, **given_up)).of_app("web") == RecentTraffic(10, 1, 0, given_up=1)


def test_an_answer_of_400_by_another_replica_is_a_repair() -> None:
    repaired = _REPAIRED | {"upstream_statuses": "502, 404", "status": "404"}
    assert recent_with(line(_START, **repaired)).of_app("web") == RecentTraffic(10, 1, 0, repaired=1)


def test_what_nginx_answers_by_itself_is_the_apps_and_no_replicas() -> None:
    nobody = {"upstream_addresses": "-", "upstream_statuses": "-", "upstream_seconds": "-", "status": "503"}
    recent = recent_with(line(_START, **nobody))
    assert recent.of_app("web") == RecentTraffic(10, 1, 1)
    assert recent.of_replica("web", "10.0.0.7") == RecentTraffic(10, 0, 0)


def test_lines_from_before_the_log_counts_as_known_are_left_out() -> None:
    assert recent_with(line(_START - 2) + line(_START)).of_app("web") == RecentTraffic(10, 1, 0)


def test_too_short_a_time_is_unknown_and_not_0() -> None:
    recent = recent_with(b"", until=_START + 4)
    assert recent.of_app("web") is None
    assert recent.of_replica("web", "10.0.0.7") is None
    assert recent.of_app("another") is None


def test_an_app_that_is_new_is_known_from_then_on() -> None:
    recent = recent_with(line(_START), until=_START + 100)
    recent.configure(["web", "new"], _START + 100)
    recent.seen_until(_START + 110)
    assert recent.of_app("new") == RecentTraffic(10, 0, 0)
    assert recent.of_app("web") == RecentTraffic(110, 1, 0)


@given(st.lists(st.tuples(st.integers(0, 900), st.sampled_from(["200", "500", "499"])), max_size=60))
def test_the_last_minutes_are_what_came_in_them(requests: list[tuple[int, str]]) -> None:
    """As lines come in, in any order within a second, and pass out of sight: never more and never less."""
    recent = Recent()
    recent.configure(["web"], _START)
    for now in range(0, 901, 5):
        new = [(second, status) for second, status in requests if now - 5 <= second < now]
        recent.add(tally(b"".join(line(_START + second, status=status) for second, status in new)).traffic)
        recent.seen_until(_START + now)
        inside = [status for second, status in requests if now - WINDOW_SECONDS <= second < now]
        if traffic := recent.of_app("web"):
            told = (traffic.requests, traffic.errors, traffic.given_up)
            assert told == (len(inside), inside.count("500"), inside.count("499"))

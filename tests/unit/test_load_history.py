"""Samples for the record: each interval once, complete, and honest about what nobody saw."""

from __future__ import annotations

import pytest

from reconciler.load.history import Gauges, History
from reconciler.load.traffic import tally
from tests.support.access_log import line

_START = 1_000_000.0
_KNOWN = {"web": True}


def test_an_interval_of_load_becomes_one_sample_once_its_lines_must_have_arrived() -> None:
    history = History()
    history.add(tally(line(_START + 1) * 30 + line(_START + 9.9, status="500") * 10).traffic)
    history.note("web", _START + 1, Gauges(2, cpu_percent=10, memory_percent=20, custom={"queue": 5}))
    history.note("web", _START + 2, Gauges(3, cpu_percent=30, memory_percent=None, custom={"queue": None}))
    assert history.close_intervals(_START + 12, _KNOWN) == ()
    (sample,) = history.close_intervals(_START + 13, _KNOWN)
    assert (sample.app_name, sample.at, sample.resolution_seconds, sample.replicas) == ("web", _START + 10, 10, 3)
    assert (sample.cpu_percent, sample.memory_percent, sample.custom) == (20, 20, {"queue": 5})
    assert (sample.rps, sample.status_2xx, sample.status_5xx, sample.error_rate) == (4, 30, 10, 0.25)
    assert sample.p50_latency_ms == sample.p99_latency_ms == 20
    assert sample.connections == pytest.approx(40 * 0.020 / 10)
    assert (sample.bytes_sent, sample.repaired, sample.given_up) == (20_000, 0, 0)
    assert history.close_intervals(_START + 13, _KNOWN) == ()


def test_samples_count_repaired_and_given_up_requests() -> None:
    history = History()
    tries = {"upstream_addresses": "10.0.0.7:80, 10.0.0.8:80", "upstream_seconds": "0.001, 0.002"}
    history.add(tally(line(_START, **tries) * 2 + line(_START, status="499") * 3).traffic)
    (sample,) = history.close_intervals(_START + 20, _KNOWN)
    assert (sample.repaired, sample.given_up, sample.status_4xx, sample.error_rate) == (2, 3, 3, 0)


def test_samples_prefer_counted_connections_to_estimated_ones() -> None:
    history = History()
    history.add(tally(line(_START)).traffic)
    history.note("web", _START, Gauges(1, connections=7))
    assert history.close_intervals(_START + 20, _KNOWN)[0].connections == 7


def test_samples_without_an_access_log_know_all_but_the_requests() -> None:
    history = History()
    history.note("web", _START, Gauges(1, cpu_percent=50))
    (sample,) = history.close_intervals(_START + 20, {"web": False})
    assert (sample.cpu_percent, sample.rps, sample.status_2xx, sample.repaired) == (50, None, None, None)


def test_samples_recorded_before_a_restart_are_not_recorded_again() -> None:
    history = History(recorded_until=_START + 10)
    history.add(tally(line(_START + 9.9) + line(_START + 10)).traffic)
    (sample,) = history.close_intervals(_START + 30, _KNOWN)
    assert (sample.at, sample.status_2xx) == (_START + 20, 1)


def test_samples_of_the_time_that_the_controller_was_away_are_told_from_the_log() -> None:
    history = History(recorded_until=_START)
    history.add(tally(line(_START + 5) + line(_START + 15)).traffic)
    history.note("web", _START + 40, Gauges(2, cpu_percent=50))
    samples = history.close_intervals(_START + 41, _KNOWN)
    assert [(s.at - _START, s.rps, s.cpu_percent, s.replicas) for s in samples] == [
        (10, 0.1, None, 2),
        (20, 0.1, None, 2),
    ]


def test_a_late_line_of_the_log_changes_no_sample_that_was_given_out() -> None:
    history = History()
    history.add(tally(line(_START)).traffic)
    assert len(history.close_intervals(_START + 20, _KNOWN)) == 1
    history.add(tally(line(_START + 1)).traffic)
    assert history.close_intervals(_START + 40, _KNOWN) == ()


def test_apps_that_are_gone_leave_no_open_interval_behind() -> None:
    history = History()
    history.add(tally(line(_START, app="gone") + line(_START, app="-")).traffic)
    assert history.close_intervals(_START + 20, {}) == ()
    assert not history._open

"""Percentages from counters, and when they are unknown."""

from __future__ import annotations

import pytest

from reconciler.load.usage import MAX_KEPT, HostSize, Usage, UsageHistory

_HOST = HostSize(cores=4, memory_bytes=1000)


def history_of(*looks: Usage | None, span_seconds: float = 20) -> UsageHistory:
    history = UsageHistory(_HOST)
    history.span_seconds = span_seconds
    for look in looks:
        history.add(look)
    return history


def look(at: float, cpu_seconds: float, **limits: float) -> Usage:
    return Usage(at, cpu_seconds, memory_bytes=100, **limits)  # type: ignore[arg-type]


def test_usage_is_in_percent_of_the_limit() -> None:
    history = history_of(look(0, 0, cpu_limit_cores=0.5), look(10, 4, cpu_limit_cores=0.5, memory_limit_bytes=200))
    assert history.cpu_percent(20) == pytest.approx(80)
    assert history.memory_percent == 50


def test_usage_without_a_limit_is_in_percent_of_the_host() -> None:
    history = history_of(look(0, 0), look(10, 4))
    assert history.cpu_percent(20) == pytest.approx(10)
    assert history.memory_percent == 10


def test_a_memory_limit_above_the_host_is_the_host() -> None:
    assert history_of(look(0, 0, memory_limit_bytes=5000)).memory_percent == 10


def test_only_the_window_counts_for_cpu_usage() -> None:
    history = history_of(*(look(at, at if at <= 10 else 10, cpu_limit_cores=1) for at in range(31)))
    assert history.cpu_percent(20) == 0
    assert history_of(*(look(at, at, cpu_limit_cores=1) for at in range(31))).cpu_percent(5) == pytest.approx(100)


def test_looks_at_usage_further_apart_than_the_window_still_count() -> None:
    assert history_of(look(0, 0), look(30, 30), span_seconds=1).cpu_percent(1) == pytest.approx(25)


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param((), id="never seen"),
        pytest.param((look(0, 5),), id="first look"),
        pytest.param((look(0, 5), look(1, 0)), id="restarted"),
        pytest.param((look(0, 5), look(1, 6), None), id="vanished"),
        pytest.param((look(0, 5), None, look(1, 6)), id="back again"),
        pytest.param((look(0, 5), look(0, 5)), id="the same look twice"),
    ],
)
def test_unknown_usage_is_none_and_never_zero(looks: tuple[Usage | None, ...]) -> None:
    assert history_of(*looks).cpu_percent(20) is None


def test_memory_of_a_container_that_vanished_is_unknown() -> None:
    history = history_of(look(0, 5), None)
    assert history.memory_percent is None


def test_usage_begins_anew_after_a_restart_of_the_container() -> None:
    history = history_of(look(0, 50, cpu_limit_cores=1), look(1, 1, cpu_limit_cores=1), look(2, 1.5, cpu_limit_cores=1))
    assert history.cpu_percent(20) == pytest.approx(50)


@pytest.mark.parametrize("span_seconds", [1, 20, 86_400])
def test_the_history_of_usage_is_bounded_and_the_window_is_still_right(span_seconds: float) -> None:
    looks = (look(at, at / 2 if at < 4000 else 2000 + (at - 4000), cpu_limit_cores=1) for at in range(5000))
    history = history_of(*looks, span_seconds=span_seconds)
    assert len(history._kept) <= MAX_KEPT + 1
    whole = 100 if span_seconds < 1000 else 60
    assert history.cpu_percent(span_seconds) == pytest.approx(whole, rel=0.01)
    assert history.latest_cpu_percent == pytest.approx(100)

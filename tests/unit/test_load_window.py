"""Rates over windows: what is known, from when on, and at what memory."""

from __future__ import annotations

import pytest

from reconciler.load.traffic import tally
from reconciler.load.window import SLOTS_PER_WINDOW, AppTraffic, Windows, WindowTraffic
from tests.support.access_log import line

_START = 1_000_000.0


def windows_with(lines: bytes, window_seconds: float = 20, covered_since: float = _START) -> Windows:
    windows = Windows()
    windows.configure({"web": window_seconds}, covered_since)
    windows.add(tally(lines).traffic)
    return windows


def window_of(windows: Windows, window_seconds: float, until: float) -> WindowTraffic:
    window = windows.window("web", window_seconds, until)
    assert window is not None
    return window


def steady(count: int, per_second: int, **values: str) -> bytes:
    return b"".join(line(_START + number / per_second, **values) for number in range(count))


def test_a_window_has_the_rate_latency_and_connections_of_a_steady_load() -> None:
    windows = windows_with(steady(1000, 50, upstream_seconds="0.100"))
    served = window_of(windows, 20, _START + 20)
    assert served.rps == pytest.approx(50)
    assert served.p95_latency_ms == pytest.approx(100, rel=0.02)
    assert served.connections == pytest.approx(5)  # 50 a second, a tenth of a second each


def test_only_requests_within_the_window_count() -> None:
    windows = windows_with(steady(1000, 50) + line(_START + 30))
    assert window_of(windows, 20, _START + 31).traffic.requests == 451


def test_of_a_window_of_requests_that_is_only_partly_known_the_known_part_counts() -> None:
    windows = windows_with(steady(500, 50))
    assert window_of(windows, 20, _START + 10).rps == pytest.approx(50)


def test_a_window_of_which_too_little_is_known_is_unknown_and_not_zero() -> None:
    windows = windows_with(steady(100, 50))
    assert windows.window("web", 20, _START + 2) is None
    assert windows.window("web", 2, _START + 2) is not None


def test_an_idle_app_is_known_to_be_idle() -> None:
    served = window_of(windows_with(b""), 20, _START + 20)
    assert (served.rps, served.p95_latency_ms, served.connections, served.traffic.error_rate) == (0, 0, 0, 0)


def test_requests_of_an_app_that_nobody_asked_about_are_unknown() -> None:
    assert windows_with(b"").window("shop", 20, _START + 20) is None


def test_another_length_of_the_window_keeps_what_is_known_of_requests() -> None:
    windows = windows_with(steady(1000, 50))
    windows.configure({"web": 60}, _START + 20)
    assert window_of(windows, 60, _START + 21).traffic.requests == 1000


@pytest.mark.parametrize("window_seconds", [1, 20, 600, 86_400])
def test_traffic_in_memory_is_bounded_whatever_the_window(window_seconds: float) -> None:
    app = AppTraffic(window_seconds, _START)
    traffic = tally(line(_START)).traffic.popitem()[1]
    step = max(1, int(window_seconds / 2000))
    for second in range(0, int(window_seconds) * 2 + 1, step):
        app.add(int(_START) + second, traffic)
        app.forget(_START + second - window_seconds)
    assert len(app._slots) <= 2 * SLOTS_PER_WINDOW

"""What each app served lately: traffic by app and time, summed up over any window that ends near now.

Memory is bounded: an app's traffic is kept in slots, some twenty to its policy's window, for as long as that looks
back. A window is answered for the part of it that the log covers, and not at all where that is too little: a second of
a quiet night must not pass for an idle app.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor

from reconciler.load.traffic import Key, TrafficCounts

SLOTS_PER_WINDOW = 20
# A window of which the log covers less is unknown.
MIN_COVERED_SECONDS = 5.0
# Windows end this long ago at the most: a log comes with a delay.
LATEST_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class WindowTraffic:
    """Traffic of a window, of which ``covered_seconds`` are known."""

    traffic: TrafficCounts
    covered_seconds: float

    @property
    def rps(self) -> float:
        return self.traffic.requests / self.covered_seconds

    @property
    def connections(self) -> float:
        """Requests in hand at a time, on average, by Little's law: arrivals per second times seconds in hand.

        What has not ended is not in the log, so open websockets and answers still under way are missing until they
        end. Replicas' idle keep-alive connections to nginx are no requests, and rightly missing.
        """
        return self.traffic.busy_ms / 1000 / self.covered_seconds

    @property
    def p95_latency_ms(self) -> float:
        """The latency that 95 % of the requests stayed within; 0 where nothing was asked: nobody waited."""
        return self.traffic.latencies.quantile(0.95) or 0.0


class AppTraffic:
    """One app's traffic in slots, kept for ``span_seconds``, known from ``covered_since`` (epoch seconds) on."""

    def __init__(self, span_seconds: float, covered_since: float) -> None:
        self.span_seconds = span_seconds
        self.covered_since = covered_since
        self.slot_seconds = max(1, floor(span_seconds / SLOTS_PER_WINDOW))
        self._slots: dict[int, TrafficCounts] = {}

    def add(self, second: int, traffic: TrafficCounts) -> None:
        self._slots.setdefault(second // self.slot_seconds, TrafficCounts()).merge(traffic)

    def forget(self, before: float) -> None:
        """Drop the slots that ended by ``before`` (epoch seconds)."""
        for number in [number for number in self._slots if (number + 1) * self.slot_seconds <= before]:
            del self._slots[number]

    def window(self, window_seconds: float, until: float) -> WindowTraffic | None:
        """The window that ends at ``until``, in whole slots; None where too little of it is known."""
        last = floor(until / self.slot_seconds)
        first = floor(max(until - window_seconds, self.covered_since) / self.slot_seconds)
        covered_seconds = float((last - first) * self.slot_seconds)
        if covered_seconds < min(window_seconds, MIN_COVERED_SECONDS):
            return None
        total = TrafficCounts()
        for number in range(first, last):
            if slot := self._slots.get(number):
                total.merge(slot)
        return WindowTraffic(total, covered_seconds)

    def resized(self, span_seconds: float) -> AppTraffic:
        """The same traffic for another window; itself where that doesn't differ."""
        if span_seconds == self.span_seconds:
            return self
        other = AppTraffic(span_seconds, self.covered_since)
        for number, traffic in self._slots.items():
            other.add(number * self.slot_seconds, traffic)
        return other


class Windows:
    """The recent traffic of every app that is asked about."""

    def __init__(self) -> None:
        self._apps: dict[str, AppTraffic] = {}

    def configure(self, spans: Mapping[str, float], covered_since: float) -> None:
        """Keep the traffic of these apps, each with the longest window asked of it, in seconds.

        For an app that is new here, the log counts as known from ``covered_since`` on.
        """
        self._apps = {
            app_name: self._apps[app_name].resized(span) if app_name in self._apps else AppTraffic(span, covered_since)
            for app_name, span in spans.items()
        }

    def add(self, traffic: Mapping[Key, TrafficCounts]) -> None:
        for key, part in traffic.items():
            if app := self._apps.get(key.app_name):
                app.add(key.second, part)

    def forget_old(self, now: float) -> None:
        for app in self._apps.values():
            app.forget(now - app.span_seconds - 2 * app.slot_seconds - LATEST_END_SECONDS)

    def window(self, app_name: str, window_seconds: float, until: float) -> WindowTraffic | None:
        app = self._apps.get(app_name)
        return app.window(window_seconds, until) if app else None

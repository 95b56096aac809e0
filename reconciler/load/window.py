"""What each app served lately: traffic by app, replica and time, summed up over any window that ends near now.

Memory is bounded: an app's traffic is kept in slots, some twenty to its policy's window, for as long as the longest
question about it looks back. A window is answered for the part of it that the log covers, and not at all where that
is too little: a second of a quiet night must not pass for an idle app.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor

from reconciler.load.traffic import Key, Traffic

SLOTS_PER_WINDOW = 20
MOST_SLOTS = 600
# A window of which the log covers less is unknown.
LEAST_COVERED_SECONDS = 5.0
# Windows end this long ago at the most: a log comes with a delay.
LATEST_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Served:
    """Traffic of a window, of which ``covered_seconds`` are known."""

    traffic: Traffic
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
        """0 where nothing was asked: nobody waited."""
        return self.traffic.latencies.quantile(0.95) or 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """What an app served in a window, by the address of the replica (``-``: answered by nginx alone)."""

    by_address: Mapping[str, Traffic]
    covered_seconds: float

    def served(self, wanted: Callable[[str], bool] = lambda _: True) -> Served:
        """By the replicas whose addresses are wanted, taken together."""
        total = Traffic()
        for address, traffic in self.by_address.items():
            if wanted(address):
                total.merge(traffic)
        return Served(total, self.covered_seconds)


class AppTraffic:
    """One app's traffic in slots, kept for ``span_seconds``, known from ``covered_since`` (epoch seconds) on."""

    def __init__(self, shortest_seconds: float, span_seconds: float, covered_since: float) -> None:
        self.span_seconds = span_seconds
        self.covered_since = covered_since
        self.slot_seconds = max(1, floor(shortest_seconds / SLOTS_PER_WINDOW), floor(span_seconds / MOST_SLOTS))
        self._slots: dict[int, dict[str, Traffic]] = {}

    def add(self, second: int, address: str, traffic: Traffic) -> None:
        slot = self._slots.setdefault(second // self.slot_seconds, {})
        slot.setdefault(address, Traffic()).merge(traffic)

    def forget(self, before: float) -> None:
        """Drop the slots that ended by ``before`` (epoch seconds)."""
        for number in [number for number in self._slots if (number + 1) * self.slot_seconds <= before]:
            del self._slots[number]

    def window(self, window_seconds: float, until: float) -> Window | None:
        """The window that ends at ``until``, in whole slots; None where too little of it is known."""
        last = floor(until / self.slot_seconds)
        first = floor(max(until - window_seconds, self.covered_since) / self.slot_seconds)
        covered_seconds = float((last - first) * self.slot_seconds)
        if covered_seconds < min(window_seconds, LEAST_COVERED_SECONDS):
            return None
        by_address: dict[str, Traffic] = {}
        for number in range(first, last):
            for address, traffic in self._slots.get(number, {}).items():
                by_address.setdefault(address, Traffic()).merge(traffic)
        return Window(by_address, covered_seconds)

    def resized(self, shortest_seconds: float, span_seconds: float) -> AppTraffic:
        """The same traffic for other windows; itself where they don't differ."""
        other = AppTraffic(shortest_seconds, span_seconds, self.covered_since)
        if (other.slot_seconds, span_seconds) == (self.slot_seconds, self.span_seconds):
            return self
        for number, slot in self._slots.items():
            for address, traffic in slot.items():
                other.add(number * self.slot_seconds, address, traffic)
        return other


class Windows:
    """The recent traffic of every app that is asked about."""

    def __init__(self) -> None:
        self._apps: dict[str, AppTraffic] = {}

    def configure(self, spans: Mapping[str, tuple[float, float]], covered_since: float) -> None:
        """Keep these apps, each with the shortest and the longest window asked of it, in seconds.

        For an app that is new here, the log counts as known from ``covered_since`` on.
        """
        self._apps = {
            app_name: self._apps[app_name].resized(*span)
            if app_name in self._apps
            else AppTraffic(*span, covered_since)
            for app_name, span in spans.items()
        }

    def add(self, traffic: Mapping[Key, Traffic]) -> None:
        for key, part in traffic.items():
            if app := self._apps.get(key.app_name):
                app.add(key.second, key.address, part)

    def forget_old(self, now: float) -> None:
        for app in self._apps.values():
            app.forget(now - app.span_seconds - 2 * app.slot_seconds - LATEST_END_SECONDS)

    def window(self, app_name: str, window_seconds: float, until: float) -> Window | None:
        app = self._apps.get(app_name)
        return app.window(window_seconds, until) if app else None

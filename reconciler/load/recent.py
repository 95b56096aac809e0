"""What the edge answered in the last five minutes, by app and by replica: for people, who come to look after the fact.

Totals that are kept up as lines come in and pass out of sight, so that a look costs nothing, however many apps there
are. No decision is made by them: the windows of policies are `window`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import floor

from reconciler.load.traffic import Key, TrafficCounts
from reconciler.load.window import MIN_COVERED_SECONDS
from reconciler.model.load import RecentTraffic

WINDOW_SECONDS = 300.0
_SLOT_SECONDS = 5


@dataclass(slots=True)
class _Counts:
    """Counts of answers, and of tries that failed and were repeated elsewhere."""

    requests: int = 0
    errors: int = 0
    failed_tries: int = 0
    repaired: int = 0
    given_up: int = 0

    def add(self, traffic: TrafficCounts) -> None:
        self.requests += traffic.requests
        self.errors += traffic.statuses[5]
        self.failed_tries += traffic.failed_tries
        self.repaired += traffic.repaired
        self.given_up += traffic.given_up

    def subtract(self, other: _Counts) -> None:
        self.requests -= other.requests
        self.errors -= other.errors
        self.failed_tries -= other.failed_tries
        self.repaired -= other.repaired
        self.given_up -= other.given_up


class _AppCounts:
    """The counts of one app: in all, and of each of its replicas by address. Known from ``covered_since`` on."""

    def __init__(self, covered_since: float) -> None:
        self.covered_since = covered_since
        self.total = _Counts()
        self.by_address: dict[str, _Counts] = {}
        self._slots: dict[int, dict[str, _Counts]] = {}

    def add(self, key: Key, traffic: TrafficCounts) -> None:
        slot = self._slots.setdefault(key.second // _SLOT_SECONDS, {})
        for counts in (
            self.total,
            self.by_address.setdefault(key.address, _Counts()),
            slot.setdefault(key.address, _Counts()),
        ):
            counts.add(traffic)

    def forget(self, before: float) -> None:
        """Drop the slots that ended by ``before`` (epoch seconds)."""
        for number in [number for number in self._slots if (number + 1) * _SLOT_SECONDS <= before]:
            for address, gone in self._slots.pop(number).items():
                self.total.subtract(gone)
                self.by_address[address].subtract(gone)
                if self.by_address[address] == _Counts():
                    del self.by_address[address]


class Recent:
    """The recent traffic of every app that is asked about, up to the last look at the log."""

    def __init__(self) -> None:
        self._apps: dict[str, _AppCounts] = {}
        self._until = 0.0

    def configure(self, app_names: Collection[str], covered_since: float) -> None:
        """Keep the traffic of these apps. For one that is new here, the log counts as known from ``covered_since``
        on."""
        self._apps = {name: self._apps.get(name) or _AppCounts(covered_since) for name in app_names}

    def add(self, traffic: Mapping[Key, TrafficCounts]) -> None:
        for key, part in traffic.items():
            app = self._apps.get(key.app_name)
            # Other counts are of time in hand, also before the request ended.
            if app and (part.requests or part.failed_tries) and key.second >= floor(app.covered_since):
                app.add(key, part)

    def seen_until(self, now: float) -> None:
        """The log was read to its end at ``now``: what passes out of sight by then is forgotten."""
        self._until = now
        for app in self._apps.values():
            app.forget(now - WINDOW_SECONDS)

    def of_app(self, app_name: str) -> RecentTraffic | None:
        """What the app's clients were answered; None where too little is known."""
        app = self._apps.get(app_name)
        covered_seconds = self._covered_seconds(app)
        if app is None or covered_seconds is None:
            return None
        counts = app.total
        return RecentTraffic(covered_seconds, counts.requests, counts.errors, counts.repaired, counts.given_up)

    def of_replica(self, app_name: str, address: str) -> RecentTraffic | None:
        """What a replica was asked, and failed; None where too little is known."""
        app = self._apps.get(app_name)
        covered_seconds = self._covered_seconds(app)
        if app is None or covered_seconds is None:
            return None
        counts = app.by_address.get(address, _Counts())
        asked, failed = counts.requests + counts.failed_tries, counts.errors + counts.failed_tries
        return RecentTraffic(covered_seconds, asked, failed, given_up=counts.given_up)

    def _covered_seconds(self, app: _AppCounts | None) -> float | None:
        covered_seconds = min(WINDOW_SECONDS, self._until - app.covered_since) if app else 0.0
        return covered_seconds if covered_seconds >= MIN_COVERED_SECONDS else None

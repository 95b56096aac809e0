"""Requests in flight as the edge counts them, where it can: the mean over a window.

An address the edge has no count for is unknown. An app is counted as soon as one of its replicas is: those without a
count get no requests from this edge.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean

# Of a longer window than as many looks, the mean is over its last part.
MAX_COUNTS = 600

Count = Callable[[], Mapping[str, int]]


class OpenRequests:
    """The requests in flight of each app, as the edge counts them. ``count`` gives those by replica address
    (``10.0.0.7``, or with a port)."""

    def __init__(self, count: Count | None) -> None:
        self._count = count
        self._totals: dict[str, deque[tuple[float, int]]] = {}

    def look(self, addresses: Mapping[str, Iterable[str]], spans: Mapping[str, float]) -> None:
        """Count once. ``addresses`` of each app's replicas, and how many seconds to keep its counts, by app name."""
        if self._count is None:
            return
        now = _by_host(self._count())
        self._totals = {name: self._totals.get(name) or deque(maxlen=MAX_COUNTS) for name in addresses}
        at = time.monotonic()
        for app_name, of_app in addresses.items():
            counted = [now[address] for address in of_app if address in now]
            if counted:
                self._totals[app_name].append((at, sum(counted)))
            _forget(self._totals[app_name], at - spans[app_name])

    def of_app(self, app_name: str) -> float | None:
        """The mean of an app's counts over its span; None where the edge can't tell."""
        totals = self._totals.get(app_name)
        return fmean(total for _, total in totals) if totals else None


def _by_host(counts: Mapping[str, int]) -> dict[str, int]:
    hosts: dict[str, int] = {}
    for address, count in counts.items():
        host = address.partition(":")[0]
        hosts[host] = hosts.get(host, 0) + count
    return hosts


def _forget(totals: deque[tuple[float, int]], before: float) -> None:
    while totals and totals[0][0] < before:
        totals.popleft()

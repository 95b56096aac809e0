"""Latencies as counts in fixed buckets, so that what was measured apart can be added up.

Up to 64 ms a bucket is a millisecond, the resolution of nginx's log; from there each doubling is cut into 32 buckets,
so a quantile is off by at most 1/64 of itself. The buckets never depend on the data: merging is adding.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

_EXACT_BELOW_MS = 64
_EXACT_BITS = 6
_BUCKETS_PER_DOUBLING = 32


class Histogram:
    """How many requests took how long, in whole milliseconds."""

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.total = 0

    def add(self, milliseconds: int, count: int = 1) -> None:
        bucket = bucket_of(milliseconds)
        self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.total += count

    def merge(self, other: Histogram) -> None:
        counts = self._counts
        for bucket, count in other._counts.items():
            counts[bucket] = counts.get(bucket, 0) + count
        self.total += other.total

    def quantiles(self, shares: Iterable[float]) -> list[float | None]:
        """The latency that each share (0–1, ascending) of the requests did not exceed; None where there were none."""
        if not self.total:
            return [None for _ in shares]
        latencies: list[float | None] = []
        buckets = iter(sorted(self._counts.items()))
        bucket, cumulative = next(buckets)
        for share in shares:
            rank = max(1, ceil(share * self.total))
            while cumulative < rank:
                bucket, count = next(buckets)
                cumulative += count
            latencies.append(middle_of(bucket))
        return latencies

    def quantile(self, share: float) -> float | None:
        return self.quantiles([share])[0]


def bucket_of(milliseconds: int) -> int:
    if milliseconds < _EXACT_BELOW_MS:
        return max(0, milliseconds)
    doublings = milliseconds.bit_length() - _EXACT_BITS
    return doublings * _BUCKETS_PER_DOUBLING + (milliseconds >> doublings)


def middle_of(bucket: int) -> float:
    """The middle of a bucket's range, in milliseconds."""
    if bucket < _EXACT_BELOW_MS:
        return float(bucket)
    doublings = bucket // _BUCKETS_PER_DOUBLING - 1
    width = 1 << doublings
    lowest = (bucket - doublings * _BUCKETS_PER_DOUBLING) << doublings
    return lowest + (width - 1) / 2

"""Quantiles from buckets, against the plain definition on the plain list."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.load.histogram import Histogram, bucket_of, middle_of

_LATENCIES = st.lists(st.integers(min_value=0, max_value=10_000_000), min_size=1)
_SHARES = st.floats(min_value=0.001, max_value=1)


def histogram_of(latencies: list[int]) -> Histogram:
    histogram = Histogram()
    for latency in latencies:
        histogram.add(latency)
    return histogram


@given(_LATENCIES, _SHARES)
def test_a_quantile_of_the_histogram_is_off_by_less_than_two_percent(latencies: list[int], share: float) -> None:
    exact = sorted(latencies)[ceil(share * len(latencies)) - 1]
    assert histogram_of(latencies).quantile(share) == pytest.approx(exact, rel=1 / 60, abs=1e-9)


@given(_LATENCIES, _LATENCIES, _SHARES)
def test_histograms_merged_are_as_if_measured_together(some: list[int], others: list[int], share: float) -> None:
    together = histogram_of(some + others)
    merged = histogram_of(some)
    merged.merge(histogram_of(others))
    assert merged.total == together.total
    assert merged.quantile(share) == together.quantile(share)


@given(st.integers(min_value=0, max_value=1 << 40))
def test_buckets_of_the_histogram_keep_the_order_and_contain_their_middle(latency: int) -> None:
    assert bucket_of(latency) <= bucket_of(latency + 1) <= bucket_of(latency) + 1
    assert bucket_of(round(middle_of(bucket_of(latency)))) == bucket_of(latency)


def test_latencies_below_64_ms_are_kept_exactly() -> None:
    assert [middle_of(bucket_of(latency)) for latency in range(64)] == list(range(64))


def test_a_quantile_of_nothing_is_unknown() -> None:
    assert Histogram().quantiles((0.5, 0.95)) == [None, None]


def test_several_quantiles_at_once_are_the_same_as_each_alone() -> None:
    histogram = histogram_of([1, 2, 3, 4, 100])
    assert histogram.quantiles((0.2, 0.5, 0.8, 1)) == [1, 3, 4, histogram.quantile(1)]

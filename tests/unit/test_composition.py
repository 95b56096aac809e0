"""How many replicas an app may have too many or too few."""

from __future__ import annotations

import pytest

from reconciler.decide.composition import resolved


@pytest.mark.parametrize(
    ("amount", "count", "surge", "unavailable"),
    [(3, 10, 3, 3), ("25%", 4, 1, 1), ("25%", 5, 2, 1), ("25%", 3, 1, 0), ("100%", 3, 3, 3), ("0%", 7, 0, 0)],
)
def test_a_share_of_the_count_is_rounded_up_for_surge_and_down_for_what_may_be_unavailable(
    amount: int | str, count: int, surge: int, unavailable: int
) -> None:
    assert resolved(amount, count, round_up=True) == surge
    assert resolved(amount, count, round_up=False) == unavailable

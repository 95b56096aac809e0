"""The rhythm of routine checks: spread over the period, and remembering nothing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.probe.prober import next_due

_TIMES = st.floats(min_value=0, max_value=1e7)
_PERIODS = st.floats(min_value=0.1, max_value=86400)


@given(now=_TIMES, period_seconds=_PERIODS, container_id=st.text())
def test_a_check_is_due_within_a_period_and_in_step_ever_after(
    now: float, period_seconds: float, container_id: str
) -> None:
    due = next_due(now, period_seconds, container_id)
    assert now < due <= now + period_seconds * (1 + 1e-6)
    just_after = due + period_seconds / 1000
    assert next_due(just_after, period_seconds, container_id) == pytest.approx(due + period_seconds, abs=1e-6)


@given(now=_TIMES, period_seconds=_PERIODS, share=st.floats(min_value=0, max_value=0.999))
def test_asking_early_does_not_move_the_rhythm_of_a_check(now: float, period_seconds: float, share: float) -> None:
    due = next_due(now, period_seconds, "c1")
    earlier = now + (due - now) * share
    if earlier < due:
        assert next_due(earlier, period_seconds, "c1") == pytest.approx(due, abs=1e-6)


@pytest.mark.parametrize(("period_seconds", "max_together"), [(10.0, 60), (1.0, 80), (0.1, 80)])
def test_three_hundred_checks_do_not_fire_together(period_seconds: float, max_together: int) -> None:
    dues = Counter(round(next_due(1000.0, period_seconds, f"container-{number}"), 6) for number in range(300))
    assert max(dues.values()) <= max_together

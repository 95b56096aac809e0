"""How long a tick waits for the Engine: five seconds, more where it is slow as a rule, and now and then."""

from __future__ import annotations

from reconciler.runtime.patience import LONG_LOOK_SECONDS, LOOK_SECONDS, LookPatience


def test_a_look_at_an_engine_that_answers_quickly_may_take_five_seconds() -> None:
    patience = LookPatience()
    assert patience.seconds == LOOK_SECONDS == 5.0
    patience.saw(0.2)
    assert patience.seconds == LOOK_SECONDS


def test_an_engine_that_needs_long_is_given_twice_that_and_never_more_than_fifteen_seconds() -> None:
    patience = LookPatience()
    patience.saw(4.0)
    assert patience.seconds == 8.0
    patience.saw(12.0)
    assert patience.seconds == LONG_LOOK_SECONDS == 15.0
    patience.saw(0.5)
    assert patience.seconds == LOOK_SECONDS


def test_of_looks_in_vain_one_in_six_may_take_longer_so_that_a_slow_engine_is_seen_at_last() -> None:
    patience, waited = LookPatience(), []
    for _ in range(12):
        waited.append(patience.seconds)
        patience.saw_nothing()
    assert waited == [*[LOOK_SECONDS] * 5, LONG_LOOK_SECONDS] * 2

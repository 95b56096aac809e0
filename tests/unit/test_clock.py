"""A clock that was set back: nothing in the state lies in the future, wherever a moment is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.state.clock import without_future
from reconciler.model.moments import Moment
from reconciler.model.state import State
from tests.support.records import NOW, app_state, replica_state
from tests.support.states import states

_DAY_SECONDS = 86_400.0


def test_a_state_that_the_clock_has_not_left_behind_is_the_very_same() -> None:
    state = State({"web": app_state()}, {"web-1": replica_state(ready_at=NOW)}, as_of=NOW)
    assert without_future(state, NOW) is state
    assert without_future(state, NOW + _DAY_SECONDS) is state


def test_moments_before_the_time_of_a_clock_that_was_set_back_stay_as_they_are() -> None:
    early, late = replica_state(ready_at=NOW - _DAY_SECONDS), replica_state(ready_at=NOW)
    clamped = without_future(State({}, {"web-1": early, "web-2": late}, as_of=NOW), NOW - 60)
    assert clamped.replicas["web-1"].ready_at == NOW - _DAY_SECONDS
    assert clamped.replicas["web-2"].ready_at == NOW - 60


@given(states, st.floats(-1e9, 1e9))
def test_no_moment_of_any_state_is_later_than_the_clock(state: State, now: float) -> None:
    state = replace(state, as_of=max([now, *moments_in(state)]) + 1)
    clamped = without_future(state, now)
    assert [min(moment, now) for moment in moments_in(state)] == list(moments_in(clamped))
    assert _without_moments(clamped) == _without_moments(state), "nothing else changes"


def test_every_time_that_a_state_keeps_is_known_to_be_a_moment() -> None:
    """A new field for a time, named as all are, has to be of the type by which it is found."""
    forgotten = [
        f"{type_.__name__}.{name}"
        for type_ in _types_in(State)
        for name, hint in get_type_hints(type_, include_extras=True).items()
        if name.endswith(("_at", "_since")) or name in ("at", "since", "as_of", "recent")
        if Moment not in (hint, *get_args(hint))
    ]
    assert forgotten == []


def moments_in(value: Any, hint: Any = State) -> Iterator[float]:
    """Every moment in a value of this type, by its own way and not by the code under test."""
    if hint == Moment:
        yield value
    elif is_dataclass(value):
        hints = get_type_hints(type(value), include_extras=True)
        for field in fields(value):
            yield from moments_in(getattr(value, field.name), hints[field.name])
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from moments_in(item, None)
    elif isinstance(value, tuple):
        inner = [part for part in get_args(hint) if part is not Ellipsis]
        for place, item in enumerate(value):
            yield from moments_in(item, inner[place % len(inner)] if inner else None)
    elif isinstance(value, float) and Moment in get_args(hint):
        yield value


def _without_moments(value: Any) -> Any:
    if is_dataclass(value):
        hints = get_type_hints(type(value), include_extras=True)
        kept = [f.name for f in fields(value) if Moment not in (hints[f.name], *get_args(hints[f.name]))]
        return [_without_moments(getattr(value, name)) for name in kept if name != "recommendations"]
    if isinstance(value, Mapping):
        return {key: _without_moments(item) for key, item in value.items()}
    return [_without_moments(item) for item in value] if isinstance(value, tuple) else value


def _types_in(type_: Any) -> Iterator[type]:
    """A dataclass, and all that its fields are made of."""
    if is_dataclass(type_):
        yield type_  # type: ignore[misc]
        for hint in get_type_hints(type_).values():
            yield from _types_in(hint)
    for argument in get_args(type_):
        yield from _types_in(argument)

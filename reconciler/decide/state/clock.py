"""What a clock that was set back means: nothing in the state lies in the future.

Without this, a wait would become as long as the clock's step: a drain, a deadline, a back-off of hours. Clamped to
now, each costs its own length once more at the most. A clock set forward needs no rule: it is as if nobody had looked
for a while, which a controller that was down has to cope with as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from reconciler.model.moments import Moment
from reconciler.model.state import State


def without_future(state: State, now: float) -> State:
    """The state with every moment later than ``now`` moved to it; itself where the clock was not set back."""
    if now >= state.as_of:
        return state
    clamped: State = _clamped(state, State, now)
    return clamped


def _clamped(value: Any, hint: Any, now: float) -> Any:
    """The value, which is of the type ``hint``, with every moment in it at most ``now``."""
    arguments = get_args(hint)
    if hint == Moment:
        return min(value, now)
    if get_origin(hint) in (Union, UnionType) and value is not None:
        return _clamped(value, next(member for member in arguments if member is not type(None)), now)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{name: _clamped(getattr(value, name), of, now) for name, of in _fields(type(value))})
    if isinstance(value, Mapping) and arguments:
        return {key: _clamped(item, arguments[1], now) for key, item in value.items()}
    if isinstance(value, tuple) and arguments:
        hints = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_clamped(item, of, now) for item, of in zip(value, hints, strict=True))
    return value


@cache
def _fields(type_: Any) -> tuple[tuple[str, Any], ...]:
    """The fields of a dataclass with their types, such as `Moment`, resolved."""
    hints = get_type_hints(type_, include_extras=True)
    return tuple((field.name, hints[field.name]) for field in fields(type_))

"""Values as rows of the tables, and rows as values again: a column holds the field of its name. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, get_origin, get_type_hints

import sqlalchemy as sa

from reconciler.store.codec import Codec

T = TypeVar("T")
Row = dict[str, Any]


def row_of(value: Any) -> Row:
    """The fields of a value as columns."""
    names, codecs = _fields(value.__class__)
    row = {name: getattr(value, name) for name in names}
    return row | {name: codec.encode(row[name]) for name, codec in codecs.items()}


def value_of(type_: Callable[..., T], row: sa.RowMapping, **known: Any) -> T:
    """The value of this type whose fields are columns of the row, but for those ``known``. Raises Unreadable."""
    names, codecs = _fields(type_)
    values = {name: row[name] for name in names if name not in known}
    values |= {name: codec.decode(values[name]) for name, codec in codecs.items() if name not in known}
    return type_(**values, **known)


@cache
def _fields(type_: Any) -> tuple[tuple[str, ...], dict[str, Codec[Any]]]:
    """The fields of a dataclass, and the codecs of those that are no single text or number, which are kept as JSON."""
    hints = get_type_hints(type_)
    return tuple(hints), {name: Codec(hint) for name, hint in hints.items() if get_origin(hint) in (Mapping, tuple)}

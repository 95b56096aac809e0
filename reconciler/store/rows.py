"""Values as rows of the tables, and rows as values again: a column holds the field of its name. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa

from reconciler.store import codec
from reconciler.store.codec import Codec

T = TypeVar("T")
Row = dict[str, Any]

# Fields that are neither text nor a number are kept as JSON.
_CODECS: dict[str, Codec[Any]] = {
    "custom": codec.CUSTOM,
    "details": codec.DETAILS,
    "notices": codec.NOTICES,
    "problems": codec.PROBLEMS,
}


def row_of(value: Any) -> Row:
    """The fields of a value as columns."""
    names, coded = _names(value.__class__)
    row = {name: getattr(value, name) for name in names}
    for name in coded:
        row[name] = _CODECS[name].encode(row[name])
    return row


def value_of(type_: Callable[..., T], row: sa.RowMapping, **known: Any) -> T:
    """The value of this type whose fields are columns of the row, but for those ``known``. Raises Unreadable."""
    names, coded = _names(type_)
    values = {name: row[name] for name in names if name not in known} | known
    for name in coded - known.keys():
        values[name] = _CODECS[name].decode(row[name])
    return type_(**values)


@cache
def _names(type_: Any) -> tuple[tuple[str, ...], frozenset[str]]:
    """Of the fields of a dataclass: of all, and of those that are kept as JSON."""
    names = tuple(field.name for field in fields(type_))
    return names, frozenset(names) & _CODECS.keys()

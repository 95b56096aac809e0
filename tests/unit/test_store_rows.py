"""What the store keeps of the past is rows whose columns have the names of the values' fields."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import sqlalchemy as sa

from reconciler.model.desired import Problem
from reconciler.model.events import Event
from reconciler.model.load import LoadSample
from reconciler.model.recorded import ActionRecord, Controller, RevisionRecord
from reconciler.store import tables
from reconciler.store.changes import Header
from reconciler.store.rows import row_of, value_of
from tests.support.records import NOW

PROBLEM = Problem("web.yaml", None, "", "nothing", "an app", "web")
VALUES = [
    (Event(NOW, "app", "registered", "web", {"revision": "one"}), tables.events),
    (ActionRecord("web", "start", "web-1", "it has stopped", NOW, NOW + 1, "failed", "Busy", "busy"), tables.actions),
    (RevisionRecord("one", NOW, ("mind the gap",), (PROBLEM,)), tables.revisions),
    (LoadSample("web", NOW, 10, 2, rps=1.5, status_2xx=7, custom={"queue": 7.0, "lag": None}), tables.samples),
    (Controller("default", "1.0", "host", 7, NOW, NOW, notices=("a",), problems=(PROBLEM,)), tables.controllers),
    (Header("one", "10.0.0.2", "/specs", "nginx", ("a",), (PROBLEM,)), tables.controllers),
]


@pytest.mark.parametrize(("value", "table"), VALUES)
def test_every_field_of_a_recorded_value_has_a_column_and_reads_back_from_it(value: Any, table: sa.Table) -> None:
    assert {field.name for field in fields(value)} <= set(table.c.keys())
    row: Any = row_of(value)
    assert all(isinstance(column, str | int | float | None) for column in row.values())
    assert value_of(type(value), row) == value


def test_a_field_that_is_known_is_not_read_from_the_row() -> None:
    row: Any = row_of(VALUES[2][0]) | {"problems": "of another version"}
    assert value_of(RevisionRecord, row, problems=()).problems == ()

"""Which events are told again by whoever doesn't know that they have been recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.events import Event
from reconciler.store.attempt import untold

BORN = Event(1.0, "app", "born", "web")
GROWN = Event(1.0, "app", "grown", "web")
AGAIN = replace(BORN, at=3.0)


@pytest.mark.parametrize(
    ("events", "told", "expected"),
    [
        ((), (), ()),
        ((BORN,), (), (BORN,)),
        ((BORN, GROWN), (BORN,), (GROWN,)),
        ((AGAIN, GROWN), (BORN,), (GROWN,)),
        ((BORN, BORN), (BORN,), (BORN,)),
        # It was carried along, and has happened once more since.
        ((BORN, AGAIN), (BORN,), (AGAIN,)),
        ((AGAIN, BORN), (BORN,), (AGAIN,)),
        ((AGAIN, replace(BORN, at=4.0)), (BORN, BORN), ()),
        ((replace(BORN, app_name="shop"),), (BORN,), (replace(BORN, app_name="shop"),)),
        ((), (BORN,), ()),
    ],
)
def test_an_event_that_is_on_record_already_is_told_once(
    events: tuple[Event, ...], told: tuple[Event, ...], expected: tuple[Event, ...]
) -> None:
    assert untold(events, told) == expected

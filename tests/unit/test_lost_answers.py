"""Which events are told again by whoever doesn't know that they have been recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.events import Event
from reconciler.store.attempt import untold

BORN = Event(1.0, "app", "born", "web")
GROWN = Event(1.0, "app", "grown", "web")
AGAIN = replace(BORN, at=3.0)


def told_late(message: str) -> Event:
    return replace(AGAIN, message=message)


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
        ((told_late("rollout complete after 3.4 s"),), (replace(BORN, message="rollout complete after 1.4 s"),), ()),
        ((told_late("web-2 crashed"),), (replace(BORN, message="web-1 crashed"),), (told_late("web-2 crashed"),)),
    ],
)
def test_an_event_that_is_on_record_already_is_told_once(
    events: tuple[Event, ...], told: tuple[Event, ...], expected: tuple[Event, ...]
) -> None:
    assert untold(events, told) == expected

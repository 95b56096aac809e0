"""An attempt to write a record, whose end may not be known: a COMMIT can arrive while its answer is lost.

Decides which events of a later record are those of the attempt, told again. Pure.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from reconciler.model.events import Event
from reconciler.ports import Record
from reconciler.store.changes import Present

_SPAN = re.compile(r"\d+(?:\.\d+)? (?:ms|s|min|h|d)\b")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A record by an id of its own, what is ``saved`` once it has arrived, and the sentences ``reported`` with it."""

    record: Record
    saved: Present
    reported: tuple[str, ...]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def untold(events: Iterable[Event], told: Iterable[Event]) -> tuple[Event, ...]:
    """The events that were not ``told`` yet. Whoever doesn't know that a record has arrived gives its events again or,
    deciding anew from the state before it, the same ones of a later moment."""
    left = list(told)
    others = [event for event in events if not _taken(left, event)]
    return tuple(event for event in others if not _taken(left, _earlier(left, event)))


def _taken(events: list[Event], event: Event | None) -> bool:
    """Take an event out of the list, and whether it was there."""
    if event is None or event not in events:
        return False
    events.remove(event)
    return True


def _earlier(events: Iterable[Event], event: Event) -> Event | None:
    """The event that tells the same of another moment."""
    return next((other for other in events if _gist(other) == _gist(event)), None)


def _gist(event: Event) -> tuple[str, str | None, str]:
    """What an event tells but for times: how long something took is longer a moment later."""
    return event.type, event.app_name, _SPAN.sub("", event.message)

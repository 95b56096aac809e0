"""Outages as events: each told once when it begins and once when it is over, however many ticks it lasts.

Since when a side is out of reach is part of the state, so that its end is told also by a controller that was started
meanwhile. What an outage means for what is done is no question of this module.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from reconciler.model.events import Event, EventType
from reconciler.model.observed import SIDES, Outage, Side
from reconciler.model.state import State

_TYPES: dict[Side, EventType] = {
    "source": "source",
    "engine": "controller",
    "edge": "routes",
    "store": "controller",
    "disk": "controller",
}


@dataclass(frozen=True, slots=True)
class News:
    """What has changed of outages: the ``state`` that remembers them, and an event for each that has ``begun``, or
    has ``ended``."""

    state: State
    begun: tuple[Event, ...] = ()
    ended: tuple[Event, ...] = ()


def news(state: State, outages: Iterable[Outage], now: float, unseen: Collection[Side] = ()) -> News:
    """What is new where these sides are out of reach now. Of those ``unseen`` it can't be told whether they are."""
    away = {outage.side: outage for outage in outages}
    before = state.outages
    lasting = {side: since for side, since in before.items() if side in away or side in unseen}
    new = {side: outage for side, outage in away.items() if side not in before}
    if not new and len(lasting) == len(before):
        return News(state)
    begun = tuple(Event(now, _TYPES[side], outage.sentence) for side, outage in new.items())
    ended = tuple(_back(side, before[side], now) for side in SIDES if side in before and side not in lasting)
    return News(replace(state, outages={**lasting, **dict.fromkeys(new, now)}), begun, ended)


def _back(side: Side, since: float, now: float) -> Event:
    what, _, back = SIDES[side]
    began = datetime.fromtimestamp(since, UTC)
    span = f"from {began:%Y-%m-%d %H:%M:%S} UTC on, for {max(0.0, now - since):.0f} s"
    return Event(now, _TYPES[side], f"{what} {back} again, which was not so {span}", details={"since": f"{since:.3f}"})

"""`orchestry logs`: what an app's replicas wrote, each line marked with its replica's name.

Decides how lines look, and which recorded ones stand in for containers that are gone. The lines of containers come from
whoever may ask the Engine; here they are only shown, and never obeyed.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.ports import StatusReader
from reconciler.report import BadRequest, dump
from reconciler.report.tables import printable
from reconciler.report.times import clock

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_EVENTS = 1000
_NAME_WITH_SLOT = re.compile(r"(?:.*-)?([1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True)
class LastWords:
    """The last lines of a replica whose program ended, as they are on record; ``at`` in epoch seconds."""

    at: float
    replica: str
    log: str


class Marked:
    """Lines for people: the name of the replica, in a colour of its own on a terminal, and what it wrote."""

    def __init__(self, *, coloured: bool) -> None:
        self._coloured = coloured
        self._colours: dict[str, int] = {}
        self._fresh = itertools.cycle(_COLOURS)
        self._width = 0

    def line(self, replica: str, text: str) -> str:
        self._width = max(self._width, len(replica))
        mark = f"{printable(replica):{self._width}} |"
        if self._coloured:
            colour = self._colours.setdefault(replica, 0) or next(self._fresh)
            self._colours[replica] = colour
            mark = f"\x1b[{colour}m{mark}\x1b[0m"
        return f"{mark} {printable(text)}" if text else mark


def on_terminal() -> bool:
    """Whether lines are for a terminal whose user hasn't said that there should be no colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def slot_of(replica: str | None) -> int | None:
    """The slot that people name: ``web-2``, or ``2``. Raises BadRequest for anything else."""
    if replica is None:
        return None
    named = _NAME_WITH_SLOT.fullmatch(replica)
    if named is None:
        raise BadRequest(f"replica: found {replica!r}; expected the name of one such as web-2, or its number")
    return int(named[1])


def last_words(
    reader: StatusReader, app_name: str, slot: int | None = None, since: float | None = None
) -> tuple[LastWords, ...]:
    """What is on record of replicas that ended, oldest first: the last exit of each that is remembered, and what events
    keep of others. Raises NothingRecorded where there is no such app and never was."""
    events = reader.events(app_name=app_name, since=since, limit=_EVENTS)
    words = [
        LastWords(event.at, _replica(event.details.get("replica") or event.message), event.details["log"])
        for event in events
        if event.details.get("log")
    ]
    recorded = reader.recorded()
    if app_name not in recorded.apps and not events:
        dump.require_known(reader, app_name)
    if app_name in recorded.apps:
        told = {(each.replica, each.log) for each in words}
        for name, state in recorded.apps[app_name].replicas.items():
            at = state.exits.ended_at or max(state.exits.recent, default=0.0)
            if state.exits.log and (name, state.exits.log) not in told and (since is None or at >= since):
                words.append(LastWords(at, name, state.exits.log))
    wanted = (each for each in words if slot is None or each.replica.rpartition("-")[2] == str(slot))
    return tuple(sorted(wanted, key=lambda each: each.at))


def recorded_lines(words: Iterable[LastWords], mark: Marked) -> Iterator[str]:
    """The last words as lines, each part with when it was."""
    for each in words:
        when = f"(ended {clock(each.at)} UTC, its last lines on record)" if each.at else "(its last lines on record)"
        yield mark.line(each.replica, when)
        yield from (mark.line(each.replica, line) for line in each.log.splitlines())


def _replica(text: str) -> str:
    """The name of the replica that a message begins with."""
    return text.partition(" ")[0]

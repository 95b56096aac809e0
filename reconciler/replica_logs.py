"""`logs`: what the replicas of an app write and, where their containers are gone, what is on record of it.

The one report that asks the Engine, as `plan` does. It takes no lock, writes nothing, and works beside a controller.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from reconciler.report.logs import LastWords, Marked, last_words, on_terminal, recorded_lines, slot_of
from reconciler.report.times import parse_since
from reconciler.runtime.logs import Selection
from reconciler.settings import Settings
from reconciler.store import open_reader
from reconciler.wiring import open_logs


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines people ask for: of which replica (``web-2``, or ``2``), not older than what, at most how many of
    each. ``previous``: those on record of containers before."""

    app_name: str
    replica: str | None = None
    since: str | None = None
    tail: int = 100
    follow: bool = False
    previous: bool = False


def replica_logs(settings: Settings, wanted: Wanted, *, now: float) -> Iterator[str]:
    """The lines, marked. Raises BadRequest for what can't be, NothingRecorded where there is no such app, and
    Unavailable."""
    slot, since = slot_of(wanted.replica), parse_since(wanted.since, now)
    with closing(open_reader(settings.database, state_dir=settings.directory, instance=settings.instance)) as reader:
        words = last_words(reader, wanted.app_name, slot, since)
    mark = Marked(coloured=on_terminal())
    if wanted.previous:
        yield from _on_record(wanted, words, mark, "")
        return
    selection = Selection(wanted.app_name, slot, since, wanted.tail)
    with open_logs(settings) as logs:
        if not logs.containers(selection):
            yield from _on_record(wanted, words, mark, f"no container of {_whom(wanted)} is there; ")
        lines = logs.followed(selection) if wanted.follow else logs.written(selection)
        yield from (mark.line(line.replica, line.text) for line in lines)


def _on_record(wanted: Wanted, words: tuple[LastWords, ...], mark: Marked, why: str) -> Iterator[str]:
    if not words:
        yield f"{why}nothing is on record of what containers of {_whom(wanted)} wrote before they ended"
        return
    if why:
        yield f"{why}what is on record of those before:"
    yield from recorded_lines(words, mark)


def _whom(wanted: Wanted) -> str:
    return f"{wanted.app_name}, replica {wanted.replica}" if wanted.replica else wanted.app_name

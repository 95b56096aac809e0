"""`orchestry events`: what happened. People read it as a log, the newest last; JSON is a list with the newest first.

Followed, it goes on with what is recorded from then on, whoever the controller is by then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

from reconciler.model.events import Event, EventType
from reconciler.ports import StatusReader, Unavailable
from reconciler.report import BadRequest
from reconciler.report.documents import OUTPUTS, document
from reconciler.report.dump import require_known
from reconciler.report.tables import indented, listing, printable
from reconciler.report.times import clock, parse_since, rfc3339

TYPES: tuple[EventType, ...] = get_args(EventType)


def events(
    reader: StatusReader,
    app_name: str | None = None,
    type_: str | None = None,
    since: str | None = None,
    limit: int = 100,
    output: str = "text",
    *,
    now: float,
) -> str:
    """The events that pass the filters, as ``text``, ``json`` or ``yaml``. ``since``: a span such as ``10m``, or a
    time.

    Raises BadRequest for a filter that can't be, NothingRecorded where there is no such app and never was, and
    Unavailable.
    """
    matching = reader.events(app_name=app_name, type=_type(type_), since=parse_since(since, now), limit=limit)
    if app_name is not None and not matching:
        require_known(reader, app_name)
    if output in OUTPUTS:
        return document([event_document(event) for event in matching], output)
    return printable(event_table(matching[::-1])) if matching else "no events"


def follow(
    reader: StatusReader,
    app_name: str | None = None,
    type_: str | None = None,
    since: str | None = None,
    limit: int = 100,
    output: str = "text",
    *,
    now: float,
    pause: Callable[[], None],
    warn: Callable[[str], None],
) -> Iterator[str]:
    """The newest ``limit`` events that pass the filters and all that come later, oldest first, each by itself: as
    ``text``, a line of ``json`` or a document of ``yaml``. ``pause`` comes between two looks; ``warn`` is told once of
    what fails them.

    Raises as `events` does, but only for the first look.
    """
    filters: dict[str, Any] = {"app_name": app_name, "type": _type(type_), "since": parse_since(since, now)}
    mark, news = reader.events_after(0, **filters, limit=limit)
    if app_name is not None and not news:
        require_known(reader, app_name)
    width = max(map(len, reader.recorded().apps), default=0)
    trouble = ""
    while True:
        for event in reversed(news):
            yield _followed(event, output, width)
        pause()
        try:
            (mark, news), trouble = reader.events_after(mark, **filters), ""
        except Unavailable as error:
            news = ()
            if str(error) != trouble:
                trouble = str(error)
                warn(trouble)


def _followed(event: Event, output: str, width: int) -> str:
    """An event by itself; ``width``: of the names of apps."""
    if output == "json":
        return json.dumps(event_document(event), ensure_ascii=False)
    if output in OUTPUTS:
        return f"---\n{document(event_document(event), output)}"
    type_width = max(map(len, TYPES))
    columns = f"{clock(event.at)}  {event.type:<{type_width}}  {event.app_name or '-':<{width}}  {_message(event)}"
    return printable(columns)


def event_table(events: Iterable[Event], *, margin: int = 0) -> str:
    rows = [(clock(event.at), event.type, event.app_name, _message(event)) for event in events]
    return listing(("TIME (UTC)", "TYPE", "APP", "MESSAGE"), rows, margin=margin)


def _message(event: Event) -> str:
    """What happened and, below it, what else is known of a container that ended: how, its last failed answers, and its
    last lines."""
    details = event.details
    below = [before + known for before, known in _known(details) if known and known not in event.message]
    return "\n".join((event.message, *(indented(text) for text in (*below, details.get("log", "")) if text)))


def _known(details: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What an event's details tell of a container that ended, but for its log, each with the words before it."""
    if (code := details.get("exit_code", "None")) != "None":
        yield "", f"exited with code {code}"
    yield "", details.get("out_of_memory", "")
    yield "last failed answer: ", details.get("answer", "")
    yield "last failed answer of its readiness: ", details.get("readiness_answer", "")


def event_document(event: Event) -> dict[str, Any]:
    return {
        "at": rfc3339(event.at),
        "type": event.type,
        "app": event.app_name,
        "message": event.message,
        "details": dict(event.details),
    }


def _type(text: str | None) -> EventType | None:
    for known in TYPES:
        if text == known:
            return known
    if text is None:
        return None
    raise BadRequest(f"type: found {text!r}; expected one of {', '.join(TYPES)}")

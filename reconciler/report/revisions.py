"""`orchestry history --revisions`: which revisions were applied, and what was wrong with each then, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from reconciler.model.recorded import RevisionRecord
from reconciler.model.version import short
from reconciler.ports import StatusReader
from reconciler.report.documents import OUTPUTS, document
from reconciler.report.dump import problem_dump, require_known
from reconciler.report.tables import listing, printable
from reconciler.report.times import clock, parse_since, rfc3339


def revisions(
    reader: StatusReader,
    app_name: str | None = None,
    since: str | None = None,
    limit: int = 100,
    output: str = "text",
    *,
    now: float,
) -> str:
    """The revisions applied, as ``text``, ``json`` or ``yaml``; with ``app_name`` those with that app's problems alone.

    A revision is of the whole source: all are listed whoever is asked for, and their notices concern everybody.
    Raises NothingRecorded where there is no such app and never was, BadRequest for a ``since`` that can't be, and
    Unavailable.
    """
    records = reader.revisions(since=parse_since(since, now), limit=limit)
    if app_name is not None:
        records = tuple(_concerning(app_name, record) for record in records)
        if not any(record.problems for record in records):
            require_known(reader, app_name)
    if output in OUTPUTS:
        return document([revision_document(record) for record in records], output)
    return printable(revision_table(records)) if records else "no revisions on record"


def _concerning(app_name: str, record: RevisionRecord) -> RevisionRecord:
    return replace(record, problems=tuple(problem for problem in record.problems if problem.app_name == app_name))


def revision_table(records: Iterable[RevisionRecord]) -> str:
    rows = [(clock(record.applied_at), short(record.revision), _remarks(record)) for record in records]
    return listing(("TIME (UTC)", "REVISION", "PROBLEMS AND NOTICES"), rows)


def _remarks(record: RevisionRecord) -> str:
    """One line for each, as `status` has them."""
    problems = (f"problem: {problem}" for problem in record.problems)
    return "\n".join((*problems, *(f"notice: {notice}" for notice in record.notices)))


def revision_document(record: RevisionRecord) -> dict[str, Any]:
    return {
        "revision": record.revision,
        "applied_at": rfc3339(record.applied_at),
        "problems": [problem_dump(problem).model_dump() for problem in record.problems],
        "notices": list(record.notices),
    }

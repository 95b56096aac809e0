"""`orchestry history --actions`: what was done to containers and images, why, and what came of it, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconciler.model.recorded import ActionRecord
from reconciler.ports import StatusReader
from reconciler.report.documents import OUTPUTS, document
from reconciler.report.dump import require_known
from reconciler.report.tables import indented, listing, printable
from reconciler.report.times import clock, duration, parse_since, rfc3339


def actions(
    reader: StatusReader,
    app_name: str | None = None,
    since: str | None = None,
    limit: int = 100,
    output: str = "text",
    *,
    now: float,
) -> str:
    """The actions of one app, or of all, as ``text``, ``json`` or ``yaml``.

    Raises NothingRecorded where there is no such app and never was, BadRequest for a ``since`` that can't be, and
    Unavailable.
    """
    records = reader.actions(app_name=app_name, since=parse_since(since, now), limit=limit)
    if app_name is not None and not records:
        require_known(reader, app_name)
    if output in OUTPUTS:
        return document([action_document(record) for record in records], output)
    return printable(action_table(records)) if records else "no actions on record"


def action_table(records: Iterable[ActionRecord]) -> str:
    rows = [
        (
            clock(record.planned_at),
            record.app_name,
            record.verb,
            record.target,
            _took(record),
            _outcome(record),
            _why(record),
        )
        for record in records
    ]
    return listing(("TIME (UTC)", "APP", "ACTION", "TARGET", "TOOK", "OUTCOME", "WHY"), rows)


def _took(record: ActionRecord) -> str:
    seconds = took_seconds(record)
    return "" if seconds is None else duration(seconds)


def took_seconds(record: ActionRecord) -> float | None:
    """From when it was planned until it ended; None where nobody saw it end."""
    if record.finished_at is None or record.outcome == "interrupted":
        return None
    return record.finished_at - record.planned_at


def _outcome(record: ActionRecord) -> str:
    return f"{record.outcome}: {record.reason}" if record.reason else record.outcome


def _why(record: ActionRecord) -> str:
    """Its cause and, where it failed, what was said."""
    return f"{record.cause}\n{indented(record.message)}" if record.message else record.cause


def action_document(record: ActionRecord) -> dict[str, Any]:
    finished_at, seconds = record.finished_at, took_seconds(record)
    return {
        "app": record.app_name,
        "verb": record.verb,
        "target": record.target,
        "cause": record.cause,
        "planned_at": rfc3339(record.planned_at),
        "finished_at": None if finished_at is None else rfc3339(finished_at),
        "took_seconds": None if seconds is None else round(seconds, 3),
        "outcome": record.outcome,
        "reason": record.reason,
        "message": record.message,
    }

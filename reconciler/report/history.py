"""`orchestry history APP`: its scaling decisions and rollouts, and a plot of load, factors and replicas over time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from reconciler.model.events import Event
from reconciler.model.load import LoadSample
from reconciler.model.scaling import ScalingDecision
from reconciler.ports import StatusReader
from reconciler.report import dump
from reconciler.report.decisions import decision_document
from reconciler.report.events import event_document
from reconciler.report.plots import Points, Series, plot
from reconciler.report.tables import printable, table
from reconciler.report.times import clock, parse_since, rfc3339

_WIDEST = 120
_PIPE_SIZE = (80, 24)


@dataclass(frozen=True, slots=True)
class Past:
    """What is on record of an app's past, each oldest first."""

    app_name: str
    decisions: tuple[ScalingDecision, ...]
    rollouts: tuple[Event, ...]
    samples: tuple[LoadSample, ...]


def history(
    reader: StatusReader,
    app_name: str,
    since: str | None = None,
    limit: int = 100,
    output: str = "text",
    *,
    now: float,
) -> str:
    """The past as ``text`` (a plot, then a list, newest first) or ``json``. ``limit`` holds for each kind of entry.

    Raises NothingRecorded where there is no such app, BadRequest for a ``since`` that can't be, and Unavailable.
    """
    dump.app_record(reader.snapshot(), app_name)
    from_at = parse_since(since, now)
    past = Past(
        app_name,
        reader.decisions(app_name, since=from_at, limit=limit)[::-1],
        reader.events(app_name=app_name, type="rollout", since=from_at, limit=limit)[::-1],
        reader.samples(app_name, since=from_at)[::-1],
    )
    return told(past, output, width=min(_WIDEST, shutil.get_terminal_size(_PIPE_SIZE).columns))


def told(past: Past, output: str = "text", *, width: int) -> str:
    """The past as text ``width`` columns wide, or as JSON; pure."""
    if output == "json":
        return json.dumps(_document(past), indent=2, ensure_ascii=False)
    return printable("\n\n".join(part for part in (plot(_series(past), width=width), _list(past)) if part))


def _list(past: Past) -> str:
    decided = ((one.at, "scaling", f"{one.current} → {one.target}", _reason(one)) for one in past.decisions)
    rolled = ((one.at, "rollout", "", one.message) for one in past.rollouts)
    entries = sorted(chain(decided, rolled), key=lambda entry: entry[0], reverse=True)
    if not entries:
        return "no scaling decisions and no rollouts on record"
    rows = [(clock(at), kind, replicas, why) for at, kind, replicas, why in entries]
    return table(("TIME (UTC)", "WHAT", "REPLICAS", "WHY"), rows)


def _reason(decision: ScalingDecision) -> str:
    return decision.reason if decision.acted else f"{decision.reason} (not acted upon)"


def _series(past: Past) -> tuple[Series, ...]:
    return (
        Series("requests per second", [(one.at, one.rps) for one in past.samples if one.rps is not None]),
        Series("p95 latency, ms", [(it.at, it.p95_latency_ms) for it in past.samples if it.p95_latency_ms is not None]),
        Series("factor of the metric that works hardest", _factors(past.decisions)),
        Series("replicas", _replicas(past)),
    )


def _factors(decisions: Sequence[ScalingDecision]) -> Points:
    largest = ((one.at, [it.factor for it in one.factors if it.factor is not None]) for one in decisions)
    return [(at, max(known)) for at, known in largest if known]


def _replicas(past: Past) -> Points:
    """Healthy replicas as sampled or, without samples, the counts decided, as steps."""
    if past.samples:
        return [(one.at, float(one.replicas)) for one in past.samples]
    return [(it.at, float(count)) for it in past.decisions if it.acted for count in (it.current, it.target)]


def _document(past: Past) -> dict[str, Any]:
    return {
        "app": past.app_name,
        "decisions": [decision_document(one) for one in reversed(past.decisions)],
        "rollouts": [event_document(one) for one in reversed(past.rollouts)],
        "samples": [asdict(one) | {"at": rfc3339(one.at)} for one in reversed(past.samples)],
    }

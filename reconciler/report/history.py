"""`orchestry history APP`: its scaling decisions and rollouts, and a plot of load, factors and replicas over time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

from reconciler.model.events import Event
from reconciler.model.load import LoadSample
from reconciler.model.scaling import ScalingDecision
from reconciler.model.spec import Scaling
from reconciler.ports import StatusReader
from reconciler.report import dump
from reconciler.report.decisions import decision_document
from reconciler.report.documents import OUTPUTS, document
from reconciler.report.events import event_document
from reconciler.report.plots import Points, Series, plot
from reconciler.report.tables import listing, printable
from reconciler.report.times import clock, parse_since, rfc3339

_WIDEST = 120
_PIPE_SIZE = (80, 24)


# How hard an app worked in a sample by a policy: 1 is exactly on target, None unknown.
FactorOf = Callable[[Scaling, LoadSample], float | None]


@dataclass(frozen=True, slots=True)
class Past:
    """What is on record of an app's past, each oldest first. ``factors`` are those of the samples by today's policy."""

    app_name: str
    decisions: tuple[ScalingDecision, ...]
    rollouts: tuple[Event, ...]
    samples: tuple[LoadSample, ...]
    factors: Points = ()


def history(
    reader: StatusReader,
    app_name: str,
    since: str | None = None,
    limit: int = 100,
    output: str = "text",
    *,
    factor_of: FactorOf,
    now: float,
) -> str:
    """The past as ``text`` (a plot, then a list, newest first), ``json`` or ``yaml``. ``limit`` is for decisions and
    rollouts. Of samples there are all since ``since``: a part would look like the whole time asked for.

    Raises NothingRecorded where there is no such app and never was, BadRequest for a ``since`` that can't be, and
    Unavailable.
    """
    from_at = parse_since(since, now)
    past = Past(
        app_name,
        reader.decisions(app_name, since=from_at, limit=limit)[::-1],
        reader.events(app_name=app_name, type="rollout", since=from_at, limit=limit)[::-1],
        reader.samples(app_name, since=from_at)[::-1],
    )
    recorded = reader.recorded()
    record = recorded.apps.get(app_name)
    if record is None and not (past.decisions or past.rollouts):
        dump.require_known(reader, app_name)
    if record:
        scaling = record.state.version.app.scaling if record.state else Scaling()
        plotted = past.samples if output == "text" else ()
        found = ((one.at, factor_of(scaling, one)) for one in plotted)
        past = replace(past, factors=[(at, factor) for at, factor in found if factor is not None])
    return told(past, output, width=min(_WIDEST, shutil.get_terminal_size(_PIPE_SIZE).columns))


def told(past: Past, output: str = "text", *, width: int) -> str:
    """The past as text, its plot ``width`` columns wide, or as JSON or YAML; pure."""
    if output in OUTPUTS:
        return document(_document(past), output)
    return printable("\n\n".join(part for part in (plot(series_of(past), width=width), _list(past)) if part))


def _list(past: Past) -> str:
    decided = ((one.at, "scaling", _change(one), _reason(one)) for one in past.decisions)
    rolled = ((one.at, "rollout", "", one.message) for one in past.rollouts)
    entries = sorted(chain(decided, rolled), key=lambda entry: entry[0], reverse=True)
    if not entries:
        return "no scaling decisions and no rollouts on record"
    rows = [(clock(at), kind, replicas, why) for at, kind, replicas, why in entries]
    return listing(("TIME (UTC)", "WHAT", "REPLICAS", "WHY"), rows)


def _change(decision: ScalingDecision) -> str:
    """Decisions to keep the count are on record as well; those that change it stand out."""
    changed = decision.target != decision.current
    return f"{decision.current} → {decision.target}" if changed else str(decision.current)


def _reason(decision: ScalingDecision) -> str:
    return decision.reason if decision.acted else f"{decision.reason} (not acted upon)"


def series_of(past: Past) -> tuple[Series, ...]:
    return (
        *_load(past.samples),
        Series("factor of the metric that works hardest, by the policy in force now", past.factors),
        Series("healthy replicas" if past.samples else "replicas", _replicas(past)),
    )


def _load(samples: Sequence[LoadSample]) -> tuple[Series, ...]:
    """Requests, or for an app that gets none by way of the edge, what it uses."""
    if any(one.rps for one in samples):
        latencies = [(one.at, one.p95_latency_ms) for one in samples if one.p95_latency_ms is not None]
        return (
            Series("requests per second", [(one.at, one.rps) for one in samples if one.rps is not None]),
            Series("p95 latency, ms", latencies),
            *_mishaps(samples),
        )
    used = [(one.at, one.cpu_percent) for one in samples if one.cpu_percent is not None]
    return (Series("cpu, percent of the limit", used),)


def _mishaps(samples: Sequence[LoadSample]) -> Iterable[Series]:
    """What went wrong with requests, where anything did."""
    errors = [(one.at, 100 * one.error_rate) for one in samples if one.error_rate is not None]
    repaired = [(one.at, 60 * one.repaired / one.resolution_seconds) for one in samples if one.repaired is not None]
    given_up = [(one.at, 60 * one.given_up / one.resolution_seconds) for one in samples if one.given_up is not None]
    for title, points in (
        ("answered with an error (5xx), percent of requests", errors),
        ("failed by one replica and answered by another, requests per minute", repaired),
        ("given up by clients (499), requests per minute", given_up),
    ):
        if any(value for _, value in points):
            yield Series(title, points)


def _replicas(past: Past) -> Points:
    """Healthy replicas as sampled or, without samples, the counts decided; both as steps."""
    if past.samples:
        counts = ((one.at - one.resolution_seconds, one.at, float(one.replicas)) for one in past.samples)
        return [(at, count) for begin, end, count in counts for at in (begin, end)]
    return [(it.at, float(count)) for it in past.decisions if it.acted for count in (it.current, it.target)]


def _document(past: Past) -> dict[str, Any]:
    return {
        "app": past.app_name,
        "decisions": [decision_document(one) for one in reversed(past.decisions)],
        "rollouts": [event_document(one) for one in reversed(past.rollouts)],
        "samples": [asdict(one) | {"at": rfc3339(one.at)} for one in reversed(past.samples)],
    }

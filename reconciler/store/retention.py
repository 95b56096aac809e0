"""How long the past is kept: by age and by number, so that the database's size is bounded whatever happens.

Only the past goes: events, actions, revisions, decisions, superseded route tables and samples. What `load` returns is
never touched. Samples go through two stages, fine ones are rolled up into coarse ones before they go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any

import sqlalchemy as sa

from reconciler.model.load import LoadSample
from reconciler.store import tables
from reconciler.store.rows import row_of, value_of
from reconciler.store.statements import Writes

_DAY_SECONDS = 86_400.0
# How many intervals one pass rolls up: a long backlog is worked off over several passes, not in one long pause.
_STRETCH_INTERVALS = 10

# How the parts of an interval become one. Of percentiles the worst counts: a mean of them would be no percentile.
_MERGED_BY: dict[str, Callable[[list[float]], float]] = {
    **dict.fromkeys(("replicas", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms"), max),
    **dict.fromkeys(("status_1xx", "status_2xx", "status_3xx", "status_4xx", "status_5xx"), sum),
    **dict.fromkeys(("bytes_sent", "repaired", "given_up"), sum),
    **dict.fromkeys(("cpu_percent", "memory_percent", "rps", "connections", "error_rate"), fmean),
}


@dataclass(frozen=True, slots=True)
class Retention:
    """Bounds per instance. ``rows`` holds for each kind of record, ``samples`` for each resolution of them."""

    days: float = 30
    rows: int = 100_000
    route_tables: int = 20
    fine_samples_days: float = 2
    coarse_samples_days: float = 30
    coarse_seconds: float = 60
    samples: int = 2_000_000


DEFAULT_RETENTION = Retention()

_TIMES = (
    tables.events.c.at,
    tables.actions.c.planned_at,
    tables.revisions.c.applied_at,
    tables.scaling_decisions.c.at,
)


def prune(connection: sa.Connection, instance: str, now: float, keep: Retention) -> None:
    """Delete what is older than wanted or beyond the number wanted. Cheap where there is nothing to delete."""
    for column in _TIMES:
        mine = column.table.c.instance == instance
        _bound(connection, mine, column, keep.rows, since=now - keep.days * _DAY_SECONDS)
    routes = tables.route_tables.c
    _bound(connection, routes.instance == instance, routes.id, keep.route_tables)
    roll_up(connection, instance, now - keep.fine_samples_days * _DAY_SECONDS, keep.coarse_seconds)
    for resolution_seconds in _resolutions(connection, instance):
        equal = _samples_of(instance, resolution_seconds)
        since = now - keep.coarse_samples_days * _DAY_SECONDS
        _bound(connection, equal, tables.samples.c.at, keep.samples, since=since)


def roll_up(connection: sa.Connection, instance: str, before: float, resolution_seconds: float) -> None:
    """Replace finer samples that ended by ``before`` with samples of ``resolution_seconds``, a stretch at a time."""
    table = tables.samples
    finer = [seconds for seconds in _resolutions(connection, instance) if seconds < resolution_seconds]
    if not finer:
        return
    oldest = (sa.select(sa.func.min(table.c.at)).where(_samples_of(instance, seconds)) for seconds in finer)
    oldest_at = min(connection.execute(query).scalar_one() for query in oldest)
    # Whole intervals only, so that no interval is written twice with half its parts.
    until = min(before, oldest_at + _STRETCH_INTERVALS * resolution_seconds) // resolution_seconds * resolution_seconds
    going = _samples_of(instance, *finer) & (table.c.at <= until)
    taken = connection.execute(sa.select(table).where(going)).mappings().all()
    if taken:
        coarse = merged((value_of(LoadSample, row) for row in taken), resolution_seconds)
        Writes(connection, instance).put(table, map(row_of, coarse))
        connection.execute(table.delete().where(going))


def _resolutions(connection: sa.Connection, instance: str) -> list[float]:
    """What samples there are, finest first, by one step in their index for each.

    That index orders by time within a resolution only. So samples are pruned one resolution at a time: asked for all
    at once, the oldest are found by sorting every sample there is.
    """
    column = tables.samples.c.resolution_seconds
    finest = sa.select(sa.func.min(column)).where(tables.samples.c.instance == instance)
    resolutions: list[float] = []
    coarser = finest
    while (following := connection.scalar(coarser)) is not None:
        resolutions.append(following)
        coarser = finest.where(column > following)
    return resolutions


def _samples_of(instance: str, *resolutions_seconds: float) -> sa.ColumnElement[bool]:
    return (tables.samples.c.instance == instance) & tables.samples.c.resolution_seconds.in_(resolutions_seconds)


def merged(samples: Iterable[LoadSample], resolution_seconds: float) -> list[LoadSample]:
    """One sample for each app and interval: means, totals and, for percentiles, the worst of the parts."""

    def interval(sample: LoadSample) -> tuple[str, float]:
        return sample.app_name, -(-sample.at // resolution_seconds) * resolution_seconds

    return [
        _merge(app_name, end, resolution_seconds, list(parts))
        for (app_name, end), parts in groupby(sorted(samples, key=interval), key=interval)
    ]


def _merge(app_name: str, at: float, resolution_seconds: float, parts: Sequence[LoadSample]) -> LoadSample:
    measured: dict[str, Any] = {
        name: _of_known(merge, [getattr(part, name) for part in parts]) for name, merge in _MERGED_BY.items()
    }
    names = sorted({name for part in parts for name in part.custom})
    custom = {name: _of_known(fmean, [part.custom.get(name) for part in parts]) for name in names}
    return LoadSample(app_name, at, resolution_seconds, **measured, custom=custom)


def _of_known(merge: Callable[[list[float]], float], values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return merge(known) if known else None


def _bound(
    connection: sa.Connection,
    mine: sa.ColumnElement[bool],
    column: sa.Column[Any],
    count: int,
    since: float | None = None,
) -> None:
    """Of the rows that are ``mine`` keep those ``since``, and the ``count`` with the largest values of ``column``."""
    delete = column.table.delete().where(mine)
    if since is not None:
        connection.execute(delete.where(column < since))
    newest_to_go = connection.scalar(sa.select(column).where(mine).order_by(column.desc()).offset(count).limit(1))
    if newest_to_go is not None:
        connection.execute(delete.where(column <= newest_to_go))

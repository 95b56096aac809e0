"""How long the past is kept: by age and by number, so that the database's size is bounded whatever happens.

Only the past goes: events, actions, revisions, decisions, superseded route tables and samples. What `load` returns is
never touched. Samples go through two stages, fine ones are rolled up into coarse ones before they go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any

import sqlalchemy as sa

from reconciler.model.load import LoadSample
from reconciler.store import rows, statements, tables

_DAY_SECONDS = 86_400.0
# How many intervals one pass rolls up: a long backlog is worked off over several passes, not in one long pause.
_STRETCH_INTERVALS = 10

# The worst of the parts: a mean of percentiles would be no percentile.
_LARGEST = ("replicas", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms")
_SUMS = ("status_1xx", "status_2xx", "status_3xx", "status_4xx", "status_5xx", "bytes_sent")
_MEANS = ("cpu_percent", "memory_percent", "rps", "connections", "error_rate")


@dataclass(frozen=True, slots=True)
class Retention:
    """Bounds per instance. ``rows`` holds for each kind of record; samples have numbers of their own."""

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
        _older_than(connection, instance, column, now - keep.days * _DAY_SECONDS)
        _beyond(connection, instance, column, keep.rows)
    _beyond(connection, instance, tables.route_tables.c.id, keep.route_tables)
    roll_up(connection, instance, now - keep.fine_samples_days * _DAY_SECONDS, keep.coarse_seconds)
    _older_than(connection, instance, tables.samples.c.at, now - keep.coarse_samples_days * _DAY_SECONDS)
    _beyond(connection, instance, tables.samples.c.at, keep.samples)


def roll_up(connection: sa.Connection, instance: str, before: float, resolution_seconds: float) -> None:
    """Replace finer samples that ended by ``before`` with samples of ``resolution_seconds``, a stretch at a time."""
    table = tables.samples
    fine = (table.c.instance == instance) & (table.c.resolution_seconds < resolution_seconds)
    oldest_at = connection.scalar(sa.select(sa.func.min(table.c.at)).where(fine))
    if oldest_at is None:
        return
    # Whole intervals only, so that no interval is written twice with half its parts.
    until = min(before, oldest_at + _STRETCH_INTERVALS * resolution_seconds) // resolution_seconds * resolution_seconds
    taken = connection.execute(sa.select(table).where(fine, table.c.at <= until)).mappings().all()
    if taken:
        coarse = merged(map(rows.sample, taken), resolution_seconds)
        statements.put(connection, table, rows.sample_rows(instance, coarse))
        connection.execute(table.delete().where(fine, table.c.at <= until))


def merged(samples: Iterable[LoadSample], resolution_seconds: float) -> list[LoadSample]:
    """One sample for each app and interval: means, totals and, for percentiles, the worst of the parts."""

    def interval(sample: LoadSample) -> tuple[str, float]:
        return sample.app_name, -(-sample.at // resolution_seconds) * resolution_seconds

    return [
        _merge(app_name, end, resolution_seconds, list(parts))
        for (app_name, end), parts in groupby(sorted(samples, key=interval), key=interval)
    ]


def _merge(app_name: str, at: float, resolution_seconds: float, parts: Sequence[LoadSample]) -> LoadSample:
    def known(name: str) -> list[float]:
        return [value for part in parts if (value := getattr(part, name)) is not None]

    values: dict[str, Any] = {name: max(known(name), default=None) for name in _LARGEST}
    values |= {name: sum(known(name)) if known(name) else None for name in _SUMS}
    values |= {name: fmean(known(name)) if known(name) else None for name in _MEANS}
    return LoadSample(app_name, at, resolution_seconds, **values, custom=_merged_custom(parts))


def _merged_custom(parts: Sequence[LoadSample]) -> dict[str, float | None]:
    merged: dict[str, float | None] = {}
    for name in sorted({name for part in parts for name in part.custom}):
        known = [value for part in parts if (value := part.custom.get(name)) is not None]
        merged[name] = fmean(known) if known else None
    return merged


def _older_than(connection: sa.Connection, instance: str, column: sa.Column[Any], at: float) -> None:
    connection.execute(column.table.delete().where(column.table.c.instance == instance, column < at))


def _beyond(connection: sa.Connection, instance: str, column: sa.Column[Any], count: int) -> None:
    """Keep the ``count`` rows with the largest values of ``column``."""
    mine = column.table.c.instance == instance
    newest_to_go = connection.scalar(sa.select(column).where(mine).order_by(column.desc()).offset(count).limit(1))
    if newest_to_go is not None:
        connection.execute(column.table.delete().where(mine, column <= newest_to_go))

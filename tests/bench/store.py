"""What it costs to keep the record: idle saves, checkpoints, bulk writes, loads and looks, on both kinds of database.

Run it as ``.venv/bin/python -m tests.bench.store [--json] [--replicas 300]``. Beside each bulk write stands the same
number of rows written the slow way, one statement each, in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from reconciler.model.events import Event
from reconciler.model.health import Tally
from reconciler.ports import Record
from reconciler.report.status import status
from reconciler.store import open_reader, open_store
from tests.bench.table import print_table
from tests.support.postgres import serving
from tests.support.records import NOW, record
from tests.support.stores import counted_statements

ROUNDS = 15


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--replicas", type=int, default=300)
    given = options.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as root, serving() as server:
        figures["sqlite"] = measure(None, Path(root) / "sqlite", given.replicas)
        figures["postgresql"] = measure(server.create_database(), Path(root) / "postgresql", given.replicas)
    if given.json:
        print(json.dumps(figures))
        return
    kinds = list(figures)
    rows = [(name, *(f"{figures[kind][name]:.2f}" for kind in kinds)) for name in figures[kinds[0]]]
    print_table((f"{given.replicas} replicas, ms", *kinds), rows)


def measure(url: str | None, state_dir: Path, replicas: int) -> dict[str, float]:
    """Medians in milliseconds; statements as a number."""
    store = open_store(url, state_dir=state_dir, instance="default")
    saved = record(apps=max(1, replicas // 10), replicas=min(replicas, 10))
    figures = {"first save": _once(lambda: store.save(saved))}
    with counted_statements() as statements:
        figures["idle save, same values"] = _median(lambda: store.save(saved))
        moved = [_moved(saved, step) for step in range(ROUNDS)]
        each = iter(moved)
        figures["idle save, tallies and vitals moved"] = _median(lambda: store.save(next(each)))
    figures["statements of idle saves"] = float(len(statements))
    each = iter(moved)
    figures["checkpoint, everything moved"] = _median(lambda: store.save(next(each), checkpoint=True))
    events = [tuple(Event(NOW, "app", f"{step} {row}") for row in range(1000)) for step in range(ROUNDS)]
    each_events = iter(events)
    figures["1,000 events"] = _median(lambda: store.save(replace(moved[-1], events=next(each_events))))
    store.close()
    with _raw(url, state_dir) as connection:
        text = sa.text("INSERT INTO events (instance, at, type, message, details) VALUES ('raw', 0, 'app', :m, '{}')")
        figures["1,000 events, a statement each"] = _once(
            lambda: [connection.execute(text, {"m": str(row)}) for row in range(1000)]
        )
    store = open_store(url, state_dir=state_dir, instance="default")
    figures["load"] = _median(store.load)
    reader = open_reader(url, state_dir=state_dir, instance="default")
    figures["status as JSON"] = _median(lambda: status(reader, None, "json", now=NOW))
    store.close()
    return figures


def _moved(saved: Record, step: int) -> Record:
    """New but equal objects all through, as a tick makes them, with every tally and vital sign moved."""
    made = deepcopy(saved)
    tally = Tally(checks=step, last_check_at=NOW + step)
    replicas = {n: replace(it, health=replace(it.health, tally=tally)) for n, it in made.state.replicas.items()}
    statuses = {
        name: replace(
            it,
            replicas=tuple(replace(one, vitals=replace(one.vitals, seen_at=NOW + step)) for one in it.replicas),
        )
        for name, it in made.statuses.items()
    }
    return replace(made, at=NOW + step, state=replace(made.state, replicas=replicas), statuses=statuses)


@contextmanager
def _raw(url: str | None, state_dir: Path) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url or f"sqlite:///{state_dir}/orchestry.db", poolclass=sa.NullPool)
    with engine.begin() as connection:
        yield connection


def _once(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def _median(act: Callable[[], object]) -> float:
    return statistics.median(_once(act) for _ in range(ROUNDS))


if __name__ == "__main__":
    main()

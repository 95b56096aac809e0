"""Wrote ``state-0.*``: a database as version 1.0.0 leaves it, and what that version decides from there.

A controller is stopped in the middle of everything that takes its time, and a later version is started on what it
left behind. What that one must make of it stands in plain values beside the database, told by the version that wrote
it. This was run with version 1.0.0 and must not be run by a later one, which would record its own mistakes; it stays to
tell how the files came about.

    .venv/bin/python -m tests.golden.upgrade.make_state

=====================  ================================================================================================
state-0.sql            the database, as statements; written by the real store
state-0-specs/         the source at that moment
state-0-next/          another commit of it: all apps are back, and what was wrong is mended
state-0.json           the moment: apps, replicas, containers and loads; and the decisions ``at once`` (nothing has
                       changed), ``minutes later``, and ``after the next commit``
state-0.status.json    what ``orchestry status -o json`` said of it
state-0.explain.txt    what ``orchestry explain`` said of each app
state-0.continued.txt  what happened from there, told by `continued`
=====================  ================================================================================================

What is going on at the moment, by app (how that came about is told by `story`, with the specs of `specs`):

=========  ============================================================================================================
shop       a canary is in traffic and held; its spec has files, variables, a volume, resources and a readiness check
billing    its rollout is paused: one replica of the failed version is ready, one is not
reports    a crash loop was taken over, and backs off; an earlier one was given back; absent
search     a replica is in the middle of its drain; absent
mailer     the Engine has rejected the creation of its second replica, until the spec changes
accounts   its new version crashed, so it was rolled back; dry-run decisions; absent
wiki       its containers were there before the controller knew it: adopted, and trusted until they answer
api        was scaled out by load lately and wants more: cooldown, recommendations; an unhealthy replica was replaced
feeds      its image was being pulled when the controller stopped, and nginx refuses its new routes
gallery    a promoted canary's rollout waits for the next replica; absent
notes      a worker whose spec file is broken
lab-1 … 4  absent: with a removal that fails (1), of type tcp (2), with a replica that is not ready (3), a worker (4)
=========  ============================================================================================================

Absent means: from the source. More than half of the apps are, so their deletion is held back.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reconciler import __version__
from reconciler.model.desired import Desired
from reconciler.model.memory import Memory
from reconciler.model.observed import Container
from reconciler.report.status import status
from reconciler.store import open_reader, open_store
from reconciler.store.sqlite import FILE_NAME
from tests.golden.upgrade.continued import continued
from tests.golden.upgrade.controlled import Controlled
from tests.golden.upgrade.specs import Files, next_commit
from tests.golden.upgrade.story import BEGAN_AT, tell
from tests.support.specs import desired_of
from tests.support.stage import NETWORK
from tests.support.upgrade import NAME, PLACE, Plain, decided, desired, explained, recorded, remembered, restore

LATER_SECONDS = 300.0


def described(stage: Controlled) -> Plain:
    """The moment in plain terms."""
    moment = remembered(stage.memory)
    for name, app in moment["apps"].items():
        app["target"] = stage.statuses[name].spec_hash
    for instance in (each for told in stage.statuses.values() for each in told.instances):
        moment["replicas"][instance.name]["phase"] = instance.phase
    return {"version": __version__, "now": stage.now, **moment, "seen": seen(stage)}


def seen(stage: Controlled) -> Plain:
    """What there was to observe."""
    assert stage.host is not None
    return {
        "containers": [_plain(container) for _, container in sorted(stage.containers.items())],
        "network": asdict(NETWORK),
        "host": asdict(stage.host),
        "foreign_names": sorted(stage.foreign_names),
        "foreign_addresses": sorted(stage.foreign_addresses),
        "loads": {name: asdict(load) for name, load in sorted(stage.loads.items())},
        "replica_loads": {name: asdict(load) for name, load in sorted(stage.replica_loads.items())},
        "version_loads": [[*key, asdict(load)] for key, load in sorted(stage.version_loads.items())],
    }


def _plain(container: Container) -> Plain:
    """Without what nobody had reason to look at."""
    return {name: value for name, value in asdict(container).items() if value not in (None, "")}


def decisions(memory: Memory, look: Plain, now: float) -> Plain:
    """What a controller decides that starts on the database, in three cases."""
    answers = [
        {"container_id": f"before{slot}", "check": "health", "at": now + LATER_SECONDS - 1, "ok": True, "detail": ""}
        for slot in (1, 2)
    ]
    cases = {
        "at once": {"now": now, "specs": f"{NAME}-specs", "samples": []},
        "minutes later": {"now": now + LATER_SECONDS, "specs": f"{NAME}-specs", "samples": answers},
        "after the next commit": {"now": now, "specs": f"{NAME}-next", "samples": []},
    }
    return {what: {**case, "decided": decided(memory, look, case)} for what, case in cases.items()}


def dump(database: Path) -> str:
    """The database as statements: its schema, and its rows by their keys. Who wrote it is nobody's business."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE controllers SET host = 'host.example', pid = 4711")
        schema = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name"
        )
        statements, tables = [], []
        for name, sql in schema.fetchall():
            statements.append(f"{sql};")
            tables += [name] if sql.startswith("CREATE TABLE") else []
        for table in tables:
            statements += _rows(connection, table)
    return "\n".join([f"-- Written by version {__version__}: see make_state.py. Never written anew.", *statements, ""])


def _rows(connection: sqlite3.Connection, table: str) -> list[str]:
    columns = [f'"{name}"' for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    keys = [name for _, name, *_, key in connection.execute(f"PRAGMA table_info({table})") if key]
    values = " || ', ' || ".join(f"quote({column})" for column in columns)
    rows = connection.execute(f"SELECT {values} FROM {table} ORDER BY {', '.join(keys)}")
    return [f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({text});" for (text,) in rows]


def write_specs(name: str, files: Files) -> None:
    shutil.rmtree(PLACE / name, ignore_errors=True)
    desired_of(files, PLACE / name)


def main() -> None:
    assert __version__ == "1.0.0", "a later version must not write this again"
    with TemporaryDirectory() as place:
        stage = Controlled(Desired("", {}), now=BEGAN_AT, place=Path(place))
        tell(stage)
        _write("sql", dump(stage.state_dir / FILE_NAME))
    write_specs(f"{NAME}-specs", stage.files)
    write_specs(f"{NAME}-next", next_commit(stage.files))
    assert desired(f"{NAME}-specs") == stage.desired
    moment = described(stage)
    with TemporaryDirectory() as place:
        _write_what_follows(Path(place) / "state", moment)


def _write_what_follows(state_dir: Path, moment: Plain) -> None:
    """What is made of the moment by whoever has only what was written."""
    restore(state_dir)
    with closing(open_store(None, state_dir=state_dir, instance="default")) as store:
        memory, now = store.load(), moment["now"]
    moment["decisions"] = decisions(memory, moment["seen"], now)
    reader = open_reader(None, state_dir=state_dir, instance="default")
    _write("json", _pretty(moment) + "\n")
    _write("continued.txt", continued(memory, moment))
    _write("status.json", status(reader, None, "json", now=now)[0])
    _write("explain.txt", explained(reader, now))


def _pretty(value: Any, indent: str = "") -> str:
    """JSON in which everything stands in one line that has room there."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= 240 or not isinstance(value, dict | list) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [f"{inner}{json.dumps(key)}: {_pretty(part, inner)}" for key, part in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _pretty(part, inner) for part in value) + f"\n{indent}]"


def _write(suffix: str, text: str) -> None:
    recorded(suffix).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

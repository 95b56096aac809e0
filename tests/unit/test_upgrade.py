"""A controller of this version, started on the database that version 1.0.0 left, goes on as that one would have.

In the middle of everything that takes its time: a canary, a paused rollout, a crash loop, drains, back-offs, deletions
that are held back. ``tests/golden/upgrade/README.md`` tells the story, and how what is compared here came about.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest

from reconciler.report.status import status
from reconciler.store import SqlReader, SqlStore, open_reader, open_store
from reconciler.store.sqlite import FILE_NAME
from tests.golden.upgrade.continued import continued
from tests.support import upgrade
from tests.support.golden import assert_golden

MOMENT = upgrade.moment()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """The store of a controller of today, opened in the state directory that version 1.0.0 left."""
    upgrade.restore(tmp_path / "state")
    with closing(open_store(None, state_dir=tmp_path / "state", instance="default")) as opened:
        yield opened


@pytest.fixture
def upgraded(store: SqlStore, tmp_path: Path) -> SqlReader:
    """What reports read once that controller has started."""
    return open_reader(None, state_dir=tmp_path / "state", instance="default")


def test_everything_that_version_1_0_0_remembered_is_read(store: SqlStore) -> None:
    remembered = json.loads(json.dumps(upgrade.remembered(store.load())))
    assert store.notices == ()
    for replica in MOMENT["replicas"].values():
        for check in replica.keys() & {
            "health",
            "readiness",
        }:  # when is kept no more, only whether
            verdict, answered_at, detail = replica[check]
            replica[check] = [verdict, answered_at is not None, detail]
    assert remembered == {name: _less(MOMENT[name], "target", "phase") for name in remembered}


def test_what_a_text_older_than_version_1_0_0_lacks_means_what_it_meant_to_that_version(
    store: SqlStore, tmp_path: Path
) -> None:
    """It read such texts, and left them as they were as long as nothing of them changed."""
    upgrade.restore(tmp_path / "older")
    with closing(sqlite3.connect(tmp_path / "older" / FILE_NAME)) as database:
        for name, text in database.execute("SELECT name, memory FROM instances").fetchall():
            lacking = {key: value for key, value in json.loads(text).items() if value or key == "container_id"}
            database.execute("UPDATE instances SET memory = ? WHERE name = ?", (json.dumps(lacking), name))
        database.commit()
    with closing(open_store(None, state_dir=tmp_path / "older", instance="default")) as older:
        assert older.load() == store.load()


@pytest.mark.parametrize("case", MOMENT["decisions"])
def test_what_version_1_0_0_left_is_decided_as_it_would_have_been(store: SqlStore, case: str) -> None:
    recorded = MOMENT["decisions"][case]
    decided = upgrade.decided(store.load(), MOMENT["seen"], recorded)
    assert upgrade.told_once(decided) == ["mailer"]
    if case == "after the next commit":  # no deadline runs any more while an image is still to be had
        del decided["wake_at"], recorded["decided"]["wake_at"]
    assert upgrade.comparable(decided) == upgrade.comparable(recorded["decided"])


def test_what_version_1_0_0_left_is_carried_on_as_it_would_have_been_but_for_what_was_meant(store: SqlStore) -> None:
    before = upgrade.recorded("continued.txt").read_text("utf-8").splitlines(keepends=True)
    after = continued(store.load(), MOMENT).splitlines(keepends=True)
    difference = "".join(unified_diff(before, after, "version 1.0.0", "now", n=0))
    assert_golden("upgrade/state-0.continued.diff", difference)


# What reads otherwise by now: of an app that was rolled back, the image that runs and not the one that failed.
MENDED = {"accounts": {"image": "accounts:1"}}


def test_status_of_what_version_1_0_0_left_reads_as_it_did(upgraded: SqlReader) -> None:
    text, _ = status(upgraded, None, "json", now=MOMENT["now"])
    before, after = json.loads(upgrade.recorded("status.json").read_text("utf-8")), json.loads(text)
    for app in before["apps"]:
        app |= MENDED.get(app["name"], {})
    assert _as_far_as(before, after) == before


def _as_far_as(known: Any, value: Any) -> Any:
    """The value without the fields that came after what is known."""
    if isinstance(known, dict):
        return {key: _as_far_as(known[key], item) for key, item in value.items() if key in known}
    if isinstance(known, list):
        return [_as_far_as(*pair) for pair in zip(known, value, strict=True)]
    return value


def test_explanations_of_what_version_1_0_0_left_read_as_they_did(upgraded: SqlReader) -> None:
    assert upgrade.explained(upgraded, MOMENT["now"]) == upgrade.recorded("explain.txt").read_text("utf-8")


def test_events_actions_and_revisions_of_version_1_0_0_stay_on_record(upgraded: SqlReader) -> None:
    events = [(it.at, it.type, it.app_name, it.message, dict(it.details)) for it in upgraded.events(limit=1000)]
    recorded = _recorded("SELECT at, type, app, message, details FROM events ORDER BY at DESC, id DESC")
    assert events == [(*event, json.loads(details)) for *event, details in recorded]
    actions = upgraded.actions(limit=1000)
    assert [(it.app_name, it.verb, it.target, it.planned_at, it.cause, it.outcome) for it in actions] == _recorded(
        "SELECT app, verb, target, planned_at, cause, outcome FROM actions "
        "ORDER BY planned_at DESC, target DESC, verb DESC"
    )
    assert [(it.revision, it.applied_at) for it in upgraded.revisions()] == _recorded(
        "SELECT revision, applied_at FROM revisions ORDER BY id DESC"
    )


def test_decisions_and_samples_of_version_1_0_0_stay_on_record(upgraded: SqlReader) -> None:
    for name in MOMENT["apps"]:
        decisions = [(it.at, it.current, it.target, it.reason) for it in upgraded.decisions(name)]
        assert decisions == _recorded(
            "SELECT at, current, target, json_extract(decision, '$.reason') FROM scaling_decisions "
            "WHERE app = ? ORDER BY at DESC",
            name,
        )
        samples = [(it.at, it.resolution_seconds, it.replicas, it.rps, it.status_2xx) for it in upgraded.samples(name)]
        assert samples == _recorded(
            "SELECT at, resolution_seconds, replicas, rps, status_2xx FROM samples WHERE app = ? ORDER BY at DESC", name
        )


def _recorded(query: str, *values: str) -> list[tuple[Any, ...]]:
    """Rows of the tables as version 1.0.0 made them."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(upgrade.recorded("sql").read_text("utf-8"))
        return database.execute(query, values).fetchall()


def _less(recorded: Any, *names: str) -> Any:
    """The same without these fields, which only a decision tells."""
    if not isinstance(recorded, dict):
        return recorded
    return {name: _less(value, *names) for name, value in recorded.items() if name not in names}

"""Which volumes are inherited, and how that is kept on record."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from reconciler.model.actions import CreateReplica
from reconciler.ports import TryLater, Unavailable
from tests.fakes.engine import FakeEngine, Program
from tests.fakes.runtime import FakeRuntime
from tests.support.apps import version

CREATION = CreateReplica(
    "web", version(volumes=[{"name": "data", "mountPath": "/data"}]), 1, "web-1", "172.16.1.1", 1, cause="test"
)


@pytest.fixture
def engine() -> FakeEngine:
    """An Engine on which a replica mounts the volume ``data``, which is not ours."""
    engine = FakeEngine()
    engine.images["demo:1"] = Program()
    engine.create_volume("data")
    earlier = FakeRuntime(engine, allow_volumes=["data"])
    earlier.prepare()
    earlier.perform(CREATION)
    earlier.close()
    return engine


def started(engine: FakeEngine, record: Path | None) -> FakeRuntime:
    runtime = FakeRuntime(engine, volume_record=record)
    runtime.prepare()
    return runtime


def test_an_inherited_volume_is_told_of_once(
    engine: FakeEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = tmp_path / "record"
    with caplog.at_level(logging.WARNING, "orchestry"):
        started(engine, record)
        started(engine, record)
    assert caplog.messages == ["volume data is not labelled as ours; it stays in use, since replicas mount it already"]


def test_what_is_inherited_is_asked_of_the_engine_by_the_first_start_only(engine: FakeEngine, tmp_path: Path) -> None:
    started(engine, tmp_path / "record")
    engine.calls.clear()
    started(engine, tmp_path / "record")
    assert {call for call, _ in engine.calls} == {"list networks", "info"}


def test_a_container_that_only_inherited_labels_makes_no_volume_ours(engine: FakeEngine, tmp_path: Path) -> None:
    engine.named("web-1").name = "debugging-web-1"
    with pytest.raises(TryLater, match="volume data"):
        started(engine, tmp_path / "record").perform(CREATION)


def test_a_record_of_inherited_volumes_that_was_cut_short_is_made_anew(engine: FakeEngine, tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.write_text('["da')
    runtime = started(engine, record)
    assert record.read_text() == '["data"]\n'
    engine.remove_by_hand("web-1")
    runtime.perform(CREATION)
    assert engine.named("web-1").state == "running"


def test_nothing_begins_while_the_record_of_inherited_volumes_can_not_be_kept(
    engine: FakeEngine, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="can't be read: Not a directory"):
        started(engine, tmp_path / "file" / "record")
    with pytest.raises(Unavailable, match="can't be read: Is a directory"):
        started(engine, tmp_path)

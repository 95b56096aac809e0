"""The SQLite file's own troubles: damage, loss, kills in mid-write, other users, locks."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from reconciler.model.events import Event
from reconciler.model.load import LoadSample
from reconciler.model.state import State
from reconciler.ports import AlreadyRunning, LeadershipUnknown, NothingRecorded, Unavailable
from reconciler.store import leadership, open_reader, open_store, sqlite
from tests.support.records import NOW, record, state
from tests.support.stores import Place, counted_statements, make_place
from tests.support.waiting import eventually


@pytest.fixture
def file_place(tmp_path: Path) -> Iterator[Place]:
    yield from make_place(None, tmp_path / "state")


@pytest.fixture
def public_place() -> Iterator[Place]:
    """A state directory that another user can reach, unlike pytest's own."""
    top = Path("/tmp") / f"orchestry-test-{os.urandom(4).hex()}"
    top.mkdir(mode=0o755)
    try:
        yield from make_place(None, top / "state")
    finally:
        shutil.rmtree(top)


def database(place: Place) -> Path:
    return place.state_dir / "orchestry.db"


@contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python program of its own that has the project at hand, killed where the block ends before it does."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
        try:
            yield program
        finally:
            program.kill()


# -- durability -------------------------------------------------------------------------------------------------------


def test_transactions_of_sqlite_are_durable_and_leave_no_write_ahead_log(file_place: Place) -> None:
    store = file_place.store()
    store.save(record())
    with store._database.transaction() as connection:  # type: ignore[attr-defined]
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "truncate"
    assert not Path(f"{database(file_place)}-wal").exists()


def test_an_idle_save_does_not_touch_the_database_file(file_place: Place) -> None:
    store = file_place.store()
    store.save(record())
    before = database(file_place).stat()
    store.save(record(NOW + 1))
    assert database(file_place).stat().st_mtime_ns == before.st_mtime_ns


_WRITER = """
import sys
from pathlib import Path
from reconciler.store import open_store
from tests.support.records import state, record
store = open_store(None, state_dir=Path(sys.argv[1]), instance="default")
step = int(store.load().revision or 0)
print(step, flush=True)
while True:
    step += 1
    store.save(record(state=state(apps=40, revision=str(step), last_address=str(step))))
    print(step, flush=True)
"""


def test_a_kill_in_mid_write_loses_nothing_that_was_saved(file_place: Place) -> None:
    promised = 0
    for delay in (0.0, 0.003, 0.007, 0.011):
        with running(_WRITER, file_place.state_dir) as writer:
            assert writer.stdout is not None
            assert int(writer.stdout.readline()) >= promised
            writer.stdout.readline()
            time.sleep(delay)
            writer.kill()
            said = writer.stdout.read().split()
        promised = int(said[-1]) if said else promised
        found = file_place.reader().state()
        assert int(found.revision) >= promised
        assert found == state(apps=40, revision=found.revision, last_address=found.revision)


_CUT_OFF = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size=1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("DELETE FROM replicas")
connection.execute("UPDATE applications SET state = state || ' spoilt'")
os.kill(os.getpid(), 9)
"""


def cut_off_a_transaction(place: Place) -> None:
    """Leave the file as a writer does that is killed when half of a transaction has reached the file."""
    with running(_CUT_OFF, database(place)) as writer:
        assert writer.wait() == -signal.SIGKILL
    with (
        closing(sqlite3.connect(f"file:{database(place)}?mode=ro", uri=True)) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("SELECT count(*) FROM replicas")


def test_a_cut_off_transaction_is_undone_for_readers_and_left_to_the_writer(file_place: Place) -> None:
    saved = record(apps=40)
    store = file_place.store()
    store.save(saved)
    store.close()
    cut_off_a_transaction(file_place)
    before = database(file_place).read_bytes()
    assert file_place.reader().state() == saved.state
    assert database(file_place).read_bytes() == before
    assert file_place.store().load() == saved.state


def test_pruning_seeks_samples_and_neither_scans_nor_sorts_them(file_place: Place) -> None:
    store = file_place.store()
    old, new = NOW - 3 * 86400, NOW - 60
    store.save(record(new, samples=tuple(LoadSample("web", at, size, 1) for at in (old, new) for size in (10, 60))))
    with counted_statements() as statements:
        store.save(record(NOW), checkpoint=True)
    told = [it for it in statements if "samples" in it and not it.startswith("INSERT")]
    steps = [plan(file_place, it) for it in told if "min(samples.resolution_seconds)" not in it]
    assert len(steps) > 3
    assert [it for it in steps if "(instance=? AND resolution_seconds=?" not in it or "TEMP B-TREE" in it] == []


def plan(place: Place, statement: str) -> str:
    """How SQLite goes about it."""
    with closing(sqlite3.connect(database(place))) as connection:
        found = connection.execute(f"EXPLAIN QUERY PLAN {statement}", [None] * statement.count("?"))
        return "; ".join(row[3] for row in found)


# -- damage and loss --------------------------------------------------------------------------------------------------


def spoilt(place: Place) -> list[Path]:
    return sorted(place.state_dir.glob("orchestry.db.corrupt-*Z"))


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_damaged_database_file_is_moved_aside_and_begun_anew(file_place: Place, content: bytes) -> None:
    file_place.state_dir.mkdir()
    database(file_place).write_bytes(content)
    with pytest.raises(Unavailable, match="is damaged"):
        file_place.reader().recorded()
    store = file_place.store()
    [moved] = spoilt(file_place)
    assert moved.read_bytes() == content
    assert store.load() == State()
    assert moved.name in store.notices[0]
    store.save(record())
    assert file_place.reader().recorded().controller.notices == store.notices
    assert [event.message for event in file_place.reader().events(type="controller")] == list(store.notices)


def test_a_database_file_damaged_in_use_is_replaced_by_what_is_known(file_place: Place) -> None:
    store = file_place.store()
    store.save(record(apps=30))
    size = database(file_place).stat().st_size
    with database(file_place).open("r+b") as file:
        file.write(b"\xff" * size)
    last = record(apps=31, events=(Event(NOW, "app", "the news of this tick"),))
    store.save(last)
    assert len(spoilt(file_place)) == 1
    assert store.load() == last.state
    assert {event.message for event in file_place.reader().events()} == {"the news of this tick", *store.notices}


def test_a_database_file_that_vanished_is_made_anew_with_all_that_is_known(file_place: Place) -> None:
    store, saved = file_place.store(), record(apps=3)
    store.save(saved)
    database(file_place).unlink()
    store.save(record(NOW + 1, apps=3), checkpoint=True)
    assert file_place.reader().state() == saved.state
    assert "removed or replaced while in use" in store.notices[0]
    assert spoilt(file_place) == []


def test_a_state_directory_that_vanished_is_made_anew_and_locked_again(file_place: Place) -> None:
    store = file_place.store()
    store.save(record())
    shutil.rmtree(file_place.state_dir)
    store.save(record(NOW + 1), checkpoint=True)
    assert file_place.reader().state() == record().state
    with pytest.raises(AlreadyRunning):
        file_place.store()


def test_a_controller_whose_lock_was_taken_over_stops(file_place: Place) -> None:
    first = file_place.store()
    (file_place.state_dir / "controller-default.lock").unlink()
    file_place.store()
    with pytest.raises(AlreadyRunning):
        first.save(record())


def test_a_controller_whose_lock_file_was_removed_changes_nothing_before_it_has_locked_it_anew(
    file_place: Place,
) -> None:
    store = file_place.store()
    (file_place.state_dir / "controller-default.lock").unlink()
    with pytest.raises(LeadershipUnknown, match="controller-default.lock was removed or replaced"):
        store.fence()
    store.save(record())
    store.fence()


def test_the_name_of_a_state_directory_survives_a_disk_that_fills_up(file_place: Place) -> None:
    """It is what tells a controller that comes back from another one."""
    file_place.store().close()
    lock = file_place.state_dir / "controller-default.lock"
    name = lock.read_text().splitlines()[0]
    assert len(name) == 32
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leadership.os, "pwrite", _no_room)
        with pytest.raises(Unavailable, match="No space left"):
            file_place.store()
    assert lock.read_text().splitlines()[0] == name


def _no_room(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_state_directory_that_cannot_be_looked_into_is_unavailable_until_it_can_be(file_place: Place) -> None:
    store = file_place.store()
    store.save(record())
    aside = file_place.state_dir.rename(file_place.state_dir.with_name("aside"))
    file_place.state_dir.touch()
    with pytest.raises(Unavailable, match=r"controller-default\.lock: Not a directory; name a --state-dir"):
        store.save(record(NOW + 1), checkpoint=True)
    with pytest.raises(Unavailable, match=r"orchestry\.db: Not a directory; name a --state-dir"):
        store.load()
    file_place.state_dir.unlink()
    aside.rename(file_place.state_dir)
    store.save(record(NOW + 1), checkpoint=True)
    assert store.notices == ()


def test_a_lock_that_cannot_be_taken_again_is_kept_for_when_its_file_is_back(file_place: Place) -> None:
    store = file_place.store()
    lock = file_place.state_dir / "controller-default.lock"
    aside = lock.rename(lock.with_name("aside"))
    lock.symlink_to("nowhere/at/all")
    with pytest.raises(Unavailable, match="No such file or directory; name a --state-dir"):
        store.save(record())
    aside.rename(lock)
    store.save(record())
    with pytest.raises(AlreadyRunning):
        file_place.store()


def test_a_damaged_database_file_that_cannot_be_moved_aside_is_unavailable(
    file_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    file_place.state_dir.mkdir()
    database(file_place).write_bytes(b"no database at all" * 500)
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(Unavailable, match="Read-only file system; name a --state-dir"):
        file_place.store()


# -- who may read, who may write --------------------------------------------------------------------------------------

_READER = """
import sys
from pathlib import Path
from reconciler.ports import Unavailable
from reconciler.store import open_reader
try:
    print(open_reader(None, state_dir=Path(sys.argv[1]), instance="default").state().revision)
except Unavailable as error:
    print(f"{type(error).__name__}: {error}")
"""


def read_as_nobody(place: Place) -> str:
    """What another user's reader says."""
    prefix = ["setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    found = subprocess.run(
        [*prefix, sys.executable, "-c", _READER, str(place.state_dir)],
        env={"PYTHONPATH": str(Path.cwd()), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_another_user_reads_the_record_of_a_controller_that_runs_stopped_or_was_killed(public_place: Place) -> None:
    old = os.umask(0o077)
    try:
        store = public_place.store()
        store.save(record(apps=40))
        revision = record().state.revision
        assert read_as_nobody(public_place) == revision
        store.close()
        assert read_as_nobody(public_place) == revision
        cut_off_a_transaction(public_place)
        assert read_as_nobody(public_place) == revision
    finally:
        os.umask(old)
    assert stat.S_IMODE(database(public_place).stat().st_mode) == 0o644


def test_no_permission_and_no_database_are_told_apart(public_place: Place) -> None:
    assert read_as_nobody(public_place).startswith("NothingRecorded: there is no SQLite database")
    public_place.store().close()
    database(public_place).chmod(0o600)
    if os.geteuid() == 0:
        assert "Permission denied; it takes read permission on the file" in read_as_nobody(public_place)


def test_the_reader_of_a_store_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(NothingRecorded, match="orchestry run"):
        open_reader(None, state_dir=tmp_path / "none", instance="default").events()
    assert not (tmp_path / "none").exists()


def test_state_directories_with_odd_characters_are_no_trouble(tmp_path: Path) -> None:
    state_dir = tmp_path / "a?b#c %20 ä"
    with closing(open_store(None, state_dir=state_dir, instance="default")) as store:
        store.save(record())
        assert open_reader(None, state_dir=state_dir, instance="default").state() == record().state


def test_a_locked_database_file_is_unavailable_and_the_record_can_be_given_again(
    file_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_SECONDS", 0.05)
    store = file_place.store()
    store.save(record())
    news = record(NOW + 1, events=(Event(NOW + 1, "app", "news"),))
    with closing(sqlite3.connect(database(file_place), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match="another process keeps it locked"):
            store.save(news)
    store.save(news)
    assert [event.message for event in file_place.reader().events()] == ["news"]


def test_a_state_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="name a --state-dir"):
        open_store(None, state_dir=tmp_path / "file" / "state", instance="default")


# -- one controller ---------------------------------------------------------------------------------------------------

_HOLDER = """
import sys, time
from pathlib import Path
from reconciler.store import open_store
store = open_store(sys.argv[2] or None, state_dir=Path(sys.argv[1]), instance="default")
print("held", flush=True)
time.sleep(60)
"""


def test_the_lock_on_an_instance_goes_with_the_process_that_held_it(place: Place) -> None:
    with running(_HOLDER, place.state_dir, place.url or "") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning, match=rf"pid {holder.pid} on "):
            place.store()
    assert eventually(place.store).load() == State()

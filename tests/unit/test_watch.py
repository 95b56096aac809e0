"""Watching: every change wakes, whatever happens to the directories; what is watched stays small."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.source.directory import watched_directories
from reconciler.source.watch import Watch
from reconciler.source.worktree import WorkTree
from tests.support.repositories import Repository
from tests.support.sources import Wakes
from tests.support.specs import web
from tests.support.waiting import eventually


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
def watch(wakes: Wakes) -> Iterator[Callable[[Path], Watch]]:
    watches: list[Watch] = []

    def watching(root: Path) -> Watch:
        watches.append(Watch(lambda: watched_directories(root), wakes))
        return watches[-1]

    yield watching
    for each in watches:
        each.close()


def woken_by(wakes: Wakes, change: Callable[[], object]) -> None:
    """Changes until a wake-up comes: the first changes may be made before the watch has begun."""
    before = wakes.count

    def changed() -> bool:
        change()
        return wakes.count > before

    eventually(changed, every_seconds=0.1)


def test_files_wake_the_loop_in_a_directory_and_below_and_when_directories_appear(
    tmp_path: Path, wakes: Wakes, watch: Callable[[Path], Watch]
) -> None:
    watch(tmp_path)
    numbers = itertools.count()
    woken_by(wakes, lambda: (tmp_path / "a.yaml").write_text(str(next(numbers))))
    (tmp_path / "new").mkdir()
    woken_by(wakes, lambda: (tmp_path / "new" / "b.yaml").write_text(str(next(numbers))))


def test_a_directory_that_is_replaced_is_watched_again(
    tmp_path: Path, wakes: Wakes, watch: Callable[[Path], Watch]
) -> None:
    specs = tmp_path / "specs"
    specs.mkdir()
    watch(specs)
    numbers = itertools.count()
    woken_by(wakes, lambda: (specs / "a.yaml").write_text(str(next(numbers))))
    shutil.rmtree(specs)
    specs.mkdir()
    woken_by(wakes, lambda: (specs / "a.yaml").write_text(str(next(numbers))))


def test_a_watched_directory_may_come_later(tmp_path: Path, wakes: Wakes, watch: Callable[[Path], Watch]) -> None:
    specs = tmp_path / "specs"
    watch(specs)
    woken_by(wakes, lambda: specs.rmdir() if specs.exists() else specs.mkdir())


def test_a_watch_that_fails_is_logged_where_the_controller_logs(
    tmp_path: Path, watch: Callable[[Path], Watch], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Watch, places: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Watch, "_watch", fail)
    watch(tmp_path)
    eventually(lambda: caplog.records)
    assert caplog.records[0].name == "orchestry"
    assert "file changes don't wake the controller for now: [Errno 28]" in caplog.records[0].getMessage()


def test_closing_a_watch_ends_its_thread(tmp_path: Path, watch: Callable[[Path], Watch]) -> None:
    closed = watch(tmp_path)
    closed.close()
    assert not closed._thread.is_alive()


def test_a_work_tree_is_watched_where_commits_write_and_nowhere_else(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit({"specs/a.yaml": web("a"), "specs/sub/b.yaml": web("b"), "other/c": ""})
    repository.git("branch", "feature/x")
    tree = WorkTree(tmp_path, tmp_path / ".git", "specs", None)
    watched = {path.relative_to(tmp_path).as_posix() for path in tree.watched()}
    assert watched == {
        ".",
        "specs",
        "specs/sub",
        ".git",
        ".git/reftable",
        ".git/refs/heads",
        ".git/refs/heads/feature",
    }

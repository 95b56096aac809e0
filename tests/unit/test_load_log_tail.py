"""Every line once, whatever happens to the file: real files, real renames."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.load.log_tail import LogTail, Position


class World:
    """A log that is written to, turned over and read; ``now`` goes on with every step."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "access.log"
        self.written: list[bytes] = []
        self.seen: list[bytes] = []
        self.now = 1_000_000.0
        self.lost = False
        self._kept: Position | None = None
        self._tail: LogTail | None = None
        self._writer = self.path.open("ab", buffering=0)

    def write(self, count: int = 1) -> None:
        for _ in range(count):
            line = b"line %d\n" % len(self.written)
            self.written.append(line)
            self.write_raw(line)

    def write_raw(self, text: bytes) -> None:
        self._writer.write(text)
        self._date(self._writer.fileno())

    def read(self) -> None:
        self.now += 1
        if self._tail is None:
            self._tail = LogTail(self.path, self._kept)
        for lines in self._tail.read(self.now):
            assert lines.endswith(b"\n")
            self.seen.extend(lines.splitlines(keepends=True))
        self.lost |= self._tail.lost
        self._kept = self._tail.position

    def restart(self) -> None:
        self.close()
        self._tail = None

    def rename(self) -> None:
        """The first step of a rotation: the writer goes on in the renamed file."""
        self.now += 1
        if self.path.exists():
            self.path.replace(self.path.with_name("access.log.1"))

    def reopen(self) -> None:
        self._writer.close()
        self._writer = self.path.open("ab", buffering=0)
        self._date(self._writer.fileno())

    def rotate(self) -> None:
        self.rename()
        self.reopen()

    def empty(self) -> None:
        """What people do when a disk is full."""
        self.now += 1
        if self.path.exists():
            os.truncate(self.path, 0)
            self._date(self.path)

    def close(self) -> None:
        if self._tail:
            self._tail.close()

    def end(self) -> None:
        self.close()
        self._writer.close()

    def _date(self, file: Path | int) -> None:
        """Files carry our time, so that the test needs none of its own."""
        os.utime(file, (self.now, self.now))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.end()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def steps(world: World, story: str) -> None:
    verbs: dict[str, Callable[[], None]] = {
        "w": world.write,
        "r": world.read,
        "S": world.restart,
        "R": world.rotate,
        "m": world.rename,
        "o": world.reopen,
        "E": world.empty,
    }
    for letter in story:
        verbs[letter]()


@pytest.mark.parametrize(
    "story",
    [
        pytest.param("wwrwr", id="appended"),
        pytest.param("rwr", id="empty at first"),
        pytest.param("wrwRwr", id="rotated with lines unread"),
        pytest.param("wrmwrworwr", id="written to after the rename"),
        pytest.param("wrwRwRwr", id="rotated twice between two looks"),
        pytest.param("wrSwr", id="restarted"),
        pytest.param("wrSwRwr", id="rotated while the controller was down"),
        pytest.param("wrEwr", id="emptied by hand"),
        pytest.param("wwwrEwwwwr", id="emptied and grown beyond where we were"),
        pytest.param("wrSEwr", id="emptied while the controller was down"),
        pytest.param("rRwr", id="an empty file rotated"),
        pytest.param("wrmr", id="renamed and not there again yet"),
        pytest.param("wrmrSror", id="restarted in between"),
    ],
)
def test_every_line_exactly_once(world: World, story: str) -> None:
    steps(world, story)
    world.read()
    assert sorted(world.seen) == sorted(world.written)


_STORIES = st.lists(st.sampled_from(["w", "w", "w", "r", "S", "rR", "rmwo", "rmrwro", "rE"]), min_size=1, max_size=25)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=_STORIES)
def test_every_line_exactly_once_whatever_the_story(tmp_path: Path, story: list[str]) -> None:
    directory = tmp_path / str(len(list(tmp_path.iterdir())))
    directory.mkdir()
    world = World(directory)
    try:
        world.write()
        world.read()
        steps(world, "".join(story))
        world.read()
        assert sorted(world.seen) == sorted(world.written)
    finally:
        world.end()


def test_half_a_line_waits_for_its_end(world: World) -> None:
    world.write()
    world.write_raw(b"li")
    world.read()
    assert world.seen == [b"line 0\n"]
    world.write_raw(b"ne 1\n")
    world.read()
    assert world.seen == [b"line 0\n", b"line 1\n"]


def test_half_a_first_line_waits_too(world: World) -> None:
    world.write_raw(b"li")
    world.read()
    world.write_raw(b"ne 0\n")
    world.read()
    assert world.seen == [b"line 0\n"]


def test_older_logs_are_not_read_when_there_is_no_place_to_go_on_from(world: World) -> None:
    world.write()
    world.rotate()
    world.write()
    world.read()
    assert world.seen == world.written[1:]


def test_logs_older_than_the_last_look_are_not_read(world: World) -> None:
    stray = world.path.with_name("access.log.1")
    stray.write_bytes(b"line from long ago\n")
    os.utime(stray, (1, 1))
    steps(world, "wrSwRr")
    assert sorted(world.seen) == sorted(world.written)


def test_a_copy_of_the_log_is_not_read(world: World) -> None:
    steps(world, "wwr")
    shutil.copy(world.path, world.path.with_name("access.log.1"))
    steps(world, "wr")
    shutil.copy(world.path, world.path.with_name("access.log.1"))
    steps(world, "Swr")
    steps(world, "Sw")
    shutil.copy(world.path, world.path.with_name("access.log.1"))
    steps(world, "wr")
    assert world.seen == world.written


@pytest.mark.parametrize(
    ("story", "lost"),
    [
        pytest.param("wrSwr", False, id="restarted"),
        pytest.param("wrSRwr", False, id="rotated once meanwhile"),
        pytest.param("wrSwRwRwr", True, id="rotated twice meanwhile"),
        pytest.param("wrRwRwr", False, id="rotated twice under its eyes"),
    ],
)
def test_a_log_that_was_taken_away_while_nobody_read_it_is_told_of(world: World, story: str, lost: bool) -> None:
    steps(world, story)
    assert world.lost == lost


def test_a_log_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    tail = LogTail(tmp_path / "nowhere" / "access.log", None)
    assert list(tail.read(0.0)) == []
    assert not tail.exists


def test_a_line_without_end_does_not_fill_the_memory(world: World) -> None:
    world.write()
    world.write_raw(b"x" * 3_000_000)
    world.write_raw(b"\n")
    world.write()
    world.read()
    assert world.written[1] in world.seen
    assert sum(map(len, world.seen)) < 1_100_000


def test_files_that_are_finished_are_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.load.log_tail._LEAVE_AFTER_SECONDS", 0.0)
    before = open_files()
    for _ in range(20):
        world.write()
        world.read()
        world.rotate()
    world.read()
    world.read()
    assert open_files() <= before + 2
    assert sorted(world.seen) == sorted(world.written)

"""A watch over a process tells of its end, and of nothing else."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import threading
from collections.abc import Iterator

import pytest

from reconciler.edge.death_watch import DeathWatch
from tests.support.waiting import eventually


@pytest.fixture
def ended() -> threading.Event:
    return threading.Event()


@pytest.fixture
def watch(ended: threading.Event) -> Iterator[DeathWatch]:
    with contextlib.closing(DeathWatch(ended.set)) as watch:
        yield watch


@contextlib.contextmanager
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as child:
        try:
            yield child
        finally:
            child.kill()


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "nginx-watch"]


def test_the_end_of_a_watched_process_is_told(watch: DeathWatch, ended: threading.Event) -> None:
    for _ in range(2):
        with process() as child:
            watch.over(child.pid)
            watch.over(child.pid)
            assert len(watchers()) == 1
            assert not ended.is_set()
        assert ended.wait(20)
        ended.clear()


def test_processes_that_die_one_after_the_other_are_told_with_a_pause(
    watch: DeathWatch, ended: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.edge.death_watch.PAUSE_SECONDS", 3600)
    with process() as child:
        watch.over(child.pid)
    assert ended.wait(20)
    ended.clear()
    with process() as child:
        watch.over(child.pid)
    watch.close()
    assert not ended.is_set()


def test_the_end_of_a_process_that_is_watched_no_more_is_not_told(watch: DeathWatch, ended: threading.Event) -> None:
    with process() as other:
        with process() as child:
            watch.over(child.pid)
            watch.over(other.pid)
        assert not ended.is_set()
        watch.close()
        assert watchers() == []
    assert not ended.is_set()


def test_a_process_that_has_ended_already_is_left_to_whoever_looks_next(watch: DeathWatch) -> None:
    with process() as child:
        pass
    watch.over(child.pid)
    assert watchers() == []


def test_where_the_kernel_offers_no_watch_there_is_none(watch: DeathWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> int:
        raise OSError(errno.ENOSYS, f"no such call for {pid}")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    watch.over(os.getpid())
    assert watchers() == []


def test_a_bug_that_ends_the_watch_is_raised_to_whoever_renews_it() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with contextlib.closing(DeathWatch(fail)) as watch, process() as child:
        watch.over(child.pid)
        child.kill()
        eventually(lambda: not watchers())
        with pytest.raises(RuntimeError, match="nginx-watch"):
            watch.over(child.pid)

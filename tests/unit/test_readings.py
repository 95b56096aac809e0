"""Readings of a source beside the loop: who asks for one waits for nothing."""

from __future__ import annotations

import sys
import threading
from contextlib import closing

import pytest

from reconciler.model.desired import Desired
from reconciler.ports import Unavailable
from reconciler.source.readings import Readings
from tests.support.waiting import eventually

PATIENCE_SECONDS = 20


def idle() -> None:
    """Nothing."""


class HangingSource:
    """One whose readings hang for as long as it is told to, while its clock goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.well = threading.Event()
        self.hangs = threading.Event()
        monkeypatch.setattr("reconciler.source.readings.monotonic", lambda: self.now)
        self.readings = Readings(self._read, idle, thread_name="readings", doing="/specs is being read")

    def _read(self) -> Desired:
        if not self.well.is_set():
            self.hangs.set()
            self.well.wait(PATIENCE_SECONDS)
        return Desired("r1", {}, notices=("told before",))

    def hang(self) -> None:
        """Have a reading hang from now on."""
        self.hangs.clear()
        self.well.clear()
        self.readings.begin()
        assert self.hangs.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        self.well.set()
        self.readings.close()

    def notices(self) -> tuple[str, ...]:
        return self.readings.last().notices


def test_a_reading_that_hangs_is_told_while_the_one_before_it_stays_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(HangingSource(monkeypatch)) as source:
        source.well.set()
        source.readings.wait_for_first(PATIENCE_SECONDS)
        source.hang()
        source.now += 29
        assert source.notices() == ("told before",)
        source.now += 46
        assert source.readings.last().revision == "r1"
        assert source.notices() == (
            "told before",
            "/specs is being read, which has taken 60 s so far; the last finished reading stays in force",
        )
        source.well.set()
        eventually(lambda: source.notices() == ("told before",))


def test_a_first_reading_that_hangs_is_told_with_the_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(HangingSource(monkeypatch)) as source:
        assert source.hangs.wait(PATIENCE_SECONDS)
        source.now += 31
        words = "^/specs is being read for the first time; /specs is being read, which has taken 30 s so far$"
        with pytest.raises(Unavailable, match=words):
            source.readings.last()


def test_whoever_waits_for_the_first_reading_hears_of_the_bug_that_ended_it() -> None:
    def read() -> Desired:
        raise LookupError("a bug")

    readings = Readings(read, idle, thread_name="readings", doing="/specs is being read")
    with closing(readings), pytest.raises(RuntimeError, match="a bug ended the thread readings"):
        readings.wait_for_first(PATIENCE_SECONDS)


def test_a_reading_may_be_asked_for_in_the_middle_of_asking_for_one() -> None:
    """As SIGHUP does. A lock held by the thread that is interrupted would never be let go."""
    readings = Readings(lambda: Desired("r1", {}), idle, thread_name="readings", doing="/specs is being read")

    def interrupt(*_: object) -> None:
        sys.setprofile(None)
        readings.begin()
        sys.setprofile(interrupt)

    def ask() -> None:
        sys.setprofile(interrupt)
        readings.begin()
        sys.setprofile(None)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_SECONDS)
    assert not asking.is_alive()
    readings.close()

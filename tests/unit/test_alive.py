"""The file with the controller's sign of life, and the threads that write it whatever the loop is waiting for."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler import alive, pulse
from reconciler.model.observed import Outage
from reconciler.model.recorded import SignOfLife
from reconciler.ports import AlreadyRunning, Unavailable
from reconciler.pulse import Pulse
from tests.support.records import NOW
from tests.support.waiting import eventually

SIGN = SignOfLife(NOW, "host", 77, NOW - 600)
FULL = Outage("disk", "less than 128 KiB are left at /state; make room there")
BLIND = Outage("engine", "the Docker Engine at unix:///docker.sock does not answer: start it")


@pytest.mark.parametrize(
    "sign",
    [
        SIGN,
        replace(SIGN, trouble="the controller is waiting for nginx", trouble_since=NOW - 9),
        replace(SIGN, ended="removed"),
    ],
)
def test_a_sign_of_life_is_read_as_it_was_written(tmp_path: Path, sign: SignOfLife) -> None:
    alive.write(tmp_path / "alive", sign)
    assert alive.read(tmp_path / "alive") == sign


def test_a_sign_of_life_is_written_over_the_same_bytes_whatever_its_length(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    alive.write(file, SIGN)
    before = file.stat()
    for trouble in ("a\0b\n" * 1000, "ä🙂\x1b" * 1000, "", '"\\' * 1000):
        alive.write(file, replace(SIGN, trouble=trouble))
        sign, after = alive.read(file), file.stat()
        assert sign is not None
        assert len(sign.trouble) <= 500
        assert sign.trouble.isprintable()
        assert (after.st_ino, after.st_size, after.st_blocks) == (before.st_ino, before.st_size, before.st_blocks)


def test_a_sign_of_life_can_be_read_by_everybody_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        alive.write(tmp_path / "alive", SIGN)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "alive").stat().st_mode) == 0o644


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"{}", b'{"at": "now"}', b"\xff"])
def test_what_is_no_sign_of_life_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "alive").write_bytes(content)
    assert alive.read(tmp_path / "alive") is None
    assert alive.read(tmp_path / "nowhere") is None


def test_a_sign_of_life_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert alive.decode(alive.encode(SIGN)[:-1] + ', "mood": "fine"}') == SIGN


# -- the pulse --------------------------------------------------------------------------------------------------------


class Place:
    """Where signs are written; it fails, or hangs, as long as it is told to."""

    def __init__(self) -> None:
        self.signs: list[SignOfLife] = []
        self.error: Exception | None = None
        self.free = threading.Event()
        self.free.set()

    def write(self, sign: SignOfLife) -> None:
        assert self.free.wait(30)
        if self.error:
            raise self.error
        self.signs.append(sign)

    def last(self) -> SignOfLife:
        return eventually(lambda: self.signs)[-1]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "SIGN_SECONDS", 0.05)
    monkeypatch.setattr(pulse, "SLOW_SECONDS", 0.2)


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    place.free.set()


@pytest.mark.usefixtures("quick")
def test_a_step_that_hangs_is_told_of_until_it_is_over(place: Place) -> None:
    with Pulse({"a file": place.write}) as told:
        told.at("waiting for the Docker Engine")
        assert place.last().trouble == ""
        sign = eventually(lambda: place.last() if place.last().trouble else None)
        assert sign.trouble == "the controller is waiting for the Docker Engine"
        assert sign.at - sign.trouble_since >= 0.15
        told.rest()
        eventually(lambda: place.last().trouble == "")


def test_an_outage_is_told_of_at_once_and_so_is_its_end(place: Place) -> None:
    with Pulse({"a file": place.write}) as told:
        eventually(lambda: place.signs)
        told.reached((Outage("source", "gone"), BLIND), {"engine": NOW})
        eventually(lambda: (place.last().trouble, place.last().trouble_since) == (BLIND.sentence, NOW))
        told.reached((BLIND, FULL), {"engine": NOW, "disk": NOW + 1})
        eventually(lambda: place.last().trouble == FULL.sentence)
        told.reached((Outage("source", "gone"), Outage("edge", "gone")), {"source": NOW})
        eventually(lambda: place.last().trouble == "")


@pytest.mark.usefixtures("quick")
def test_a_place_that_fails_or_hangs_keeps_no_other_from_its_signs(place: Place) -> None:
    failing, hanging = Place(), Place()
    failing.error = OSError("no such place")
    hanging.free.clear()
    with Pulse({"one": place.write, "two": failing.write, "three": hanging.write}):
        eventually(lambda: len(place.signs) > 2)
        failing.error = Unavailable("gone")
        failing.error = None
        eventually(lambda: failing.signs)
        hanging.free.set()
        eventually(lambda: hanging.signs)


def test_the_last_sign_tells_how_a_controller_ended(place: Place) -> None:
    with Pulse({"a file": place.write}):
        pass
    assert (place.last().ended, place.last().trouble) == ("stopped", "")
    with pytest.raises(Unavailable), Pulse({"a file": place.write}):
        raise Unavailable("the Docker Engine does not answer")
    assert (place.last().ended, place.last().trouble) == ("failed", "the Docker Engine does not answer")
    with pytest.raises(ValueError, match="hunter2"), Pulse({"a file": place.write}):
        raise ValueError("hunter2")
    assert (place.last().ended, place.last().trouble) == ("failed", "ValueError, which its log tells of")


def test_a_bug_in_writing_signs_of_life_is_a_bug_of_the_loop(place: Place) -> None:
    place.error = ZeroDivisionError()
    with Pulse({"a file": place.write}) as told, pytest.raises(RuntimeError, match="sign of life in a file"):
        eventually(told.rest)


def test_an_instance_is_held_as_long_as_the_loop_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "CHECKPOINT_SECONDS", 0.02)
    monkeypatch.setattr(pulse, "HOLD_SECONDS", 0.3)
    held: list[float] = []
    troubles: list[Exception] = [Unavailable("gone"), AlreadyRunning("another")]

    def renew() -> None:
        held.append(time.monotonic())
        if troubles:
            raise troubles.pop()

    with Pulse({}, renew) as told:
        told.at("waiting for the Docker Engine")
        eventually(lambda: len(held) > 3)
        eventually(lambda: time.monotonic() - held[-1] > 0.6)
        before = len(held)
        told.rest()
        eventually(lambda: len(held) > before)
    assert "hold on the instance" not in {thread.name for thread in threading.enumerate()}

"""Outages as events: told once when they begin and once when they are over, also of a database that can't take them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from reconciler import loop, state_disk
from reconciler.decide.outages import news
from reconciler.loop import Stop, run
from reconciler.model.events import Event
from reconciler.model.observed import Outage
from reconciler.model.state import State
from reconciler.ports import Record
from reconciler.state_disk import fullness
from tests.scenarios.host import Host
from tests.support.records import NOW

ENGINE = Outage("engine", "no answer", "nothing is changed")
EDGE = Outage("edge", "no nginx")


def test_an_outage_is_told_of_when_it_begins_and_when_it_is_over() -> None:
    first = news(State(), [ENGINE], NOW)
    assert [(event.type, event.message) for event in first.begun] == [
        ("controller", "the Docker Engine can't be seen: no answer")
    ]
    second = news(first.state, [ENGINE, EDGE], NOW + 5)
    assert [event.message for event in second.begun] == ["the route table can't be published: no nginx"]
    assert second.state.outages == {"engine": NOW, "edge": NOW + 5}
    third = news(second.state, [EDGE], NOW + 23)
    [ended] = third.ended
    assert ended.message == (
        "the Docker Engine can be seen again, which was not so from 2027-01-15 08:00:00 UTC on, for 23 s"
    )
    assert third.state.outages == {"edge": NOW + 5}
    assert news(third.state, [EDGE], NOW + 24).state is third.state
    assert news(third.state, [], NOW + 24, unseen=["edge"]).state is third.state


# -- in the loop ------------------------------------------------------------------------------------------------------


class LoopedHost(Host):
    """A host whose loop runs in simulated time: each sleep is a second, and before each the ``story`` goes on."""

    def __init__(self) -> None:
        super().__init__(lambda _: None, lambda *_: None)
        self.events: list[Event] = []
        self.troubles: list[str] = []
        self._save = self.store.save
        self.store.save = self._record  # type: ignore[method-assign]

    def _record(self, record: Record, *, checkpoint: bool = False) -> None:
        self._save(record, checkpoint=checkpoint)
        self.events += record.events

    def play(self, story: Iterator[None]) -> None:
        """Run the loop until the story ends. Between two steps of it is a tick, and a second."""
        stop = Stop(lambda: None)

        def sleep(*_: float) -> None:
            self.troubles.append(self.world.pulse.trouble()[0])
            self.engine.advance(1.0)
            if next(story, "over") == "over":
                stop.request()

        with patch.object(self.executor, "finish", lambda _: ()):
            assert run(self.world, SimpleNamespace(sleep=sleep), stop, 1.0) == 0  # type: ignore[arg-type]

    def told(self, *types: str) -> list[str]:
        return [event.message for event in self.events if event.type in types]


@pytest.fixture
def host() -> LoopedHost:
    return LoopedHost()


def away(host: LoopedHost, side: str, ticks: int = 5) -> Iterator[None]:
    """A side goes away for so many ticks, and comes back."""
    yield
    host.faults.gone.add(side)
    yield from [None] * ticks
    host.faults.gone.clear()
    yield from [None] * 2


SENTENCES = {
    "source": ("the source can't be read: ", "the source can be read again, which was not so from "),
    "engine": ("the Docker Engine can't be seen: ", "the Docker Engine can be seen again, which was not so from "),
    "edge": ("the route table can't be published: ", "the route table can be published again, which was not so from "),
    "store": ("the database can't be written: ", "the database can be written again, which was not so from "),
}


@pytest.mark.parametrize("side", SENTENCES)
def test_an_outage_that_lasts_several_ticks_is_told_of_twice_altogether(host: LoopedHost, side: str) -> None:
    host.play(away(host, side))
    outages = [event for event in host.events if event.message.startswith(tuple(SENTENCES[side]))]
    assert [event.message.startswith(start) for event, start in zip(outages, SENTENCES[side], strict=True)] == [
        True
    ] * 2
    assert outages[1].at - outages[0].at == pytest.approx(5, abs=1)
    vital = side in ("engine", "store")
    assert [bool(trouble) for trouble in host.troubles] == [False, False, *[vital] * 5, False, False]


def test_the_end_of_an_outage_is_told_by_a_controller_that_was_started_meanwhile(host: LoopedHost) -> None:
    host.faults.gone.add("engine")
    host.play(iter([None]))
    assert host.store.state.outages.keys() == {"engine"}
    host.faults.gone.clear()
    host.restart()
    host.play(iter([None]))
    assert host.told("controller")[-1].startswith("the Docker Engine can be seen again, which was not so from ")
    assert host.store.state.outages == {}


def test_a_database_that_fails_is_logged_once_a_minute(
    host: LoopedHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=lambda: host.engine.now)
    monkeypatch.setattr(loop, "time", clock)
    with caplog.at_level(logging.INFO, "orchestry"):
        host.play(away(host, "store", ticks=130))
    lines = [line for line in caplog.messages if "database" in line]
    assert [line.partition(";")[0] for line in lines[:3]] == ["store: the simulated database is away"] * 3
    assert len(lines) == 4
    assert "the database can be written again" in lines[3]


# -- a full disk ------------------------------------------------------------------------------------------------------


def disk(**changes: int) -> os.statvfs_result:
    fields = {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 1000, "f_bfree": 100, "f_bavail": 50, "f_files": 100}
    return SimpleNamespace(**(fields | {"f_ffree": 10, "f_favail": 5} | changes))  # type: ignore[return-value]


FULL = "less than 128 KiB are left at /state; make room there"
DISKS: dict[str, tuple[Callable[[], os.statvfs_result], int, str | None]] = {
    "room": (lambda: disk(), 1000, None),
    "none": (lambda: disk(f_bfree=0, f_bavail=0), 0, FULL),
    "room for root only": (lambda: disk(f_bavail=0), 1000, FULL),
    "room for root": (lambda: disk(f_bavail=0), 0, None),
    "no more files": (lambda: disk(f_ffree=0, f_favail=0), 0, "no file can be made at /state; remove some there"),
    "a file system that doesn't count": (lambda: disk(f_blocks=0, f_bfree=0, f_files=0, f_ffree=0), 0, None),
}


@pytest.mark.parametrize("case", DISKS)
def test_a_disk_is_full_when_nothing_more_can_be_written(case: str) -> None:
    made, user, expected = DISKS[case]
    with patch.object(state_disk.os, "statvfs", lambda _: made()), patch.object(state_disk.os, "geteuid", lambda: user):
        outage = fullness(Path("/state"))
    assert (outage and outage.error) == expected


def test_a_disk_that_cannot_be_asked_is_not_full(tmp_path: Path) -> None:
    assert fullness(tmp_path / "nowhere") is None


def test_a_full_disk_is_an_outage_of_its_own_and_keeps_the_controller_from_its_work(host: LoopedHost) -> None:
    full = [Outage("disk", FULL)]
    host.world = replace(host.world, state_disk=lambda: full[0] if full else None)
    host.play(iter([None]))
    assert host.troubles == [f"the disk of the state directory is full: {FULL}"] * 2
    full.clear()
    host.play(iter([None]))
    begun, ended = host.told("controller")
    assert begun == host.troubles[0]
    assert ended.startswith("the disk of the state directory has room again, which was not so from ")
    assert host.troubles[2:] == ["", ""]


def test_a_remote_that_can_not_be_fetched_is_told_of_though_what_was_fetched_last_stands_in_for_it() -> None:
    host = LoopedHost()

    def story() -> Iterator[None]:
        yield
        good = host.source.desired
        host.source.desired = replace(good, unfetched="git.example.com does not answer")
        yield
        yield
        host.source.desired = good
        yield
        yield

    host.play(story())
    [begun, ended] = [message for message in host.told("source") if "can" in message]
    assert "git.example.com does not answer" in begun
    assert "again, which was not so from " in ended

"""The meter's own rhythm: what is handed out and until when, and what a clock that is set does."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from reconciler.load import background
from reconciler.load.background import BackgroundMeter
from reconciler.load.meter import Watched
from reconciler.model.load import AppLoad, Loads, LoadSample
from tests.support.waiting import eventually


class Measuring:
    """In place of all that measures: says when it was asked, and how often it began anew."""

    def __init__(self) -> None:
        self.begun_anew: list[float] = []
        self.kept_until: list[float] = []
        self.samples: list[LoadSample] = []

    def look(self, watched: Watched, now: float) -> Loads:
        samples, self.samples = tuple(self.samples), []
        return Loads(apps={"web": AppLoad(rps=now)}, samples=samples)

    def begin_anew(self, now: float) -> None:
        self.begun_anew.append(now)

    def keep_position(self, recorded_until: float) -> None:
        self.kept_until.append(recorded_until)

    def close(self) -> None:
        """Nothing is open."""


class Clock:
    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_seconds


@pytest.fixture
def measuring() -> Measuring:
    return Measuring()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(measuring: Measuring, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackgroundMeter]:
    monkeypatch.setattr(background, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(background, "MIN_REST_SECONDS", 0.01)
    made = BackgroundMeter(measuring, clock)  # type: ignore[arg-type]
    yield made
    made.close()


def read(meter: BackgroundMeter) -> Loads:
    return meter.read([], [], [], 0.0)


@pytest.mark.parametrize("step_seconds", [-3600.0, -10.0, 10.0, 3600.0])
def test_the_meter_begins_anew_once_when_the_clock_is_set(
    meter: BackgroundMeter, measuring: Measuring, clock: Clock, step_seconds: float
) -> None:
    eventually(lambda: read(meter).apps)
    assert measuring.begun_anew == []
    clock.ahead_seconds = step_seconds
    eventually(lambda: measuring.begun_anew)
    later = clock() + 0.05
    eventually(lambda: (read(meter).apps["web"].rps or 0) > later)
    assert len(measuring.begun_anew) == 1


def test_the_meter_goes_on_when_the_clock_drifts(meter: BackgroundMeter, measuring: Measuring, clock: Clock) -> None:
    eventually(lambda: read(meter).apps)
    clock.ahead_seconds = 1.0
    later = clock() + 0.05
    eventually(lambda: (read(meter).apps["web"].rps or 0) > later)
    assert measuring.begun_anew == []


def test_samples_of_load_are_handed_out_until_they_are_recorded(meter: BackgroundMeter, measuring: Measuring) -> None:
    one, another = LoadSample("web", 10.0, 10, 1), LoadSample("web", 20.0, 10, 1)
    measuring.samples = [one, another]
    eventually(lambda: len(read(meter).samples) == 2)
    meter.recorded([one])
    assert read(meter).samples == (another,)
    eventually(lambda: measuring.kept_until == [10.0])
    meter.recorded([another])
    assert read(meter).samples == ()
    eventually(lambda: measuring.kept_until == [10.0, 20.0])


def test_of_one_app_and_time_there_is_one_sample_of_load(meter: BackgroundMeter, measuring: Measuring) -> None:
    """A clock that was set back brings the same time twice, and the store has one row for it."""
    before, after = LoadSample("web", 10.0, 10, 1), LoadSample("web", 10.0, 10, 2)
    measuring.samples = [before]
    eventually(lambda: read(meter).samples == (before,))
    measuring.samples = [after]
    eventually(lambda: read(meter).samples == (after,))
    meter.recorded([before])
    assert read(meter).samples == (after,)

"""A start without a database: what the loop does until there is one, and what it does not do before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from reconciler import loop
from reconciler.loop import Stop, Until, Waker, run
from reconciler.model.events import Event
from reconciler.model.plan import DecisionSettings
from reconciler.model.state import State
from reconciler.ports import AlreadyRunning, Record, Unavailable, Unfit
from reconciler.pulse import Pulse
from reconciler.tick import World

AWAY = Unavailable("PostgreSQL database state at db:5432: connection refused; check that the server runs")


class Surroundings:
    """Store, runtime, executor and clock of a loop that is to end as soon as it has begun: ``answers`` are what loading
    gives, one after the other."""

    def __init__(self, *answers: State | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[str] = []
        self.records: list[Record] = []
        self.loaded: Callable[[], None] = lambda: None
        self.seconds = 1000.0

    def load(self) -> State:
        self.calls.append("load")
        answer = self.answers.pop(0)
        if not self.answers:
            self.loaded()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def prepare(self) -> None:
        self.calls.append("prepare")

    def finish(self, _: float) -> tuple[()]:
        return ()

    def save(self, record: Record, *, checkpoint: bool = False) -> None:
        self.records.append(record)

    def now(self) -> float:
        self.seconds += 1
        return self.seconds


def code_of(surroundings: Surroundings, until: Until | None = None, *, end_once_loaded: bool = False) -> int:
    """The exit code of a loop in these surroundings."""
    some = cast(Any, surroundings)
    world = World(some, some, some, some, some, some, some, some, DecisionSettings(), pulse=Pulse())
    waker = Waker()
    stop = Stop(waker.wake)
    if end_once_loaded:
        surroundings.loaded = stop.request
    return run(world, waker, stop, 1.0, until or Until())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STORE_PAUSE_SECONDS", 0.01)


def test_a_start_without_a_database_waits_for_it_and_changes_nothing_before(caplog: pytest.LogCaptureFixture) -> None:
    surroundings = Surroundings(*[AWAY] * 5, State(revision="r1"))
    assert code_of(surroundings, end_once_loaded=True) == 0
    assert surroundings.calls == [*["load"] * 6, "prepare"]
    said = [
        record.getMessage() for record in caplog.records if "nothing is done until it can be" in record.getMessage()
    ]
    assert len(said) == 1
    assert said[0].startswith("store: PostgreSQL database state at db:5432")
    [record] = surroundings.records
    assert record.state.revision == "r1"
    assert record.state.outages == {"store": 1003.0}, "its end is told by the next tick"
    assert record.events == (Event(1003.0, "controller", f"the database can't be written: {AWAY}"),)


def test_an_outage_of_the_database_that_is_on_record_is_not_begun_again_by_a_restart() -> None:
    surroundings = Surroundings(AWAY, State(outages={"store": 7.0}))
    code_of(surroundings, end_once_loaded=True)
    [record] = surroundings.records
    assert (record.state.outages, record.events) == ({"store": 7.0}, ())


def test_one_pass_without_a_database_fails() -> None:
    assert code_of(Surroundings(AWAY), Until(once=True)) == 1


def test_whoever_waits_for_convergence_gives_up_without_a_database_as_well() -> None:
    assert code_of(Surroundings(*[AWAY] * 99), Until(converged=True, timeout_seconds=5.0)) == 1


def test_a_controller_that_waits_for_its_database_can_be_stopped() -> None:
    surroundings = Surroundings(AWAY)
    assert code_of(surroundings, end_once_loaded=True) == 0
    assert (surroundings.calls, surroundings.records) == (["load"], [])


@pytest.mark.parametrize("error", [Unfit("schema 9999"), AlreadyRunning("another")])
def test_what_waiting_for_a_database_does_not_mend_ends_the_controller(error: Exception) -> None:
    with pytest.raises(type(error)):
        code_of(Surroundings(error))

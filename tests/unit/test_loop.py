"""How the loop is woken, and what becomes of actions when it ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reconciler.executor import Executor
from reconciler.loop import Stop, Waker, run
from reconciler.model.actions import (
    Action,
    ActionFailure,
    EnsureImage,
    FailureKind,
    Outcome,
    RemoveReplica,
    StopReplica,
)
from reconciler.model.plan import DecisionSettings
from reconciler.model.reasons import Reason
from reconciler.model.replica_state import Ending
from reconciler.model.state import State
from reconciler.ports import Record
from reconciler.tick import World
from reconciler.wiring import SystemClock
from tests.fakes.engine import FakeEngine
from tests.fakes.runtime import FakeRuntime
from tests.support.apps import version
from tests.support.records import NOW, app_state, replica_state
from tests.support.waiting import eventually

PATIENCE_SECONDS = 30.0


class SlowRuntime(FakeRuntime):
    """Performs nothing before it may."""

    def __init__(self) -> None:
        super().__init__(FakeEngine())
        self.may_end = threading.Event()
        self.go_on = threading.Event()
        self.hanging: set[str] = set()
        self.performed: list[str] = []

    def perform(self, action: Action) -> None:
        (self.go_on if action.key in self.hanging else self.may_end).wait(PATIENCE_SECONDS)
        self.performed.append(action.key)


class Wakes:
    """How often each was called; ``any`` is set by either."""

    def __init__(self) -> None:
        self.wakes = self.at_once = 0
        self.any = threading.Event()

    def wake(self) -> None:
        self.wakes += 1
        self.any.set()

    def wake_at_once(self) -> None:
        self.at_once += 1
        self.any.set()


@pytest.fixture
def runtime() -> Iterator[SlowRuntime]:
    runtime = SlowRuntime()
    yield runtime
    runtime.may_end.set()
    runtime.close()


def executor_of(runtime: SlowRuntime, wakes: Wakes) -> Executor:
    return Executor(runtime, SystemClock(), wake=wakes.wake, wake_at_once=wakes.wake_at_once, concurrency=1)


def removal(number: int) -> RemoveReplica:
    return RemoveReplica("web", f"web-{number}", f"id{number}", "test")


def test_whoever_was_woken_by_an_ended_action_finds_its_outcome(runtime: SlowRuntime) -> None:
    wakes = Wakes()
    executor = executor_of(runtime, wakes)
    executor.submit([removal(1)])
    runtime.may_end.set()
    assert wakes.any.wait(PATIENCE_SECONDS)
    assert [outcome.action.key for outcome in executor.collect()] == ["web-1"]
    assert (wakes.wakes, wakes.at_once) == (0, 1)
    executor.close()


def test_a_pull_that_hangs_keeps_nobody_from_being_told_at_once(runtime: SlowRuntime) -> None:
    wakes = Wakes()
    executor = executor_of(runtime, wakes)
    runtime.hanging.add("image demo:1 of web")
    executor.submit([EnsureImage("web", version(), "test"), removal(1)])
    runtime.may_end.set()
    assert wakes.any.wait(PATIENCE_SECONDS)
    assert (wakes.wakes, wakes.at_once) == (0, 1)
    assert executor.queued == {}
    executor.close()
    runtime.go_on.set()


def test_what_waits_for_its_turn_is_in_flight_and_known_to_be_queued(runtime: SlowRuntime) -> None:
    executor = executor_of(runtime, Wakes())
    executor.submit([removal(1), removal(2)])
    executor.submit([removal(2)])
    assert [action.key for action in executor.in_flight] == ["web-1", "web-2"]
    assert executor.queued == {"web-2": 1}
    runtime.may_end.set()
    outcomes = eventually(lambda: (ended := executor.collect()) and len(ended) == 2 and ended)
    assert [outcome.action.key for outcome in outcomes] == ["web-1", "web-2"]
    assert (executor.in_flight, executor.queued) == ((), {})
    executor.close()


def test_actions_that_have_not_begun_when_the_loop_ends_never_begin(runtime: SlowRuntime) -> None:
    executor = executor_of(runtime, Wakes())
    executor.submit([removal(number) for number in range(1, 5)])
    executor.close()
    runtime.may_end.set()
    executor.finish(PATIENCE_SECONDS)
    assert runtime.performed in ([], ["web-1"])


def test_an_action_that_no_thread_has_taken_up_yet_is_not_waited_for(
    runtime: SlowRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = executor_of(runtime, Wakes())
    with ThreadPoolExecutor(1) as threads:
        monkeypatch.setattr(executor, "_threads", threads)
        threads.submit(runtime.may_end.wait, PATIENCE_SECONDS)
        executor.submit([removal(1)])
        began = time.monotonic()
        assert executor.finish(PATIENCE_SECONDS) == ()
        assert time.monotonic() - began < PATIENCE_SECONDS / 2
        runtime.may_end.set()
    assert runtime.performed == []


def test_what_actions_came_to_as_the_loop_ended_is_known_to_the_controller_that_follows() -> None:
    """Else one that makes a single pass would ask a program to end, again and again, and never be done with it."""
    stop = Stop(lambda: None)
    asked = StopReplica("web", "web-1", "c0ffeeweb-1", "test", 10)
    pull = EnsureImage("web", version(), "test")
    given_up = ActionFailure(FailureKind.TRY_LATER, Reason.STOPPING, "given up")
    outcomes = (Outcome(asked, NOW, NOW + 1), Outcome(pull, NOW, NOW + 1, given_up))
    state = State({"web": app_state()}, {"web-1": replica_state(ending=Ending("test", 10))}, as_of=NOW)
    records: list[Record] = []
    outside = cast(
        "Any",
        SimpleNamespace(
            load=lambda: stop.request() or state,
            prepare=lambda: None,
            finish=lambda _: outcomes,
            save=lambda record, **_: records.append(record),
            now=lambda: NOW + 2,
        ),
    )
    world = World(*[outside] * 8, settings=DecisionSettings())
    assert run(world, Waker(), stop, 1.0) == 0
    [record] = records
    assert record.outcomes == outcomes
    assert record.state.replicas["web-1"].ending == Ending("test", 10, asked_at=NOW + 1)
    assert record.state.apps["web"].pacing.creation is None
    assert [event.message for event in record.events] == ["stop web-1: test"]


def test_wakes_of_the_loop_within_the_spacing_are_taken_along_and_an_urgent_one_is_not_waited_for() -> None:
    waker = Waker()
    waker.wake()
    waker.wake_at_once()
    waker.wake()
    waker.sleep(PATIENCE_SECONDS, PATIENCE_SECONDS)  # ends at once
    began = time.monotonic()
    waker.sleep(0.05, PATIENCE_SECONDS)  # none is left over
    assert time.monotonic() - began >= 0.05


def test_a_signal_handler_may_wake_in_the_middle_of_a_wake() -> None:
    """A lock held by the thread that is interrupted would never be let go."""
    waker = Waker()
    before = signal.signal(signal.SIGALRM, lambda *_: waker.wake())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        ends_at = time.monotonic() + 0.3
        while time.monotonic() < ends_at:
            waker.wake()
            waker.sleep(1, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_hangup_asks_for_a_look_at_the_source_is_noted_once_and_ends_nothing() -> None:
    waker, looks = Waker(), list[None]()
    stop = Stop(waker.wake_at_once)
    before = signal.getsignal(signal.SIGHUP)
    try:
        stop.on_hangup(lambda: looks.append(None))
        assert not stop.hung_up()
        signal.raise_signal(signal.SIGHUP)
        waker.sleep(PATIENCE_SECONDS, 0)  # ends at once
        assert (looks, stop.requested) == ([None], False)
        assert [stop.hung_up(), stop.hung_up()] == [True, False]
    finally:
        signal.signal(signal.SIGHUP, before)

"""A bug in a background thread is a bug of the loop: whoever uses the thread's work raises it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.load.background import BackgroundMeter
from reconciler.load.prometheus import CustomMetrics
from reconciler.loud_thread import LoudThread
from reconciler.model.plan import ProbeTarget
from reconciler.model.spec import HealthCheck
from reconciler.ports import Unavailable
from reconciler.probe import open_prober
from reconciler.runtime.deaths import Deaths
from reconciler.runtime.events import EventWatch
from reconciler.runtime.images import HostImages
from reconciler.source import open_source
from tests.fakes.engine import FakeEngine
from tests.fakes.runtime import FakeRuntime
from tests.support.waiting import eventually


def bug(*_: object) -> Any:
    raise LookupError("a bug")


def raised_by(use: Callable[[], object]) -> Exception | None:
    try:
        use()
    except Exception as error:  # noqa: BLE001 which one is what the test asks
        return error
    return None


@pytest.mark.parametrize("error", [LookupError("a bug"), Unavailable("the Engine is away")])
def test_what_ended_a_loud_thread_is_raised_as_a_bug_whenever_it_is_checked(error: Exception) -> None:
    def work() -> None:
        raise error

    thread = LoudThread(work, "fetching")
    thread.check()
    thread.start()
    thread.join()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="a bug ended the thread fetching") as raised:
            thread.check()
        assert raised.value.__cause__ is error


def test_a_loud_thread_is_quiet_while_it_works_and_when_its_work_is_done() -> None:
    enough = threading.Event()
    thread = LoudThread(enough.wait, "fetching")  # type: ignore[arg-type]
    thread.start()
    thread.check()
    enough.set()
    thread.join()
    thread.check()


def idle(*_: object) -> None:
    """Nothing."""


# What each is for -> how it is opened, and what the tick asks of it.
WORK: dict[str, tuple[Callable[[Path], Any], Callable[[Any], object]]] = {
    "fetching": (
        lambda place: open_source(f"file://{place}/none", state_dir=place, wake=idle, allow_file_urls=True),
        lambda source: source.read(),
    ),
    "watching files": (
        lambda place: open_source(str(place), state_dir=place, wake=idle),
        lambda source: source.read(),
    ),
    "measuring": (lambda _: BackgroundMeter(ExitStack(), float), lambda meter: meter.read([], [], [], 0.0)),
    "asking for custom metrics": (lambda _: CustomMetrics(bug), lambda metrics: metrics.watch([])),
    "probing": (lambda _: open_prober(wake=idle, redactor_of=bug), lambda prober: prober.collect()),
    "following events": (lambda _: FakeRuntime(FakeEngine()), lambda runtime: runtime.inventory()),
}


@pytest.mark.parametrize("work", WORK)
def test_whoever_uses_the_work_of_a_loud_thread_checks_it(
    work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, asked = WORK[work]
    with closing(opened(tmp_path)) as worker:
        assert not isinstance(raised_by(lambda: asked(worker)), LookupError)
        monkeypatch.setattr(LoudThread, "check", bug)
        assert isinstance(raised_by(lambda: asked(worker)), LookupError)


def test_a_bug_in_one_probe_is_raised_where_the_answers_are_collected() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as replica,
        closing(open_prober(wake=bug, redactor_of=lambda _: str)) as prober,
    ):
        check, port = HealthCheck(protocol="TCP"), replica.getsockname()[1]
        prober.watch([ProbeTarget("c1", "health", "127.0.0.1", port, check, quick=True, first_at=0.0)])
        eventually(lambda: isinstance(raised_by(prober.collect), LookupError))


def test_an_engine_that_is_away_does_not_end_the_following_of_its_events() -> None:
    class Away:
        tries = 0

        def read(self) -> None:
            self.tries += 1
            raise Unavailable("away")

    engine = Away()
    with closing(EventWatch(engine, "default", Deaths(), HostImages(), idle, idle)) as events:  # type: ignore[arg-type]
        events.start()
        eventually(lambda: engine.tries >= 2)
        events.check()

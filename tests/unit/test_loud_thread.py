"""A bug in a background thread is a bug of the loop: whoever uses the thread's work raises it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.load.background import BackgroundMeter
from reconciler.load.prometheus import CustomMetrics
from reconciler.model.plan import ProbeTarget
from reconciler.model.spec import HealthCheck
from reconciler.ports import Unavailable
from reconciler.probe import open_prober
from reconciler.runtime.engine import Engine
from reconciler.runtime.events import EventWatch
from reconciler.source import git, open_source
from reconciler.source.watch import Watch
from tests.fakes.engine import FakeEngine
from tests.fakes.runtime import FakeRuntime
from tests.support.repositories import Repository
from tests.support.specs import web
from tests.support.waiting import eventually


def bug(*_: object) -> Any:
    raise LookupError("a bug")


def raises_the_bug(use: Callable[[], object]) -> bool:
    """Whether it does by now, in the loud thread's words; any other error fails the test."""
    try:
        use()
    except RuntimeError as error:
        return isinstance(error.__cause__, LookupError)
    return False


def test_fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository(tmp_path / "origin")
    repository.commit({"web.yaml": web()})
    source = open_source(
        repository.url, state_dir=tmp_path, wake=lambda: None, fetch_interval_seconds=3600, allow_file_urls=True
    )
    with closing(source):
        source.read()
        monkeypatch.setattr(git.Mirror, "fetch", bug)
        source.refresh()
        eventually(lambda: raises_the_bug(source.read))


def test_watching_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "_inodes", bug)
    with closing(open_source(str(tmp_path), state_dir=tmp_path, wake=lambda: None)) as source:
        eventually(lambda: raises_the_bug(source.read))


class Broken:
    """Measures nothing, by a bug."""

    look = bug

    def close(self) -> None:
        """Nothing is open."""


def test_measuring() -> None:
    with closing(BackgroundMeter(Broken(), lambda: 0.0)) as meter:  # type: ignore[arg-type]
        eventually(lambda: raises_the_bug(lambda: meter.read([], [], [], 0.0)))


def test_asking_for_custom_metrics() -> None:
    with closing(CustomMetrics(bug)) as metrics:
        eventually(lambda: raises_the_bug(lambda: metrics.watch(["up"])))


def test_scheduling_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.probe.prober.BackgroundProber._queue_due", bug)
    with closing(open_prober(wake=lambda: None, redactor_of=lambda _: str)) as prober:
        eventually(lambda: raises_the_bug(prober.collect))


def test_probing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.probe.checks.TcpCheck.__call__", bug)
    with closing(open_prober(wake=lambda: None, redactor_of=lambda _: str)) as prober:
        check = HealthCheck(protocol="TCP")
        prober.watch([ProbeTarget("c1", "health", "127.0.0.1", 1, check, quick=True, first_at=0.0)])

        def collected() -> bool:
            try:
                prober.collect()
            except LookupError:
                return True
            return False

        eventually(collected)


def test_following_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventWatch, "_follow", bug)
    runtime = FakeRuntime(FakeEngine())
    runtime._events = EventWatch(Engine(1), "default", runtime, lambda: None)
    with closing(runtime):
        runtime.prepare()
        eventually(lambda: raises_the_bug(lambda: runtime.inventory()))


def test_an_engine_that_is_away_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def away(_: EventWatch) -> None:
        tried.set()
        raise Unavailable("away")

    monkeypatch.setattr(EventWatch, "_follow", away)
    runtime = FakeRuntime(FakeEngine())
    with closing(EventWatch(Engine(1), "default", runtime, lambda: None)) as events:
        events.start()
        assert tried.wait(20)
        tried.clear()
        assert tried.wait(20)
        events.check()

"""The Engine's stats: asked in the background, one question per container at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from reconciler.load.engine_stats import CONCURRENCY, EngineStats, usage_of
from reconciler.ports import Unavailable
from tests.support.waiting import eventually


class Engine:
    """Answers once ``gate`` is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked: list[str] = []
        self.answer: Mapping[str, Any] | None = _answer()

    def stats(self, container_id: str) -> Mapping[str, Any]:
        self.asked.append(container_id)
        self.gate.wait(20)
        if self.answer is None:
            raise Unavailable("the Engine does not answer")
        return self.answer


def _answer(**memory: Any) -> dict[str, Any]:
    return {
        "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}},
        "memory_stats": {"usage": 1000, "limit": 4000, "stats": {"total_inactive_file": 300}} | memory,
    }


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def engine_stats(engine: Engine) -> Iterator[EngineStats]:
    stats = EngineStats(engine.stats)
    yield stats
    engine.gate.set()
    stats.close()


def test_the_engine_is_never_asked_twice_at_a_time_for_the_stats_of_a_container(
    engine: Engine, engine_stats: EngineStats
) -> None:
    for _ in range(20):
        assert engine_stats.usage("a") is None
        assert engine_stats.usage("b") is None
    eventually(lambda: len(engine.asked) == 2)
    assert sorted(engine.asked) == ["a", "b"]
    engine.gate.set()
    eventually(lambda: engine_stats.usage("a"))
    eventually(lambda: engine.asked.count("a") >= 2)


def test_stats_are_unknown_while_the_engine_fails_and_asked_for_again(
    engine: Engine, engine_stats: EngineStats
) -> None:
    engine.answer = None
    engine.gate.set()
    eventually(lambda: engine_stats.usage("a") is None and engine.asked.count("a") >= 3)
    engine.answer = _answer()
    eventually(lambda: engine_stats.usage("a"))


def test_closing_drops_the_questions_for_stats_that_wait(engine: Engine, engine_stats: EngineStats) -> None:
    for number in range(3 * CONCURRENCY):
        engine_stats.usage(str(number))
    eventually(lambda: len(engine.asked) == CONCURRENCY)
    engine_stats.close()
    engine.gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("engine-stats"):
            thread.join()
    assert len(engine.asked) == CONCURRENCY


def test_stats_of_a_container_that_is_forgotten_are_asked_for_no_more(
    engine: Engine, engine_stats: EngineStats
) -> None:
    for number in range(CONCURRENCY + 1):
        engine_stats.usage(str(number))
    eventually(lambda: len(engine.asked) == CONCURRENCY)
    engine_stats.forget(str(CONCURRENCY))
    engine.gate.set()
    eventually(lambda: engine_stats.usage("0"))
    assert str(CONCURRENCY) not in engine.asked


def test_a_bug_in_asking_for_stats_is_raised_where_the_answer_is_wanted(
    engine: Engine, engine_stats: EngineStats
) -> None:
    engine.answer = {"cpu_stats": {"cpu_usage": {"total_usage": "much"}}, "memory_stats": {"usage": 1}}
    engine.gate.set()

    def raised() -> bool:
        try:
            engine_stats.usage("a")
        except TypeError:
            return True
        return False

    eventually(raised)


@pytest.mark.parametrize("field", ["total_inactive_file", "inactive_file"])
def test_memory_by_the_engines_stats_is_without_the_cache_that_can_go(field: str) -> None:
    usage = usage_of(_answer(stats={field: 300}), 5.0)
    assert usage is not None
    assert (usage.at, usage.cpu_seconds, usage.memory_bytes, usage.memory_limit_bytes) == (5.0, 1.5, 700, 4000)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}},
        {"cpu_stats": None, "memory_stats": None},
        {"cpu_stats": {"cpu_usage": {"total_usage": 5}}, "memory_stats": {}},
    ],
)
def test_stats_without_numbers_are_unknown(answer: dict[str, Any]) -> None:
    assert usage_of(answer, 0.0) is None

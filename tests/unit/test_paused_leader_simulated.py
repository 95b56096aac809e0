"""A controller that is paused between any two of its calls, and goes on after another one has taken over; in memory."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from random import Random

import pytest

from reconciler.executor import Executor
from reconciler.model.actions import Action, CreateReplica, RemoveReplica, StopReplica
from reconciler.model.observed import Container, ContainerState
from reconciler.ports import AlreadyRunning, Fence, no_fence
from reconciler.wiring import SystemClock
from tests.fakes.engine import FakeEngine, Program
from tests.fakes.runtime import FakeRuntime
from tests.support.apps import version
from tests.support.waiting import eventually

PAUSES = 200


class Lease:
    """What a shared database knows of who leads."""

    def __init__(self) -> None:
        self._epoch = 0

    def take(self) -> Fence:
        self._epoch += 1
        mine = self._epoch

        def fence() -> None:
            if self._epoch != mine:
                raise AlreadyRunning("another controller has taken over")

        return fence


class Story:
    """A leader with changes queued, paused before some call of these, and the successor that takes over meanwhile."""

    def __init__(self, seed: int, *, fenced: bool = True) -> None:
        self._random = Random(seed)
        self._lease = Lease()
        self._engine = FakeEngine()
        self._engine.images["demo:1"] = Program()
        asked = self._lease.take() if fenced else no_fence
        self._calls_left = self._random.randrange(12)
        self.routed: frozenset[str] = frozenset()
        self.followed = threading.Event()

        def fence() -> None:
            if self._calls_left == 0:
                self._follow()
            self._calls_left -= 1
            asked()

        builder = FakeRuntime(self._engine)
        builder.prepare()
        for slot in range(1, 7):
            builder.perform(CreateReplica("web", version(), slot, f"web-{slot}", f"172.16.1.{slot}", 1, cause="test"))
        self._containers = builder.inventory().containers
        builder.close()
        self._runtime = FakeRuntime(self._engine, fence=fence)

    def tell(self) -> bool:
        """Carry the queue out as far as it goes; whether the leader found that it was followed."""
        wakes: list[None] = []
        wake = partial(wakes.append, None)
        executor = Executor(self._runtime, SystemClock(), wake=wake, wake_at_once=wake, concurrency=1)
        executor.submit(self._queue())

        def all_done() -> bool:
            executor.collect()
            return not executor.in_flight

        try:
            eventually(all_done, every_seconds=0.001)
            return False
        except AlreadyRunning:
            return True
        finally:
            with suppress(AlreadyRunning):
                executor.finish(30.0)

    def touched(self) -> frozenset[str]:
        """Replicas that the successor had routed, and that don't run any more."""
        running = {c.id for c in self._engine.containers_by_id.values() if c.state == "running"}
        return self.routed - running

    def _queue(self) -> list[Action]:
        chosen = self._random.sample(self._containers, self._random.randint(1, 6))
        return [self._end_of(container) for container in chosen]

    def _end_of(self, container: Container) -> Action:
        if self._random.random() < 0.5:
            return StopReplica("web", container.name, container.id, "test", 5.0)
        return RemoveReplica("web", container.name, container.id, "test")

    def _follow(self) -> None:
        successor = FakeRuntime(self._engine, fence=self._lease.take())
        successor.prepare()
        self.routed = frozenset(c.id for c in successor.inventory().containers if c.state is ContainerState.RUNNING)
        successor.close()
        self.followed.set()


@pytest.mark.parametrize("hundred", range(PAUSES // 100))
def test_a_leader_paused_before_any_of_its_calls_stops_nothing_that_its_successor_routes(hundred: int) -> None:
    followed = 0
    for seed in range(100 * hundred, 100 * hundred + 100):
        story = Story(seed)
        found = story.tell()
        assert found == story.followed.is_set(), seed
        assert story.touched() == frozenset(), seed
        followed += found
    assert followed > 30


def test_without_a_fence_the_simulated_leader_stops_what_its_successor_routes() -> None:
    stories = [Story(seed, fenced=False) for seed in range(20)]
    for story in stories:
        assert not story.tell()
    assert any(story.touched() for story in stories)

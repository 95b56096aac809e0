"""When which container is asked, and by whom.

One schedule per container and check. A thread sleeps until the next check is due and queues it for a bounded pool,
never a second one while the first is under way. One worker empties the queue, and another joins in whenever something
is still waiting a moment later: checks that answer at once cost half in a row of what they cost side by side, and
those that hang hold up nobody. What the answers mean is for `decide` to say; this module only says which of them are
worth waking the loop for. It must never wait inside `watch` or `collect`: those run in the tick.

The rhythm remembers nothing: a check with period p is due at every moment t with (t - phase) mod p = 0, the phase
drawn from the container's id. So three hundred checks spread evenly, and replacing the schedule disturbs none of them.
Phases fall on a common beat: a few checks in a row cost a third of what each costs alone, the caches being warm.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.loud_thread import LoudThread
from reconciler.model.observed import ProbeSample
from reconciler.model.plan import ProbeTarget
from reconciler.probe.checks import Answer, Check, RedactorOf, asked_of, check_for
from reconciler.probe.sockets import Connections

QUICK_FIRST_SECONDS = 0.1
QUICK_LAST_SECONDS = 0.25
QUICK_GROWTH = 1.2
# Once a quick target has answered well as often as is wanted, the next tick only has to hear of it.
HEARD_WITHIN_SECONDS = 1.0
BEAT_SECONDS = 1.0
MIN_BEATS = 8
HELP_AFTER_SECONDS = 0.005


@dataclass(eq=False, slots=True)
class _Watch:
    """A target under watch. ``turn`` names the one entry in the heap that counts; ``previous`` is its last result,
    ``successes`` how often in a row it has answered well."""

    target: ProbeTarget
    check: Check
    turn: int = 0
    busy: bool = False
    previous: bool | None = None
    successes: int = 0
    quick_interval_seconds: float = QUICK_FIRST_SECONDS


def _key(target: ProbeTarget) -> tuple[str, str]:
    return target.container_id, target.kind


def next_due(now: float, period_seconds: float, container_id: str) -> float:
    """The first moment after ``now`` in the rhythm of this container and period (same clock as ``now``)."""
    beat_seconds = min(BEAT_SECONDS, period_seconds / MIN_BEATS)
    phase = zlib.crc32(container_id.encode()) / 2**32 * period_seconds // beat_seconds * beat_seconds
    return phase + (math.floor((now - phase) / period_seconds) + 1) * period_seconds


class BackgroundProber:
    """A `ports.Prober` on a scheduler thread and a pool of workers. Public methods may be called from any thread."""

    def __init__(
        self,
        wake: Callable[[], None],
        concurrency: int,
        allowed: Callable[[str], bool],
        clock: Callable[[], float],
        redactor_of: RedactorOf,
        secrets_dir: Path | None,
    ) -> None:
        self._wake = wake
        self._allowed = allowed
        self._clock = clock
        self._redactor_of = redactor_of
        self._secrets_dir = secrets_dir
        self._connections = Connections()
        self._changed = threading.Condition()
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._due: list[tuple[float, int, _Watch]] = []
        self._turns = itertools.count(1)
        self._queue: deque[_Watch] = deque()
        self._workers = 0
        self._concurrency = concurrency
        self._samples: list[ProbeSample] = []
        self._closed = False
        self._broken: Future[None] | None = None
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="probe")
        self._scheduler = LoudThread(self._run, "probe-schedule")
        self._scheduler.start()

    def watch(self, targets: Sequence[ProbeTarget]) -> None:
        """See `ports.Prober.watch`."""
        with self._changed:
            before, self._watches = self._watches, {_key(target): self._watch(target) for target in targets}
            other = {key for key, watch in self._watches.items() if before.get(key, watch) is not watch}
            if other:
                self._samples = [s for s in self._samples if (s.container_id, s.check) not in other]
            self._due = [entry for entry in self._due if self._counts(*entry[1:])]
            heapq.heapify(self._due)
            self._changed.notify()

    def collect(self) -> tuple[ProbeSample, ...]:
        """See `ports.Prober.collect`."""
        self._scheduler.check()
        if self._broken is not None:
            self._broken.result()
        with self._changed:
            samples, self._samples = self._samples, []
        return tuple(samples)

    def close(self) -> None:
        """Stop at once: checks under way are cut off and leave no sample."""
        with self._changed:
            self._closed = True
            self._watches = {}
            self._queue.clear()
            self._changed.notify()
        self._connections.close()
        self._scheduler.join()
        self._pool.shutdown()

    def _watch(self, target: ProbeTarget) -> _Watch:
        """The watch a target already has, if what is asked stays the same; else a new one."""
        known = self._watches.get(_key(target))
        if known and replace(known.target, quick=target.quick, first_at=target.first_at) == target:
            changed, known.target = known.target != target, target
            if changed and not known.busy:
                self._schedule(known, self._first_due(target))
            return known
        if not self._allowed(target.address):
            return self._started(_Watch(target, _refusal(target)))
        check = check_for(target, self._connections, self._redactor_of, self._secrets_dir)
        return self._started(_Watch(target, check))

    def _started(self, watch: _Watch) -> _Watch:
        self._schedule(watch, self._first_due(watch.target))
        return watch

    def _first_due(self, target: ProbeTarget) -> float:
        now = time.monotonic()
        earliest = now + max(0.0, target.first_at - self._clock())
        return earliest if target.quick else next_due(earliest, target.check.period_seconds, target.container_id)

    def _next_due(self, watch: _Watch) -> float:
        now = time.monotonic()
        if not watch.target.quick:
            return next_due(now, watch.target.check.period_seconds, watch.target.container_id)
        if watch.successes >= watch.target.check.success_threshold:
            return now + HEARD_WITHIN_SECONDS
        interval_seconds = watch.quick_interval_seconds
        watch.quick_interval_seconds = min(QUICK_LAST_SECONDS, interval_seconds * QUICK_GROWTH)
        return now + interval_seconds

    def _schedule(self, watch: _Watch, due: float) -> None:
        watch.turn = next(self._turns)
        heapq.heappush(self._due, (due, watch.turn, watch))
        if self._due[0][1] == watch.turn:
            self._changed.notify()

    def _run(self) -> None:
        """The scheduler thread: move what is due to the queue, see that it gets worked off, sleep."""
        with self._changed:
            while not self._closed:
                self._queue_due()
                may_help = bool(self._queue) and self._workers < self._concurrency
                if may_help:
                    self._workers += 1
                    self._pool.submit(self._work).add_done_callback(self._worked)
                self._changed.wait(self._rest_seconds(may_help))

    def _queue_due(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            _, turn, watch = heapq.heappop(self._due)
            if self._counts(turn, watch):
                watch.busy = True
                self._queue.append(watch)

    def _rest_seconds(self, may_help: bool) -> float | None:
        until_due = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
        if not may_help:
            return until_due
        return HELP_AFTER_SECONDS if until_due is None else min(HELP_AFTER_SECONDS, until_due)

    def _work(self) -> None:
        """A worker's job: check after check until the queue is empty."""
        while (watch := self._next_queued()) is not None:
            self._ask(watch)

    def _worked(self, job: Future[None]) -> None:
        """Keep the error of a worker, for `collect` to raise; a check itself never raises one."""
        if job.exception() is not None:
            self._broken = job

    def _next_queued(self) -> _Watch | None:
        with self._changed:
            while self._queue:
                if self._is_current(watch := self._queue.popleft()):
                    return watch
            self._workers -= 1
            return None

    def _is_current(self, watch: _Watch) -> bool:
        return self._watches.get(_key(watch.target)) is watch

    def _counts(self, turn: int, watch: _Watch) -> bool:
        """Whether an entry of the heap is still the one that its watch goes by."""
        return turn == watch.turn and self._is_current(watch)

    def _ask(self, watch: _Watch) -> None:
        """Make one check, keep its sample, and schedule the next."""
        answer = watch.check()
        with self._changed:
            if not self._is_current(watch):
                return
            interesting = self._record(watch, answer)
            watch.busy = False
            self._schedule(watch, self._next_due(watch))
        if interesting:
            self._wake()

    def _record(self, watch: _Watch, answer: Answer) -> bool:
        """Keep the sample. Returns whether it can change a verdict, and so is worth a tick."""
        target, previous = watch.target, watch.previous
        watch.previous = answer.ok
        watch.successes = watch.successes + 1 if answer.ok else 0
        sample = ProbeSample(
            target.container_id, target.kind, self._clock(), answer.ok, answer.detail, answer.unreached
        )
        self._samples.append(sample)
        return (target.quick or previous is False) if answer.ok else not target.quick


def _refusal(target: ProbeTarget) -> Check:
    words = f"{asked_of(target)}: {target.address} is not an address of a replica, so it is not asked"
    return lambda: Answer(False, words)

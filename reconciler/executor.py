"""Performs actions concurrently, bounded, in the background; it has no choices to make.

An action submitted is in flight until its outcome is collected, across ticks. Which of those that wait begins next is a
rule (`turns`), by which a slow app holds up nobody but itself; none waits for a program to end. Failures an adapter
names become outcomes; anything else is a bug and surfaces in the tick that collects it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

from reconciler.model.actions import (
    Action,
    ActionFailure,
    CheckCreation,
    CreateReplica,
    EnsureImage,
    FailureKind,
    Outcome,
    RemoveReplica,
    StartReplica,
    StopReplica,
)
from reconciler.model.reasons import Reason
from reconciler.ports import Clock, Rejected, Runtime, TryLater, Unavailable
from reconciler.turns import Turns

_STARTING = (CreateReplica, CheckCreation, StartReplica)
# A thread for every place there may be; they are made as they are needed.
_MAX_THREADS = 1024


class Executor:
    """Performs actions in the background, and keeps their outcomes until they are collected. ``concurrency`` bounds the
    actions of each kind at a time, but for pulls, which have their own bound. ``wake`` is called when one has ended
    that others like it are still in flight beside, ``wake_at_once`` when it was the last of those that start
    containers, or of the rest; pulls, which may take hours, are not counted."""

    def __init__(
        self,
        runtime: Runtime,
        clock: Clock,
        *,
        wake: Callable[[], None],
        wake_at_once: Callable[[], None],
        concurrency: int,
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._wake = wake
        self._wake_at_once = wake_at_once
        self._threads = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="act")
        self._lock = threading.RLock()
        self._turns = Turns(concurrency)
        self._flights: dict[str, Action] = {}
        self._futures: dict[str, Future[Outcome]] = {}
        self._outcomes: tuple[Outcome, ...] = ()

    @property
    def in_flight(self) -> tuple[Action, ...]:
        """The actions that were submitted and not yet collected."""
        return tuple(self._flights.values())

    @property
    def queued(self) -> Mapping[str, int]:
        """Those of them that have not begun, by key: how many others come first."""
        with self._lock:
            return self._turns.queue()

    @property
    def starting(self) -> bool:
        """Whether containers are being created or started: that takes the processor, the rest mostly waits."""
        return any(isinstance(action, _STARTING) for action in self.in_flight)

    def submit(self, actions: Iterable[Action], urgent: Collection[str] = ()) -> None:
        """Start performing these actions, each in its turn. One of the same key that is still in flight is never
        submitted twice. ``urgent`` names the apps that have lost replicas."""
        with self._lock:
            self._turns.urgent = urgent
            for action in actions:
                if action.key not in self._flights:
                    self._flights[action.key] = action
                    self._turns.add(action)
            self._begin()

    def collect(self) -> tuple[Outcome, ...]:
        """The outcomes of what has finished, oldest first; given again each time until `acknowledge`."""
        with self._lock:
            finished = [key for key, future in self._futures.items() if future.done()]
            outcomes = [self._futures.pop(key).result() for key in finished]
            for key in finished:
                del self._flights[key]
        self._outcomes += tuple(sorted(outcomes, key=lambda outcome: outcome.finished_at))
        return self._outcomes

    def acknowledge(self) -> None:
        """Let go of the outcomes collected last: they are on record."""
        self._outcomes = ()

    def close(self) -> None:
        """Begin nothing more of what was submitted, whyever the loop has ended."""
        with self._lock:
            self._turns.close()
            self._flights = {key: self._flights[key] for key in self._futures}
        self._runtime.give_up_pulls()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def finish(self, timeout_seconds: float) -> tuple[Outcome, ...]:
        """Let what has begun come to its end, but for pulls, which may take hours; begin nothing more, and collect."""
        self.close()
        # What no thread had taken up yet is cancelled, and nobody would ever tell `wait` of its end.
        wait([future for future in self._futures.values() if not future.cancelled()], timeout_seconds)
        ended = {key: f for key, f in self._futures.items() if f.done() and not f.cancelled()}
        self._futures, self._flights = ended, {key: self._flights[key] for key in ended}
        return self.collect()

    def _perform(self, action: Action) -> Outcome:
        started_at = self._clock.now()
        failure: ActionFailure | None = None
        log = self._log_before(action)
        try:
            self._runtime.perform(action)
        except TryLater as error:
            failure = ActionFailure(FailureKind.TRY_LATER, error.reason, str(error))
        except Rejected as error:
            failure = ActionFailure(FailureKind.REJECTED, error.reason, str(error))
        except Unavailable as error:
            failure = ActionFailure(FailureKind.TRY_LATER, Reason.ENGINE_UNAVAILABLE, str(error))
        return Outcome(action, started_at, self._clock.now(), failure, log)

    def _log_before(self, action: Action) -> str:
        """The last lines that an action asks to be kept, of a container that is about to end or to be gone. An Engine
        that doesn't say them holds up nothing."""
        if not isinstance(action, StopReplica | RemoveReplica) or not action.keeps_log:
            return ""
        try:
            return self._runtime.log_of(action.container_id)
        except Unavailable as error:
            return f"(no log: {error})"

    def _begin(self) -> None:
        """Begin as many as may."""
        while (action := self._turns.next()) is not None:
            future = self._futures[action.key] = self._threads.submit(self._perform, action)
            future.add_done_callback(partial(self._landed, action))  # only then is it there to be collected

    def _landed(self, action: Action, _: Future[Outcome]) -> None:
        with self._lock:
            self._turns.ended(action)
            self._begin()
            others = [other for other in self._turns.in_flight if not isinstance(other, EnsureImage)]
        starts = isinstance(action, _STARTING)
        alike = any(isinstance(other, _STARTING) == starts for other in others)
        (self._wake if alike else self._wake_at_once)()

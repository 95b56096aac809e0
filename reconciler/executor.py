"""Performs actions concurrently, bounded, in the background; it has no choices to make.

An action submitted is in flight until its outcome is collected, across ticks: a slow pull or a program that ignores
SIGTERM holds up nobody but its own app. Creating and starting have workers of their own, apart from what may take
long. Failures an adapter names become outcomes; anything else is a bug and surfaces in the tick that collects it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from reconciler.model.actions import Action, ActionFailure, EnsureImage, FailureKind, Outcome, RemoveReplica
from reconciler.model.reasons import Reason
from reconciler.ports import Clock, Rejected, Runtime, TryLater, Unavailable

_SLOW = (EnsureImage, RemoveReplica)


@dataclass(frozen=True, slots=True)
class _Flight:
    """An action in flight, and the outcome that it will have."""

    action: Action
    future: Future[Outcome]


class Executor:
    """Performs actions in the background, and keeps their outcomes until they are collected. ``concurrency`` bounds the
    actions of each kind at a time. ``wake`` is called when one has ended that others are still in flight beside,
    ``wake_at_once`` when it was the last."""

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
        self._quick = ThreadPoolExecutor(concurrency, thread_name_prefix="act")
        self._slow = ThreadPoolExecutor(concurrency, thread_name_prefix="act-slow")
        self._lock = threading.Lock()
        self._unfinished = 0
        self._flights: dict[str, _Flight] = {}
        self._outcomes: tuple[Outcome, ...] = ()

    @property
    def in_flight(self) -> tuple[Action, ...]:
        """The actions that were submitted and not yet collected."""
        return tuple(flight.action for flight in self._flights.values())

    @property
    def starting(self) -> bool:
        """Whether containers are being created or started: that takes the processor, the rest mostly waits."""
        return any(not isinstance(action, _SLOW) for action in self.in_flight)

    def submit(self, actions: Iterable[Action]) -> None:
        """Start performing these actions. One of the same key that is still in flight is never submitted twice."""
        for action in actions:
            if action.key in self._flights:
                continue
            with self._lock:
                self._unfinished += 1
            pool = self._slow if isinstance(action, _SLOW) else self._quick
            flight = _Flight(action, pool.submit(self._perform, action))
            self._flights[action.key] = flight
            flight.future.add_done_callback(self._landed)  # only then is it there to be collected

    def collect(self) -> tuple[Outcome, ...]:
        """The outcomes of what has finished, oldest first; given again each time until `acknowledge`."""
        finished = [key for key, flight in self._flights.items() if flight.future.done()]
        outcomes = [self._flights.pop(key).future.result() for key in finished]
        self._outcomes += tuple(sorted(outcomes, key=lambda outcome: outcome.finished_at))
        return self._outcomes

    def acknowledge(self) -> None:
        """Let go of the outcomes collected last: they are on record."""
        self._outcomes = ()

    def close(self) -> None:
        """Begin nothing more of what was submitted, whyever the loop has ended."""
        self._runtime.give_up_pulls()
        for pool in (self._quick, self._slow):
            pool.shutdown(wait=False, cancel_futures=True)

    def finish(self, timeout_seconds: float) -> tuple[Outcome, ...]:
        """Let what has begun come to its end, but for pulls, which may take hours; begin nothing more, and collect."""
        self.close()
        begun = [flight.future for flight in self._flights.values() if not flight.future.cancelled()]
        wait(begun, timeout_seconds)
        self._flights = {key: f for key, f in self._flights.items() if f.future.done() and not f.future.cancelled()}
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
        """The last lines that an action asks to be kept, of a container that is about to be gone. An Engine that
        doesn't say them holds up nothing."""
        if not isinstance(action, RemoveReplica) or not action.keeps_log:
            return ""
        try:
            return self._runtime.log_of(action.container_id)
        except Unavailable as error:
            return f"(no log: {error})"

    def _landed(self, _: Future[Outcome]) -> None:
        with self._lock:
            self._unfinished -= 1
            last = self._unfinished == 0
        (self._wake_at_once if last else self._wake)()

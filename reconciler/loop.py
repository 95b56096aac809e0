"""Wake, tick, sleep; signals; the only sleep of the loop.

Wake-ups carry no data: a file change, a Docker event, a finished action and a timer all lead to the same tick, so a
missed one costs latency and never correctness.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from reconciler.decide.state.outcomes import absorb
from reconciler.model.events import Event
from reconciler.model.plan import DecisionSettings
from reconciler.model.reasons import Reason
from reconciler.model.state import State
from reconciler.ports import CHECKPOINT_SECONDS, Record, Unavailable, Unfit
from reconciler.tick import TickResult, World, tick, unstored

# Wake-ups closer together than this share a tick; and the loop rests at least as long as its last tick took. While
# containers are being started each of them causes several, and a tick for every one would take from the Engine the
# processor that it starts them with.
SPACING_SECONDS = 0.01
BUSY_SPACING_SECONDS = 0.5
STORE_PAUSE_SECONDS = 2.0
STORE_LOG_SECONDS = 60.0
FINISH_SECONDS = 30.0

log = logging.getLogger("orchestry")


class Waker:
    """The loop's alarm clock. Both wakes may be called from any thread, and from signal handlers, which must never wait
    for a lock that the very thread they interrupt is holding: so they only put into a queue."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[bool] = SimpleQueue()

    def wake(self) -> None:
        self._calls.put(False)

    def wake_at_once(self) -> None:
        """Wake, and let nothing more be taken along."""
        self._calls.put(True)

    def sleep(self, seconds: float, spacing_seconds: float) -> None:
        """Sleep until woken, at most ``seconds``; wake-ups that come within the spacing are taken along."""
        urgent = self._next_call(seconds)
        ends_at = time.monotonic() + spacing_seconds
        while urgent is False and (left_seconds := ends_at - time.monotonic()) > 0:
            urgent = self._next_call(left_seconds)
        while self._next_call(0) is not None:
            pass  # the tick that follows looks at everything

    def _next_call(self, seconds: float) -> bool | None:
        """Whether the next call is urgent; None when there is none within so many seconds."""
        try:
            return self._calls.get(timeout=seconds)
        except Empty:
            return None


@dataclass(frozen=True, slots=True)
class Until:
    """When the loop ends by itself: after one tick; or once converged, or ``timeout_seconds`` later, or when only a
    commit can still change something."""

    once: bool = False
    converged: bool = False
    timeout_seconds: float | None = None


class Stop:
    """The request to end. SIGTERM and SIGINT make it, once `listen` was called; SIGHUP never does, and is noted."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.requested = False
        self._hung_up = False
        self._wake = wake

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.request())
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to look at

    def on_hangup(self, refresh: Callable[[], None]) -> None:
        """Let SIGHUP, which a webhook can send, ask for a fresh look at the source, and at the settings."""

        def hang_up(*_: object) -> None:
            self._hung_up = True
            refresh()
            self._wake()

        signal.signal(signal.SIGHUP, hang_up)

    def hung_up(self) -> bool:
        """Whether SIGHUP came since this was last asked."""
        came, self._hung_up = self._hung_up, False
        return came

    def request(self) -> None:
        self.requested = True
        self._wake()


class Seldom:
    """Whether to say again what is so all the time: the first time, and then once in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._said_at = float("-inf")

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._said_at < self._seconds:
            return False
        self._said_at = now
        return True


def run(
    world: World,
    waker: Waker,
    stop: Stop,
    tick_seconds: float,
    until: Until = Until(),
    reread: Callable[[DecisionSettings], DecisionSettings] = lambda settings: settings,
) -> int:
    """Tick until told to stop or ``until`` is fulfilled; ``reread`` is asked for settings after a SIGHUP. Exit code: 0,
    or 1 when it could not be fulfilled."""
    started_at = last_checkpoint = world.clock.now()
    logged: frozenset[str] = frozenset()
    unwritten = Seldom(STORE_LOG_SECONDS)
    last = _load(world, waker, stop, until, unwritten)
    if last is None:
        return 0 if stop.requested else 1
    world.pulse.at("waiting for the Docker Engine")
    with suppress(Unavailable):  # the tick will meet it as well, and tells of it
        world.runtime.prepare()
    while not stop.requested:
        if stop.hung_up():
            world = replace(world, settings=reread(world.settings))
        now = world.clock.now()
        due = not 0 <= now - last_checkpoint < CHECKPOINT_SECONDS
        began = time.monotonic()
        last, recorded = _attempt(world, last, now, checkpoint=due)
        _log_unwritten(last, unwritten)
        if not recorded:
            if until.once or _late(until, started_at, now):
                return 1
            waker.sleep(STORE_PAUSE_SECONDS, STORE_PAUSE_SECONDS)
            continue
        last_checkpoint = now if due else last_checkpoint
        logged = _log(last, logged)
        if (code := _exit_code(last, until, started_at, now)) is not None:
            _finish(world, last)
            return code
        # A tick that waited for an Engine in vain took nobody's processor.
        worked_seconds = time.monotonic() - began if last.plan else 0.0
        spacing = BUSY_SPACING_SECONDS if world.executor.starting else max(SPACING_SECONDS, worked_seconds)
        # What happened may be what something else waits for: a drain begins, a dependency is ready.
        pause = spacing if last.events else _pause(last, tick_seconds, world.clock.now())
        waker.sleep(pause, spacing)
    log.info("stopping: actions in hand are finished, apps keep running")
    _finish(world, last)
    return 0


def _load(world: World, waker: Waker, stop: Stop, until: Until, unwritten: Seldom) -> TickResult | None:
    """What to begin with, once the database can be read and written; None where it is time to end before that.

    Raises Unfit where waiting won't help, AlreadyRunning where another controller runs.
    """
    started_at, last = world.clock.now(), TickResult(State())
    while not stop.requested:
        world.pulse.at("waiting for the database")
        try:
            loaded = world.store.load()
        except Unfit:
            raise
        except Unavailable as error:
            last = unstored(last, error, world.clock.now())
        else:
            return _remembering(loaded, last)
        world.pulse.reached(last.outages, last.state.outages)
        world.pulse.rest()
        _log_unwritten(last, unwritten)
        if until.once or _late(until, started_at, world.clock.now()):
            return None
        waker.sleep(STORE_PAUSE_SECONDS, STORE_PAUSE_SECONDS)
    return None


def _remembering(loaded: State, waiting: TickResult) -> TickResult:
    """What to begin with after a wait for the database: its outage is yet to be recorded, unless it was before."""
    if not waiting.outages or "store" in loaded.outages:
        return TickResult(loaded)
    outages = {**loaded.outages, **waiting.state.outages}
    return TickResult(replace(loaded, outages=outages), unwritten=waiting.unwritten)


def _log_unwritten(last: TickResult, unwritten: Seldom) -> None:
    for outage in last.outages:
        if outage.side == "store" and unwritten.due():
            log.error("%s", outage)


def _attempt(world: World, last: TickResult, now: float, *, checkpoint: bool) -> tuple[TickResult, bool]:
    """The result of a tick, and whether it could be recorded at all."""
    try:
        result, recorded = tick(world, last, checkpoint=checkpoint), True
    except Unavailable as error:
        result, recorded = unstored(last, error, now), False
    world.pulse.reached(result.outages, result.state.outages)
    world.pulse.rest()
    return result, recorded


def _pause(last: TickResult, tick_seconds: float, now: float) -> float:
    """Seconds until the next tick by itself. Each checkpoint needs one, however seldom people want us to look."""
    longest = min(tick_seconds, CHECKPOINT_SECONDS)
    wake_at = last.plan.wake_at if last.plan else None
    return longest if wake_at is None else min(longest, max(0.0, wake_at - now))


def _exit_code(last: TickResult, until: Until, started_at: float, now: float) -> int | None:
    """The exit code if it is time to end, else None."""
    if until.once:
        return 1 if last.outages or last.problems else 0
    if until.converged and last.converged:
        return 0
    if until.converged and _left_to_people(last):
        log.error("not converged: all else is done, but the source needs a commit: %s", "; ".join(last.problems))
        return 1
    if _late(until, started_at, now):
        log.error(
            "not converged after %g s%s", until.timeout_seconds, "".join(f"; {outage}" for outage in last.outages)
        )
        return 1
    return None


def _left_to_people(last: TickResult) -> bool:
    """Whether only a commit can still change something: the source is wrong, and whatever isn't wrong serves."""
    quiet = last.plan is not None and not last.plan.actions and not last.outages
    return quiet and bool(last.problems) and all(status.converged or status.error for status in last.statuses.values())


def _late(until: Until, started_at: float, now: float) -> bool:
    return until.timeout_seconds is not None and now - started_at >= until.timeout_seconds


def _finish(world: World, last: TickResult) -> None:
    """Let actions in flight end and keep what came of them, since nobody else will learn of it; begin nothing more."""
    world.pulse.at("waiting for the actions in hand to end")
    outcomes = world.executor.finish(FINISH_SECONDS)
    now = world.clock.now()
    # What was given up only because we end says nothing.
    ended = tuple(o for o in outcomes if o.failure is None or o.failure.reason != Reason.STOPPING)
    state, events = absorb(last.state, ended, now)
    try:
        record = Record(now, state, last.statuses, (*last.unwritten, *events), outcomes=outcomes)
        world.store.save(record, checkpoint=True)
    except Unavailable as error:
        log.error("store: %s; the outcome of %d actions is not on record", error, len(outcomes))


def _log(last: TickResult, logged: frozenset[str]) -> frozenset[str]:
    """Log a line for each thing that happened, and for each new reason to wait; what needs no other line while it
    lasts."""
    for event in last.events:
        log.info(event.message, extra=_fields(event))
    waits = last.plan.waits if last.plan else ()
    by_gist = {_gist(wait.message): wait for wait in waits}
    for gist, wait in by_gist.items():
        if gist not in logged:
            log.info(wait.message, extra={"type": "wait", "app": wait.app_name})
    # The database's outage, of which the store has many words, is told apart.
    outages = (outage for outage in last.outages if outage.side != "store")
    standing = (*map(str, outages), *last.problems)
    for message in standing:
        if message not in logged:
            log.warning(message)
    return frozenset((*by_gist, *standing))


def _fields(event: Event) -> dict[str, object]:
    return {"type": event.type, "app": event.app_name, "details": dict(event.details)}


def _gist(message: str) -> str:
    """A message without its numbers: a wait that only counts down is said once."""
    return "".join("#" if c.isdigit() else c for c in message)

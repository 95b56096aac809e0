"""Measures once a second, and hands the latest to the tick.

The tick says which apps and containers matter, and gets what is known about them by now: it never waits for a file, a
query or the Engine. What was measured too long ago is no longer known, nor is what was measured on another time: when
the clock is set, or the machine slept, seconds without a request would pass for an idle app.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from reconciler.load.meter import Meter, Watched
from reconciler.loud_thread import LoudThread
from reconciler.model.load import Loads, LoadSample
from reconciler.model.observed import Container
from reconciler.model.spec import App

INTERVAL_SECONDS = 1.0
# A clock that differs by more from the machine's steady one than at the look before was set, or the machine slept.
CLOCK_STEP_SECONDS = 3.0
# Samples that wait to be recorded, at the most: a database that is away for long must not fill the memory.
MAX_WAITING = 100_000
MIN_REST_SECONDS = 0.1
STALE_AFTER_SECONDS = 15.0


class BackgroundMeter:
    """A `ports.LoadMeter` on a thread of its own, which starts with the first `read`."""

    def __init__(self, meter: Meter, clock: Callable[[], float]) -> None:
        self._meter = meter
        self._clock = clock
        self._lock = threading.Lock()
        self._watched: Watched | None = None
        self._latest = Loads()
        self._latest_at = float("-inf")
        self._waiting: dict[tuple[str, float], LoadSample] = {}
        self._recorded_until = 0.0
        self._closed = threading.Event()
        self._thread = LoudThread(self._run, "load-meter")

    def read(
        self,
        apps: Sequence[App],
        containers: Sequence[Container],
        healthy: Collection[str],
        now: float,  # noqa: ARG002
    ) -> Loads:
        """See `ports.LoadMeter.read`."""
        self._thread.check()
        with self._lock:
            first, self._watched = self._watched is None, Watched.of(apps, containers, healthy)
            samples = tuple(self._waiting.values())
            latest = self._latest
            if time.monotonic() - self._latest_at > STALE_AFTER_SECONDS:
                latest = Loads(notices=latest.notices)
        if first:
            self._thread.start()
        return replace(latest, samples=samples)

    def recorded(self, samples: Sequence[LoadSample]) -> None:
        """See `ports.LoadMeter.recorded`."""
        with self._lock:
            for sample in samples:
                if self._waiting.get((sample.app_name, sample.at)) is sample:
                    del self._waiting[sample.app_name, sample.at]
                    self._recorded_until = sample.at

    def close(self) -> None:
        self._closed.set()
        if self._watched is not None:
            self._thread.join()
        self._meter.close()

    def _run(self) -> None:
        kept_until, offset = 0.0, self._clock() - time.monotonic()
        while not self._closed.is_set():
            with self._lock:
                watched, recorded_until = self._watched, self._recorded_until
            assert watched is not None
            now, started = self._clock(), time.monotonic()
            if abs(now - started - offset) > CLOCK_STEP_SECONDS:
                with self._lock:
                    self._waiting.clear()
                self._meter.begin_anew(now)
            offset = now - started
            loads = self._meter.look(watched, now)
            with self._lock:
                self._latest, self._latest_at = loads, time.monotonic()
                self._keep(loads.samples)
            if recorded_until != kept_until:
                self._meter.keep_position(recorded_until)
                kept_until = recorded_until
            self._closed.wait(max(MIN_REST_SECONDS, INTERVAL_SECONDS - (time.monotonic() - started)))

    def _keep(self, samples: Sequence[LoadSample]) -> None:
        """Keep samples until they are recorded. Of one app and time there is one: the latest, where a clock that was
        set back brings another."""
        self._waiting |= {(sample.app_name, sample.at): sample for sample in samples}
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]

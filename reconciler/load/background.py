"""Measures once a second, and hands the latest to the tick.

The tick says which apps and containers matter, and gets what is known about them by now: it never waits for a file, a
query or the Engine. What was measured too long ago is no longer known.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from reconciler.load.meter import Meter, Watched
from reconciler.model.load import LoadSample
from reconciler.model.observed import Container
from reconciler.model.spec import App
from reconciler.ports import Loads

INTERVAL_SECONDS = 1.0
# Samples that wait to be recorded, at the most: a database that is away for long must not fill the memory.
MOST_WAITING = 100_000
LEAST_REST_SECONDS = 0.1
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
        self._waiting: deque[LoadSample] = deque(maxlen=MOST_WAITING)
        self._recorded_until = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load-meter", daemon=True)

    def read(
        self,
        apps: Sequence[App],
        containers: Sequence[Container],
        healthy: Collection[str],
        now: float,  # noqa: ARG002
    ) -> Loads:
        """See `ports.LoadMeter.read`."""
        with self._lock:
            first, self._watched = self._watched is None, Watched.of(apps, containers, healthy)
            samples = tuple(self._waiting)
            latest = self._latest
            if time.monotonic() - self._latest_at > STALE_AFTER_SECONDS:
                latest = Loads(notices=latest.notices)
        if first:
            self._thread.start()
        return replace(latest, samples=samples)

    def recorded(self, samples: Sequence[LoadSample]) -> None:
        """See `ports.LoadMeter.recorded`. Samples come in the order of their times, so the latest tells of all."""
        until = max((sample.at for sample in samples), default=self._recorded_until)
        with self._lock:
            self._recorded_until = max(self._recorded_until, until)
            while self._waiting and self._waiting[0].at <= until:
                self._waiting.popleft()

    def close(self) -> None:
        self._closed.set()
        if self._watched is not None:
            self._thread.join()
        self._meter.close()

    def _run(self) -> None:
        kept_until = 0.0
        while not self._closed.is_set():
            with self._lock:
                watched, recorded_until = self._watched, self._recorded_until
            assert watched is not None
            started = time.monotonic()
            loads = self._meter.look(watched, self._clock())
            with self._lock:
                self._latest, self._latest_at = loads, time.monotonic()
                self._waiting.extend(loads.samples)
            if recorded_until > kept_until:
                self._meter.keep_place(recorded_until)
                kept_until = recorded_until
            self._closed.wait(max(LEAST_REST_SECONDS, INTERVAL_SECONDS - (time.monotonic() - started)))

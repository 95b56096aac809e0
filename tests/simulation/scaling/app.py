"""A simulated app: open-loop load on replicas that each serve so many requests a second, and take time to start.

A fluid model in steps of one second. Requests arrive whether or not the earlier ones were answered; what can't be
served waits in one queue, and whoever has waited too long gives up. Latency is that of an M/M/1 queue for each replica
plus the wait in the backlog. Meters see what real ones would: completed requests (as an access log has them), cpu of
the replicas that are ready, all as means over a window.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from math import inf, sqrt

STEP_SECONDS = 1.0
# The 95th percentile of an exponentially distributed time is this many times its mean.
_P95 = 2.996
_BUSIEST = 0.99


@dataclass(frozen=True, slots=True)
class Profile:
    """What kind of app it is. ``shared_rate`` is the most that all replicas together get through, whatever their
    number: a database behind them."""

    service_rate: float = 100.0
    startup_seconds: float = 5.0
    patience_seconds: float = 10.0
    memory_percent: float = 20.0
    shared_rate: float = inf


@dataclass(frozen=True, slots=True)
class Second:
    """What happened in one second. ``rate`` is the mean load offered, ``served`` the requests completed."""

    at: float
    rate: float
    ready: int
    served: float
    cpu_percent: float
    p95_latency_ms: float
    connections: float


@dataclass(slots=True)
class SimulatedApp:
    """The app in its present state. ``ready_at`` holds one time for each replica, oldest first."""

    profile: Profile
    seed: int
    ready_at: list[float] = field(default_factory=lambda: [0.0])
    backlog: float = 0.0
    noise: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.noise = random.Random(self.seed)

    def ready(self, now: float) -> int:
        return sum(at <= now for at in self.ready_at)

    def scale(self, count: int, now: float) -> None:
        """Start new replicas, or stop the newest."""
        del self.ready_at[count:]
        self.ready_at += [now + self.profile.startup_seconds] * (count - len(self.ready_at))

    def pass_second(self, now: float, rate: float) -> Second:
        ready = self.ready(now)
        capacity = min(ready * self.profile.service_rate, self.profile.shared_rate)
        arrived = max(0.0, self.noise.gauss(rate, sqrt(rate)))
        waiting = self.backlog + arrived
        served = min(waiting, capacity)
        self.backlog = min(waiting - served, capacity * self.profile.patience_seconds)
        p95_latency_ms = self._p95_latency_ms(served, capacity)
        cpu_percent = 100 * served / (ready * self.profile.service_rate) if ready else 0.0
        connections = self.backlog + served * p95_latency_ms / _P95 / 1000
        return Second(now, rate, ready, served, cpu_percent, p95_latency_ms, connections)

    def _p95_latency_ms(self, served: float, capacity: float) -> float:
        if capacity == 0:
            return 1000 * self.profile.patience_seconds
        busy = min(served / capacity, _BUSIEST)
        return 1000 * (_P95 / (self.profile.service_rate * (1 - busy)) + self.backlog / capacity)


class Window:
    """The last so-many seconds, as a meter reports them."""

    def __init__(self, seconds: float) -> None:
        self.seconds: deque[Second] = deque(maxlen=int(seconds / STEP_SECONDS))

    def add(self, second: Second) -> None:
        self.seconds.append(second)

    def mean(self, name: str) -> float:
        return float(sum(getattr(second, name) for second in self.seconds)) / len(self.seconds)

    def p95_latency_ms(self) -> float:
        """Weighted by the requests that met with it."""
        left = 0.05 * sum(second.served for second in self.seconds)
        for second in sorted(self.seconds, key=lambda second: -second.p95_latency_ms):
            left -= second.served
            if left <= 0:
                return second.p95_latency_ms
        return 0.0

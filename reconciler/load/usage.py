"""What a container has used, as counters tell it, and what percentage of its limit that was over a window.

A first sample, a counter that went backwards (the container was restarted) and a gap give None: unknown, never 0.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# Looks kept of one container, whatever the window.
MAX_KEPT = 300


@dataclass(frozen=True, slots=True)
class Usage:
    """One look at a container. ``at`` is monotonic time in seconds, ``cpu_seconds`` all it has used so far.

    ``memory_bytes`` is without the cache the kernel can take back. A limit that is None is the host's size.
    """

    at: float
    cpu_seconds: float
    memory_bytes: int
    cpu_limit_cores: float | None = None
    memory_limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class HostSize:
    """What a container without limits can use."""

    cores: int
    memory_bytes: int


class UsageHistory:
    """One container's recent looks, for windows up to ``span_seconds``; of a long span not every look is kept."""

    def __init__(self, host: HostSize) -> None:
        self.span_seconds = 0.0
        self._host = host
        self._kept: deque[Usage] = deque()
        self._before: Usage | None = None
        self._latest: Usage | None = None

    def add(self, usage: Usage | None) -> None:
        """Add a look. None, where the container could not be seen, is where history begins anew."""
        latest = self._latest
        if usage and latest and usage.at <= latest.at:
            return  # the same look again
        if usage is None or latest is None or usage.cpu_seconds < latest.cpu_seconds:
            self._kept.clear()
            self._before, self._latest = None, usage
        else:
            self._before, self._latest = latest, usage
        if usage:
            self._keep(usage)

    def cpu_percent(self, window_seconds: float) -> float | None:
        """The mean cpu over the window, or over the part of it that was seen; in percent of the limit."""
        if self._latest is None or self._before is None:
            return None
        since = self._latest.at - window_seconds
        oldest = next((look for look in self._kept if since <= look.at < self._before.at), self._before)
        return self._percent(oldest, self._latest)

    @property
    def latest_cpu_percent(self) -> float | None:
        """The mean cpu since the look before the latest."""
        return self._percent(self._before, self._latest) if self._before and self._latest else None

    @property
    def memory_percent(self) -> float | None:
        """The memory at the latest look, in percent of the limit."""
        if self._latest is None:
            return None
        limit_bytes = min(self._latest.memory_limit_bytes or self._host.memory_bytes, self._host.memory_bytes)
        return 100 * self._latest.memory_bytes / limit_bytes

    def _keep(self, usage: Usage) -> None:
        if not self._kept or usage.at - self._kept[-1].at >= self.span_seconds / MAX_KEPT:
            self._kept.append(usage)
        while self._kept[0].at < usage.at - self.span_seconds:
            self._kept.popleft()

    def _percent(self, first: Usage, last: Usage) -> float:
        cores = (last.cpu_seconds - first.cpu_seconds) / (last.at - first.at)
        return 100 * cores / (last.cpu_limit_cores or self._host.cores)

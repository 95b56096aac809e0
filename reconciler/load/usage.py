"""What a container has used, as counters tell it, and what percentage of its limit that was over a window.

A first sample, a counter that went backwards (the container was restarted) and a gap give None: unknown, never 0.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


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
    """One container's recent looks, kept for ``span_seconds``."""

    def __init__(self, host: HostSize) -> None:
        self.span_seconds = 0.0
        self._host = host
        self._looks: deque[Usage] = deque()

    def add(self, usage: Usage | None) -> None:
        """None, where the container could not be seen, is where history begins anew."""
        if usage is None:
            self._looks.clear()
            return
        if self._looks and usage.at <= self._looks[-1].at:
            return  # the same look again
        if self._looks and usage.cpu_seconds < self._looks[-1].cpu_seconds:
            self._looks.clear()
        self._looks.append(usage)
        while len(self._looks) > 2 and self._looks[1].at <= usage.at - self.span_seconds:
            self._looks.popleft()

    def cpu_percent(self, window_seconds: float) -> float | None:
        """The mean over the window, or over the part of it that was seen; in percent of the limit."""
        if len(self._looks) < 2:
            return None
        last = self._looks[-1]
        first = next(look for look in self._looks if look.at >= last.at - window_seconds or look is self._looks[-2])
        cores = (last.cpu_seconds - first.cpu_seconds) / (last.at - first.at)
        return 100 * cores / (last.cpu_limit_cores or self._host.cores)

    @property
    def memory_percent(self) -> float | None:
        """The latest look, in percent of the limit."""
        if not self._looks:
            return None
        last = self._looks[-1]
        limit_bytes = min(last.memory_limit_bytes or self._host.memory_bytes, self._host.memory_bytes)
        return 100 * last.memory_bytes / limit_bytes

    @property
    def memory_bytes(self) -> int | None:
        return self._looks[-1].memory_bytes if self._looks else None

"""Cpu and memory of the containers that run, by whichever way sees them: control groups first, else the Engine.

A container is looked at under its id, so one that was replaced under the same name starts anew.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from reconciler.load.cgroups import Cgroups
from reconciler.load.engine_stats import EngineStats
from reconciler.load.usage import HostSize, UsageHistory


class Containers:
    """Looks at containers, and keeps what it saw for as long as a window asks."""

    def __init__(self, cgroups: Cgroups, engine_stats: EngineStats | None, host: HostSize) -> None:
        self._cgroups = cgroups
        self._engine_stats = engine_stats
        self._host = host
        self._histories: dict[str, UsageHistory] = {}

    def look(self, spans: Mapping[str, float], cpu_limits: Mapping[str, float | None]) -> None:
        """Look at these containers once, and forget all others.

        ``spans`` is how long to keep what was seen, in seconds, by container id; ``cpu_limits`` the cores a container
        may use, which the Engine's stats don't tell.
        """
        for container_id in self._histories.keys() - spans.keys():
            self._forget(container_id)
        for container_id, span_seconds in spans.items():
            history = self._histories.setdefault(container_id, UsageHistory(self._host))
            history.span_seconds = span_seconds
            usage = self._cgroups.usage(container_id)
            if usage is None and self._engine_stats:
                stats = self._engine_stats.usage(container_id)
                usage = stats and replace(stats, cpu_limit_cores=cpu_limits.get(container_id))
            history.add(usage)

    def history(self, container_id: str) -> UsageHistory:
        """What was seen of a container; an empty history for one that never was."""
        return self._histories.get(container_id) or UsageHistory(self._host)

    def close(self) -> None:
        self._cgroups.close()
        if self._engine_stats:
            self._engine_stats.close()

    def _forget(self, container_id: str) -> None:
        del self._histories[container_id]
        self._cgroups.forget(container_id)
        if self._engine_stats:
            self._engine_stats.forget(container_id)


def this_host() -> HostSize:
    """The machine we run on."""
    cores = os.cpu_count() or 1
    return HostSize(cores, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))

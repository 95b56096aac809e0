"""Cpu and memory as the Engine's stats API tells them, for containers whose control group we can't see.

Each question takes the Engine one to two seconds, so all are asked in the background, several at a time but never more
than one of the same container; meanwhile the last answer counts. An answer that holds no numbers, such as that about a
container which has stopped, is None.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from reconciler.load.usage import Usage
from reconciler.ports import Unavailable

CONCURRENCY = 16
_STALE_AFTER_SECONDS = 60.0
_LONGEST_ANSWER_SECONDS = 10.0

Stats = Callable[[str], Mapping[str, Any]]


class EngineStats:
    """``stats`` gives the Engine's answer about a container id, one-shot; it may raise Unavailable."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._latest: dict[str, Usage | None] = {}
        self._pool = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="engine-stats")

    def usage(self, container_id: str) -> Usage | None:
        """The last answer; also asks for the next one, unless that is under way."""
        with self._lock:
            if container_id not in self._asked:
                self._asked.add(container_id)
                self._pool.submit(self._ask, container_id).add_done_callback(lambda future: future.result())
            usage = self._latest.get(container_id)
        return usage if usage and time.monotonic() - usage.at < _STALE_AFTER_SECONDS else None

    def forget(self, container_id: str) -> None:
        with self._lock:
            self._latest.pop(container_id, None)

    def close(self) -> None:
        """Ask nothing more; answers under way are not waited for."""
        self._pool.shutdown(wait=False)

    def _ask(self, container_id: str) -> None:
        try:
            answer = self._stats(container_id)
            usage = usage_of(answer, time.monotonic() - _age_seconds(answer, time.time()))
        except Unavailable:
            usage = None
        with self._lock:
            self._latest[container_id] = usage
            self._asked.discard(container_id)


def usage_of(answer: Mapping[str, Any], at: float) -> Usage | None:
    """What an answer of ``GET /containers/ID/stats`` says; None where it says nothing."""
    cpu, memory = answer.get("cpu_stats") or {}, answer.get("memory_stats") or {}
    used_nanoseconds = (cpu.get("cpu_usage") or {}).get("total_usage")
    used_bytes = memory.get("usage")
    if not used_nanoseconds or not used_bytes:
        return None
    parts = memory.get("stats") or {}
    cache_bytes = parts.get("total_inactive_file", parts.get("inactive_file", 0))
    return Usage(
        at=at,
        cpu_seconds=used_nanoseconds / 1e9,
        memory_bytes=used_bytes - cache_bytes if cache_bytes < used_bytes else used_bytes,
        memory_limit_bytes=memory.get("limit"),
    )


def _age_seconds(answer: Mapping[str, Any], now: float) -> float:
    """How long ago the Engine read its counters. An Engine whose clock differs counts as having read them just now."""
    try:
        read_at = datetime.fromisoformat(str(answer.get("read"))[:26].rstrip("Z")).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
    return now - read_at if 0 <= now - read_at <= _LONGEST_ANSWER_SECONDS else 0.0

"""Cpu and memory as the Engine's stats API tells them, for containers whose control group we can't see.

Each question takes the Engine one to two seconds, so all are asked in the background, several at a time but never more
than one of a container that is looked at; meanwhile the last answer counts. An answer that holds no numbers, such as
that about a container which has stopped, is None.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from reconciler.load.usage import Usage
from reconciler.ports import Unavailable

CONCURRENCY = 16
_STALE_AFTER_SECONDS = 60.0
_MAX_ANSWER_SECONDS = 10.0

Stats = Callable[[str], Mapping[str, Any]]


class EngineStats:
    """The usage of containers by the Engine's answers, asked in the background. ``stats`` gives the Engine's answer
    about a container id, one-shot; it may raise Unavailable.

    Whatever else it raises, the next `usage` does. All methods are to be called from one thread.
    """

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._asked: dict[str, Future[Usage | None]] = {}
        self._latest: dict[str, Usage | None] = {}
        self._pool = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="engine-stats")

    def usage(self, container_id: str) -> Usage | None:
        """The usage by the last answer; also asks for the next one, unless that is under way."""
        asked = self._asked.get(container_id)
        if asked is not None and asked.done():
            self._latest[container_id] = asked.result()
        if asked is None or asked.done():
            self._asked[container_id] = self._pool.submit(self._ask, container_id)
        usage = self._latest.get(container_id)
        return usage if usage and time.monotonic() - usage.at < _STALE_AFTER_SECONDS else None

    def forget(self, container_id: str) -> None:
        self._latest.pop(container_id, None)
        if (asked := self._asked.pop(container_id, None)) is not None:
            asked.cancel()

    def close(self) -> None:
        """Ask nothing more, also not what waits for its turn. Answers under way are not waited for here."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, container_id: str) -> Usage | None:
        try:
            answer = self._stats(container_id)
        except Unavailable:
            return None
        return usage_of(answer, time.monotonic() - _age_seconds(answer, time.time()))


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
    return now - read_at if 0 <= now - read_at <= _MAX_ANSWER_SECONDS else 0.0

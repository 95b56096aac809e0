"""Cpu and memory of containers from the kernel's own files: no call to the Engine, some microseconds each.

Knows both versions of control groups and both ways the Engine lays them out. Files are kept open, as far as the
process's limit on open files allows, and read with one call each; a container restarted in place gets a new group
under the same path, which the old files tell by an error. Numbers agree with `docker stats`: memory is without the
inactive part of the page cache. What isn't there is None: a group that can't be found is for others to ask about.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from reconciler.load.usage import Usage

ROOT = Path("/sys/fs/cgroup")
_GROUPS = ("docker/{id}", "system.slice/docker-{id}.scope")
_LIMITS_FOR_SECONDS = 30.0
_UNLIMITED = (b"max", b"-1")
_UNLIMITED_BYTES = 1 << 62  # how version 1 says it of memory: the largest multiple of a page


@dataclass(frozen=True, slots=True)
class _Layout:
    """The layout of one version of control groups, where it keeps what we read: paths below ``root``, {group} being the
    container's."""

    cpu_used: str
    memory_used: str
    memory_stat: str
    cache_field: bytes
    cpu_limit: tuple[str, ...]
    memory_limit: str
    ticks_per_second: float


_V1 = _Layout(
    cpu_used="cpuacct/{group}/cpuacct.usage",
    memory_used="memory/{group}/memory.usage_in_bytes",
    memory_stat="memory/{group}/memory.stat",
    cache_field=b"\ntotal_inactive_file ",
    cpu_limit=("cpu/{group}/cpu.cfs_quota_us", "cpu/{group}/cpu.cfs_period_us"),
    memory_limit="memory/{group}/memory.limit_in_bytes",
    ticks_per_second=1e9,
)
_V2 = _Layout(
    cpu_used="{group}/cpu.stat",
    memory_used="{group}/memory.current",
    memory_stat="{group}/memory.stat",
    cache_field=b"\ninactive_file ",
    cpu_limit=("{group}/cpu.max",),
    memory_limit="{group}/memory.max",
    ticks_per_second=1e6,
)


class _ControlGroup:
    """The control group of one container, its files open. Raises OSError where there are none (any more), ValueError
    where one is strange."""

    def __init__(self, root: Path, layout: _Layout, group: str) -> None:
        self._layout = layout
        self._base = f"{root}/"
        self._group = group
        self._descriptors: list[int] = []
        self._limits: tuple[float | None, int | None] = (None, None)
        self._limits_at = float("-inf")
        try:
            for name in (layout.cpu_used, layout.memory_used, layout.memory_stat):
                self._descriptors.append(os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            self.close()
            raise

    def usage(self, now: float) -> Usage:
        cpu, memory, stat = (os.pread(descriptor, 8192, 0) for descriptor in self._descriptors)
        memory_bytes, cache_bytes = int(memory), _field(stat, self._layout.cache_field)
        if now - self._limits_at > _LIMITS_FOR_SECONDS:
            self._limits, self._limits_at = (self._cpu_limit(), self._memory_limit()), now
        return Usage(
            at=now,
            cpu_seconds=_cpu_ticks(cpu) / self._layout.ticks_per_second,
            memory_bytes=memory_bytes - cache_bytes if cache_bytes < memory_bytes else memory_bytes,
            cpu_limit_cores=self._limits[0],
            memory_limit_bytes=self._limits[1],
        )

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _cpu_limit(self) -> float | None:
        quota, period = b" ".join(self._read(name) for name in self._layout.cpu_limit).split()
        return None if quota in _UNLIMITED else int(quota) / int(period)

    def _memory_limit(self) -> int | None:
        limit = self._read(self._layout.memory_limit).strip()
        return None if limit in _UNLIMITED or int(limit) >= _UNLIMITED_BYTES else int(limit)

    def _read(self, name: str) -> bytes:
        return Path(self._path(name)).read_bytes()

    def _path(self, name: str) -> str:
        return self._base + name.format(group=self._group)


class Cgroups:
    """The control groups of a host, below ``root``. Not safe to use from two threads at once."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._layout = _V2 if (root / "cgroup.controllers").exists() else _V1
        self._groups: dict[str, _ControlGroup] = {}
        soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._max_kept = soft_limit // 4  # of three files each: a quarter is left to everything else

    def usage(self, container_id: str) -> Usage | None:
        """What the container has used by now; None where its files can't be read."""
        for _ in range(2):  # once more when it was restarted since
            group = self._groups.pop(container_id, None) or self._find(container_id)
            if group is None:
                return None
            try:
                usage = group.usage(time.monotonic())
            except (OSError, ValueError):
                group.close()
                continue
            self._keep(container_id, group)
            return usage
        return None

    def forget(self, container_id: str) -> None:
        if group := self._groups.pop(container_id, None):
            group.close()

    def close(self) -> None:
        while self._groups:
            self._groups.popitem()[1].close()

    def _keep(self, container_id: str, group: _ControlGroup) -> None:
        if len(self._groups) < self._max_kept:
            self._groups[container_id] = group
        else:
            group.close()

    def _find(self, container_id: str) -> _ControlGroup | None:
        for pattern in _GROUPS:
            try:
                return _ControlGroup(self._root, self._layout, pattern.format(id=container_id))
            except OSError:
                continue
        return None


def _cpu_ticks(text: bytes) -> int:
    """The number of ``cpuacct.usage``, or of the first line of ``cpu.stat``. Raises ValueError."""
    ticks, *_ = text.removeprefix(b"usage_usec ").split()
    return int(ticks)


def _field(stat: bytes, name: bytes) -> int:
    """The number after ``name`` in a file of ``name number`` lines. Raises ValueError where it isn't there."""
    start = stat.index(name) + len(name)
    return int(stat[start : stat.index(b"\n", start)])

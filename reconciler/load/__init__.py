"""What apps and their replicas use and serve: cpu, memory, requests, latency, connections, custom metrics.

It measures in the background and reports numbers, or None for what isn't known; scaling and verdicts are decided in
`decide`. From the kernel's files, nginx's access log and a Prometheus-compatible API; what only another room can tell
(the Engine's stats, requests in flight) comes in as a callable. Nothing here changes anything, but that the access log
is rotated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from reconciler.load.background import BackgroundMeter
from reconciler.load.cgroups import ROOT, Cgroups
from reconciler.load.containers import Containers, this_host
from reconciler.load.engine_stats import EngineStats, Stats
from reconciler.load.log_rotation import LogRotation
from reconciler.load.meter import Meter
from reconciler.load.open_requests import Count, OpenRequests
from reconciler.load.prometheus import CustomMetrics, Prometheus
from reconciler.load.request_log import RequestLog
from reconciler.ports import LoadMeter

MAX_LOG_BYTES = 64 * 1024 * 1024


def open_meter(
    *,
    state_dir: Path,
    access_log: Path | None = None,
    reopen_log: Callable[[], None] | None = None,
    max_log_bytes: int = MAX_LOG_BYTES,
    open_requests: Count | None = None,
    stats: Stats | None = None,
    prometheus_url: str | None = None,
    cgroup_root: Path = ROOT,
    clock: Callable[[], float] = time.time,
) -> LoadMeter:
    """A meter that begins to measure with its first `read`.

    ``access_log`` is in the format of `model.access_log`; where it stands is kept in ``state_dir``, which must exist.
    With ``reopen_log``, which makes nginx open its log anew and may raise Unavailable, the log is rotated here and
    never takes more than about twice ``max_log_bytes``. ``open_requests`` counts requests in flight by replica
    address. ``stats`` is the Engine's answer about a container id, one-shot; it is asked, from background threads,
    only about containers whose control group is not below ``cgroup_root``, and may raise Unavailable.
    """
    rotation = LogRotation(access_log, max_log_bytes, reopen_log) if access_log and reopen_log else None
    requests = RequestLog(access_log, state_dir / "access-log.json", rotation) if access_log else None
    containers = Containers(Cgroups(cgroup_root), EngineStats(stats) if stats else None, this_host())
    custom = CustomMetrics(Prometheus(prometheus_url).ask) if prometheus_url else None
    return BackgroundMeter(Meter(containers, requests, OpenRequests(open_requests), custom), clock)


__all__ = ["MAX_LOG_BYTES", "open_meter"]

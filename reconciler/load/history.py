"""Samples for the record: what each app served and used in every ten seconds, to judge policies on later.

An interval is closed once all its lines must have arrived in the log, and its sample never changes afterwards. After a
restart the lines of intervals that were already recorded are left out, and those of intervals that passed meanwhile
still become samples, with whatever can be told from the log alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import floor
from statistics import fmean

from reconciler.load.traffic import Key, TrafficCounts
from reconciler.model.load import LoadSample

RESOLUTION_SECONDS = 10
# nginx writes a line at most a second late, and we read every second.
SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Gauges:
    """What can only be seen at the moment of a look, of one app. ``connections`` where the edge counts them."""

    replicas: int
    cpu_percent: float | None = None
    memory_percent: float | None = None
    connections: float | None = None
    custom: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(slots=True)
class _Interval:
    """What is known of one interval of one app: its traffic, and what was seen at each look."""

    traffic: TrafficCounts = field(default_factory=TrafficCounts)
    gauges: list[Gauges] = field(default_factory=list)


class History:
    """The samples in the making: intervals that are still open. ``recorded_until`` (epoch seconds): up to there all was
    recorded before."""

    def __init__(self, recorded_until: float = 0.0) -> None:
        self.recorded_until = recorded_until
        self._open: dict[tuple[int, str], _Interval] = {}
        self._replicas: dict[str, int] = {}

    def begin_anew(self, now: float) -> None:
        """Begin anew after the clock was set: the interval that has begun stays incomplete, whole ones are recorded
        again."""
        self._open.clear()
        self.recorded_until = float((floor(now / RESOLUTION_SECONDS) + 1) * RESOLUTION_SECONDS)

    def add(self, traffic: Mapping[Key, TrafficCounts]) -> None:
        for key, part in traffic.items():
            if key.second >= self.recorded_until:
                self._interval(key.second, key.app_name).traffic.merge(part)

    def note(self, app_name: str, at: float, gauges: Gauges) -> None:
        self._replicas[app_name] = gauges.replicas
        if at >= self.recorded_until:
            self._interval(at, app_name).gauges.append(gauges)

    def close_intervals(self, now: float, requests_known: Mapping[str, bool]) -> tuple[LoadSample, ...]:
        """The samples that are complete by ``now``, of these apps; where requests are not known, they are None."""
        last = floor((now - SETTLE_SECONDS) / RESOLUTION_SECONDS)
        closed = sorted(key for key in self._open if key[0] < last)
        intervals = [(number, app_name, self._open.pop((number, app_name))) for number, app_name in closed]
        self.recorded_until = max(self.recorded_until, last * RESOLUTION_SECONDS)
        return tuple(
            self._sample(number, app_name, interval, requests_known[app_name])
            for number, app_name, interval in intervals
            if app_name in requests_known
        )

    def _interval(self, at: float, app_name: str) -> _Interval:
        return self._open.setdefault((floor(at / RESOLUTION_SECONDS), app_name), _Interval())

    def _sample(self, number: int, app_name: str, interval: _Interval, requests_known: bool) -> LoadSample:
        gauges = interval.gauges
        # Nobody looked while the controller was away; the count seen next is the best there is.
        replicas = gauges[-1].replicas if gauges else self._replicas.get(app_name, 0)
        counted = _mean(look.connections for look in gauges)
        requests = _of_requests(interval.traffic) if requests_known else {}
        if counted is not None:
            requests["connections"] = counted
        return LoadSample(
            app_name=app_name,
            at=float((number + 1) * RESOLUTION_SECONDS),
            resolution_seconds=float(RESOLUTION_SECONDS),
            replicas=replicas,
            cpu_percent=_mean(look.cpu_percent for look in gauges),
            memory_percent=_mean(look.memory_percent for look in gauges),
            custom={name: _mean(look.custom.get(name) for look in gauges) for name in _names(gauges)},
            **requests,  # type: ignore[arg-type]
        )


def _of_requests(traffic: TrafficCounts) -> dict[str, float | int]:
    p50, p95, p99 = traffic.latencies.quantiles((0.5, 0.95, 0.99))
    return {
        "rps": traffic.requests / RESOLUTION_SECONDS,
        "p50_latency_ms": p50 or 0.0,
        "p95_latency_ms": p95 or 0.0,
        "p99_latency_ms": p99 or 0.0,
        "connections": traffic.busy_ms / 1000 / RESOLUTION_SECONDS,
        "error_rate": traffic.error_rate,
        **{f"status_{number}xx": traffic.statuses[number] for number in range(1, 6)},
        "bytes_sent": traffic.bytes_sent,
        "repaired": traffic.repaired,
        "given_up": traffic.given_up,
    }


def _names(gauges: Iterable[Gauges]) -> list[str]:
    return sorted({name for look in gauges for name in look.custom})


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None

"""Measurements of an app and of its replicas. None means unknown, which is never the same as 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RecentTraffic:
    """What the edge saw of requests in the ``window_seconds`` that ended just now.

    Of an app: ``requests`` that clients made, ``errors`` among their answers (status 500 and above), requests
    ``repaired``, which one replica failed and another answered, and ``given_up`` by clients that didn't wait for the
    answer. Of a replica: ``requests`` that it was asked, and ``errors`` those that it failed, whoever answered then.
    """

    window_seconds: float
    requests: int
    errors: int
    repaired: int = 0
    given_up: int = 0

    @property
    def error_percent(self) -> float | None:
        """The share of errors; None where nothing was asked."""
        return 100 * self.errors / self.requests if self.requests else None


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """What one replica uses, cpu and memory in percent of its limit (of the host where it has none), and what it was
    asked by way of the edge."""

    cpu_percent: float | None = None
    memory_percent: float | None = None
    traffic: RecentTraffic | None = None


@dataclass(frozen=True, slots=True)
class AppLoad:
    """What one app uses and serves, over its policy's window.

    ``cpu_percent`` and ``memory_percent`` are the mean over healthy replicas, unknown as soon as one of those is;
    ``rps`` and ``connections`` are totals over all replicas; ``p95_latency_ms`` is over all requests of the window;
    ``error_rate`` the share (0–1) of answers with status 500 and above; ``custom`` holds metrics by their name.
    ``connections`` are requests in flight: counted by the edge where ``connections_exact``, else estimated from the
    access log, which does not show what has not ended yet (open websockets, answers still under way). ``traffic`` is
    for people, over a window of its own.
    """

    cpu_percent: float | None = None
    memory_percent: float | None = None
    rps: float | None = None
    p95_latency_ms: float | None = None
    connections: float | None = None
    error_rate: float | None = None
    custom: Mapping[str, float | None] = field(default_factory=dict)
    connections_exact: bool = False
    traffic: RecentTraffic | None = None


@dataclass(frozen=True, slots=True)
class VersionLoad:
    """What one version of an app served while it was being compared with another, to judge a canary by.

    Over the ``window_seconds`` that ended now, the same for all versions of an app. ``requests`` are all that it was
    asked, those included that it failed and another replica answered; ``error_rate`` (0–1) is the share of these, and
    of answers of 500 and above; ``p95_latency_ms`` is that of its answers, None where it gave none.
    """

    requests: int
    error_rate: float
    p95_latency_ms: float | None
    window_seconds: float


@dataclass(frozen=True, slots=True)
class LoadSample:
    """What one app served and used in the ``resolution_seconds`` that ended at ``at`` (epoch seconds).

    Kept so that policies can be judged on it later. ``replicas`` counts healthy ones; rates and connections are totals
    over them; ``status_2xx`` and its kin count answers, ``bytes_sent`` their bodies; ``repaired`` and ``given_up`` are
    as in `RecentTraffic`. None means unknown.
    """

    app_name: str
    at: float
    resolution_seconds: float
    replicas: int
    cpu_percent: float | None = None
    memory_percent: float | None = None
    rps: float | None = None
    p50_latency_ms: float | None = None
    p95_latency_ms: float | None = None
    p99_latency_ms: float | None = None
    connections: float | None = None
    error_rate: float | None = None
    status_1xx: int | None = None
    status_2xx: int | None = None
    status_3xx: int | None = None
    status_4xx: int | None = None
    status_5xx: int | None = None
    bytes_sent: int | None = None
    custom: Mapping[str, float | None] = field(default_factory=dict)
    repaired: int | None = None
    given_up: int | None = None


@dataclass(frozen=True, slots=True)
class Loads:
    """What was measured, by app name and by replica (container) name.

    ``versions``, by app name and spec hash, is there for apps with a canary. ``samples`` are those that are complete
    and not recorded yet. ``notices`` say what can't be measured, and why.
    """

    apps: Mapping[str, AppLoad] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaLoad] = field(default_factory=dict)
    versions: Mapping[tuple[str, str], VersionLoad] = field(default_factory=dict)
    samples: tuple[LoadSample, ...] = ()
    notices: tuple[str, ...] = ()

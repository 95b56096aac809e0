"""One look at everything that is measured, put together by app and by replica.

Decides how measurements are combined, and nothing about what follows from them. An app's cpu and memory are the mean
over its healthy replicas, and unknown as soon as one of those is: a blind spot must not pass for an idle replica.
Requests to a worker are known to be none; those to a tcp app don't pass the edge, so they are unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from reconciler.load.comparison import Comparisons
from reconciler.load.containers import Containers
from reconciler.load.history import Gauges, History
from reconciler.load.open_requests import OpenRequests
from reconciler.load.prometheus import CustomMetrics
from reconciler.load.recent import Recent
from reconciler.load.request_log import RequestLog
from reconciler.load.traffic import TrafficCounts
from reconciler.load.window import WindowTraffic
from reconciler.model.load import AppLoad, Loads, ReplicaLoad, VersionLoad
from reconciler.model.observed import Container, ContainerState
from reconciler.model.spec import App

NO_API = "custom metrics are unknown: no Prometheus-compatible API is set (prometheus_url)"


@dataclass(frozen=True, slots=True)
class Watched:
    """What one look is about. ``replicas`` are the running containers, by app name; ``analysed`` all containers, also
    those that have crashed just now, of apps with a canary; ``healthy`` names of replicas."""

    apps: tuple[App, ...]
    replicas: dict[str, list[Container]]
    healthy: frozenset[str]
    analysed: dict[str, list[Container]]

    @classmethod
    def of(cls, apps: Sequence[App], containers: Sequence[Container], healthy: Collection[str]) -> Watched:
        replicas: dict[str, list[Container]] = {app.name: [] for app in apps}
        analysed: dict[str, list[Container]] = {app.name: [] for app in apps if app.spec.strategy.canary}
        for container in containers:
            if container.app_name in replicas and container.state is ContainerState.RUNNING:
                replicas[container.app_name].append(container)
            if container.app_name in analysed:
                analysed[container.app_name].append(container)
        return cls(tuple(apps), replicas, frozenset(healthy), analysed)


class Meter:
    """All ways to measure, read one after the other. Each may be None: then what it would tell is unknown."""

    def __init__(
        self,
        containers: Containers,
        requests: RequestLog | None,
        open_requests: OpenRequests,
        custom: CustomMetrics | None,
    ) -> None:
        self._containers = containers
        self._requests = requests
        self._open_requests = open_requests
        self._custom = custom
        self._history = History(requests.recorded_until if requests else 0.0)
        self._comparisons = Comparisons()

    def look(self, watched: Watched, now: float) -> Loads:
        """Measure once. ``now``: epoch seconds."""
        self._gather(watched, now)
        views = {app.name: self._view(app, watched) for app in watched.apps}
        for name, view in views.items():
            self._history.note(name, now, self._gauges(view))
        return Loads(
            apps={name: self._app_load(view) for name, view in views.items()},
            replicas={c.name: self._replica_load(c, view) for view in views.values() for c in view.replicas},
            versions={key: load for view in views.values() for key, load in self._version_loads(view, now)},
            samples=self._history.close_intervals(
                now, {app.name: self._knows_requests_of(app) for app in watched.apps}
            ),
            notices=self._notices(watched),
        )

    def begin_anew(self, now: float) -> None:
        """Begin anew after the clock was set: nothing measured by it before can be put beside what comes."""
        self._comparisons.begin_anew()
        self._history.begin_anew(now)
        if self._requests:
            self._requests.begin_anew(now, self._history.recorded_until)

    def keep_position(self, recorded_until: float) -> None:
        """Keep where a restart goes on from: samples up to then (epoch seconds) are recorded for good."""
        if self._requests:
            self._requests.keep_position(recorded_until)

    def close(self) -> None:
        self._containers.close()
        if self._requests:
            self._requests.close()
        if self._custom:
            self._custom.close()

    def _gather(self, watched: Watched, now: float) -> None:
        windows = {app.name: app.scaling.window_seconds for app in watched.apps}
        running = [(app, c) for app in watched.apps for c in watched.replicas[app.name]]
        self._containers.look(
            {c.id: windows[app.name] for app, c in running}, {c.id: _cpu_limit_cores(app) for app, c in running}
        )
        self._open_requests.look(
            {name: [c.address for c in replicas if c.address] for name, replicas in watched.replicas.items()}, windows
        )
        if self._custom:
            self._custom.watch(metric.query for app in watched.apps for metric in app.scaling.metrics)
        if self._requests:
            self._requests.configure(windows, now)
            self._comparisons.watch(watched.analysed, now)
            for traffic in self._requests.look(now):
                self._history.add(traffic)
                self._comparisons.add(traffic)

    def _view(self, app: App, watched: Watched) -> _View:
        replicas = watched.replicas[app.name]
        healthy = [container for container in replicas if container.name in watched.healthy]
        recent = self._requests.recent if self._requests and app.spec.type == "http" else None
        return _View(app, replicas, healthy, self._served(app), recent)

    def _served(self, app: App) -> WindowTraffic | None:
        if app.spec.type == "worker":
            return _NO_REQUESTS
        if self._requests is None or not self._knows_requests_of(app):
            return None
        return self._requests.window(app.name, app.scaling.window_seconds)

    def _knows_requests_of(self, app: App) -> bool:
        logged = self._requests is not None and self._requests.is_known
        return app.spec.type == "worker" or (app.spec.type == "http" and logged)

    def _app_load(self, view: _View) -> AppLoad:
        seconds = view.app.scaling.window_seconds
        histories = [self._containers.history(c.id) for c in view.healthy]
        served = view.served
        counted = self._open_requests.of_app(view.app.name)
        return AppLoad(
            cpu_percent=_mean_of_all(history.cpu_percent(seconds) for history in histories),
            memory_percent=_mean_of_all(history.memory_percent for history in histories),
            rps=served.rps if served else None,
            p95_latency_ms=served.p95_latency_ms if served else None,
            connections=_counted_or_estimated(counted, served),
            error_rate=served.traffic.error_rate if served else None,
            custom=self._custom_values(view.app),
            connections_exact=counted is not None or view.app.spec.type == "worker",
            traffic=view.recent.of_app(view.app.name) if view.recent else None,
        )

    def _replica_load(self, container: Container, view: _View) -> ReplicaLoad:
        history, address = self._containers.history(container.id), container.address
        traffic = view.recent.of_replica(view.app.name, address) if view.recent and address else None
        return ReplicaLoad(history.cpu_percent(view.app.scaling.window_seconds), history.memory_percent, traffic)

    def _version_loads(self, view: _View, now: float) -> Iterable[tuple[tuple[str, str], VersionLoad]]:
        if self._knows_requests_of(view.app):
            for spec_hash, load in self._comparisons.loads(view.app.name, now):
                yield (view.app.name, spec_hash), load

    def _gauges(self, view: _View) -> Gauges:
        histories = [self._containers.history(c.id) for c in view.healthy]
        return Gauges(
            replicas=len(view.healthy),
            cpu_percent=_mean_of_all(history.latest_cpu_percent for history in histories),
            memory_percent=_mean_of_all(history.memory_percent for history in histories),
            connections=self._open_requests.of_app(view.app.name),
            custom=self._custom_values(view.app),
        )

    def _custom_values(self, app: App) -> dict[str, float | None]:
        custom = self._custom
        return {metric.name: custom.value(metric.query) if custom else None for metric in app.scaling.metrics}

    def _notices(self, watched: Watched) -> tuple[str, ...]:
        """What can't be measured, in words that stay the same as long as it lasts."""
        metrics = [(app, metric) for app in watched.apps for metric in app.scaling.metrics]
        of_log = self._requests.notices() if self._requests else ()
        if self._custom is None:
            return (*of_log, NO_API) if metrics else of_log
        problems = ((app, metric, self._custom.problem(metric.query)) for app, metric in metrics)
        return (*of_log, *(f"{app.name}: metric {metric.name}: {why}" for app, metric, why in problems if why))


@dataclass(frozen=True, slots=True)
class _View:
    """One app at one look. ``replicas`` run; ``served`` and ``recent`` are None where the log can't tell."""

    app: App
    replicas: list[Container]
    healthy: list[Container]
    served: WindowTraffic | None
    recent: Recent | None


# Nothing is routed to a worker, so what it serves is known without a log.
_NO_REQUESTS = WindowTraffic(TrafficCounts(), covered_seconds=1.0)


def _counted_or_estimated(counted: float | None, served: WindowTraffic | None) -> float | None:
    if counted is not None:
        return counted
    return served.connections if served else None


def _cpu_limit_cores(app: App) -> float | None:
    return app.spec.resources.cpu_millicores / 1000 if app.spec.resources else None


def _mean_of_all(values: Iterable[float | None]) -> float | None:
    """The mean of all values; None where there is nothing to measure, or where a part of it is unknown."""
    every = list(values)
    known = [value for value in every if value is not None]
    return fmean(known) if known and len(known) == len(every) else None

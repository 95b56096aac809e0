"""The autoscalers under test, behind one method: the project's own code, and the HPA on the same targets."""

from __future__ import annotations

from typing import Protocol

from reconciler.decide.scaling.recommend import initial_count, recommend, remember
from reconciler.model.load import AppLoad
from reconciler.model.scaling import ScalingDecision, ScalingSituation, ScalingState
from reconciler.model.spec import Scaling
from tests.simulation.scaling.app import SimulatedApp, Window
from tests.simulation.scaling.hpa import SYNC_SECONDS, Hpa, ObjectMetric, PodMetric


class Autoscaler(Protocol):
    """Looks at an app every ``period_seconds`` through a meter's window, and returns the count it wants."""

    period_seconds: float

    @property
    def count(self) -> int: ...

    def look(self, app: SimulatedApp, window: Window, now: float) -> int: ...


class Ours:
    """`recommend` and `remember`, as a tick calls them."""

    def __init__(self, scaling: Scaling, period_seconds: float = 5.0) -> None:
        self.scaling = scaling
        self.period_seconds = period_seconds
        self.state = ScalingState(initial_count(scaling))
        self.decisions: list[ScalingDecision] = []

    @property
    def count(self) -> int:
        return self.state.count

    def look(self, app: SimulatedApp, window: Window, now: float) -> int:
        ready = app.ready(now)
        unsettled = "new replicas to become ready" if ready < len(app.ready_at) else ""
        situation = ScalingSituation(self.state, ready, measured(app, window), unsettled)
        decision = recommend(self.scaling, situation, now)
        self.state = remember(self.scaling, situation, decision)
        self.decisions.append(decision)
        return self.state.count


class Kubernetes:
    """An HPA with the same targets and bounds, each target multiplied by ``share``."""

    period_seconds = SYNC_SECONDS

    def __init__(self, scaling: Scaling, share: float = 1.0) -> None:
        self.scaling = scaling
        self.share = share
        self.count = scaling.min_replicas
        self.hpa = Hpa(scaling.min_replicas, scaling.max_replicas)

    def look(self, app: SimulatedApp, window: Window, now: float) -> int:
        self.count = self.hpa.sync(self._metrics(app, window, now), self.count, now)
        return self.count

    def _metrics(self, app: SimulatedApp, window: Window, now: float) -> list[PodMetric | ObjectMetric]:
        load, scaling = measured(app, window), self.scaling
        ready, pods = app.ready(now), len(app.ready_at)
        seasoned = max(1, sum(at <= now - self.scaling.window_seconds for at in app.ready_at))
        return [
            PodMetric(self._ratio(load.cpu_percent, scaling.max_cpu_percent), seasoned, unready=pods - seasoned),
            PodMetric(self._ratio(load.memory_percent, scaling.max_memory_percent), ready, missing=pods - ready),
            PodMetric(self._ratio(load.rps, scaling.target_rps_per_replica * ready), ready, missing=pods - ready),
            PodMetric(self._ratio(load.connections, scaling.max_conn_per_replica * ready), ready, missing=pods - ready),
            ObjectMetric(self._ratio(load.p95_latency_ms, scaling.max_p95_latency_ms), ready),
        ]

    def _ratio(self, value: float | None, target: float) -> float:
        return (value or 0.0) / (target * self.share)


def measured(app: SimulatedApp, window: Window) -> AppLoad:
    return AppLoad(
        cpu_percent=window.mean("cpu_percent"),
        memory_percent=app.profile.memory_percent,
        rps=window.mean("served"),
        p95_latency_ms=window.p95_latency_ms(),
        connections=window.mean("connections"),
        error_rate=0.0,
    )

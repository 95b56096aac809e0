"""Scaling situations in few words, for tests."""

from __future__ import annotations

from typing import Any

from reconciler.decide.scaling.recommend import recommend
from reconciler.model.load import AppLoad
from reconciler.model.scaling import Headroom, ScalingDecision, ScalingSituation, ScalingState
from reconciler.model.spec import Scaling

NOW = 1_000_000.0
METRIC_FIELDS = {
    "cpu": "max_cpu_percent",
    "memory": "max_memory_percent",
    "rps": "target_rps_per_replica",
    "latency": "max_p95_latency_ms",
    "connections": "max_conn_per_replica",
}
LOAD_FIELDS = {"cpu": "cpu_percent", "memory": "memory_percent", "latency": "p95_latency_ms"}


def only(*metrics: str, **options: Any) -> Scaling:
    """A policy with the default targets of these metrics, and all the others switched off."""
    off = {field: 0 for metric, field in METRIC_FIELDS.items() if metric not in metrics}
    return Scaling(**{**off, **options})


def load_at(scaling: Scaling, healthy: int, **factors: float | None) -> AppLoad:
    """The load that puts each named built-in metric at this factor of its target."""
    values: dict[str, Any] = {}
    for metric, factor in factors.items():
        target = getattr(scaling, METRIC_FIELDS[metric])
        replicas = 1 if metric in LOAD_FIELDS else healthy
        values[LOAD_FIELDS.get(metric, metric)] = None if factor is None else factor * target * replicas
    return AppLoad(**values)


def situation(
    current: int,
    load: AppLoad,
    healthy: int | None = None,
    scaled_at: float | None = None,
    headroom: Headroom | None = None,
    unsettled: str = "",
) -> ScalingSituation:
    """``current`` replicas, all healthy and settled unless said otherwise."""
    state = ScalingState(current, scaled_at)
    return ScalingSituation(state, current if healthy is None else healthy, load, unsettled, headroom=headroom)


def decide(scaling: Scaling, current: int, healthy: int | None = None, **factors: float | None) -> ScalingDecision:
    """The decision for ``current`` replicas with these metrics at these factors, long after the last change."""
    load = load_at(scaling, current if healthy is None else healthy, **factors)
    return recommend(scaling, situation(current, load, healthy), NOW)

"""How hard an app works: each metric of a policy as a factor of its target, and the words for it.

A factor of 1 is exactly on target. What is not known stays unknown (None) and never turns into 0: a blind spot must
not look like an idle app. Nothing here says what follows from a factor; that is `strategies`' to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite

from reconciler.model.load import AppLoad, LoadSample
from reconciler.model.scaling import Bounds, Factor, ScalingSituation, ScalingState
from reconciler.model.spec import CustomMetric, Scaling


@dataclass(frozen=True, slots=True)
class Case:
    """One app at one moment as a scaling decision sees it: policy, situation and time, and the factors they give.

    ``winner`` is the metric that works hardest, None where nothing is known.
    """

    scaling: Scaling
    situation: ScalingSituation
    now: float
    factors: tuple[Factor, ...]
    winner: Factor | None
    bounds: Bounds

    @classmethod
    def of(cls, scaling: Scaling, situation: ScalingSituation, now: float) -> Case:
        factors = factors_of(scaling, situation)
        bounds = situation.bounds or Bounds(scaling.min_replicas, scaling.max_replicas)
        return cls(scaling, situation, now, factors, largest(factors), bounds)

    @property
    def current(self) -> int:
        return self.situation.state.count

    @property
    def unknown(self) -> str:
        """The metrics without a value, as a list for people; "" where there are none."""
        return listed(factor.metric for factor in self.factors if factor.factor is None)

    @property
    def cooldown_left_seconds(self) -> float:
        """How much is left of the cooldown."""
        scaled_at = self.situation.state.scaled_at
        return 0.0 if scaled_at is None else max(0.0, self.scaling.cooldown_seconds - (self.now - scaled_at))


def factors_of(scaling: Scaling, situation: ScalingSituation) -> tuple[Factor, ...]:
    """The factor of every metric that takes part (target above 0), in a fixed order whatever the order in the spec."""
    load, healthy = situation.load, situation.healthy
    built_in = (
        ("cpu", load.cpu_percent, scaling.max_cpu_percent, "%"),
        ("memory", load.memory_percent, scaling.max_memory_percent, "%"),
        ("rps", _share(load.rps, healthy), scaling.target_rps_per_replica, "per replica"),
        ("latency", load.p95_latency_ms, scaling.max_p95_latency_ms, "ms"),
        ("connections", _share(load.connections, healthy), scaling.max_conn_per_replica, "per replica"),
    )
    custom = (
        _custom(metric, load.custom.get(metric.name), healthy)
        for metric in sorted(scaling.metrics, key=lambda metric: (metric.name, metric.query))
    )
    factors = (_factor(*metric, healthy) for metric in (*built_in, *custom) if metric[2] > 0)
    return tuple(replace(f, estimated=True) if _is_estimate(f, load) else f for f in factors)


def largest(factors: Iterable[Factor]) -> Factor | None:
    """The metric that works hardest; None where nothing is known. Among equals the first."""
    known = (factor for factor in factors if factor.factor is not None)
    return max(known, key=lambda factor: factor.factor or 0.0, default=None)


def factor_of(scaling: Scaling, sample: LoadSample) -> float | None:
    """How hard the app worked in a recorded sample, held against a policy; None where nothing is known of it."""
    load = AppLoad(
        cpu_percent=sample.cpu_percent,
        memory_percent=sample.memory_percent,
        rps=sample.rps,
        p95_latency_ms=sample.p95_latency_ms,
        connections=sample.connections,
        custom=sample.custom,
    )
    hardest = largest(factors_of(scaling, ScalingSituation(ScalingState(sample.replicas), sample.replicas, load)))
    return hardest.factor if hardest else None


def _is_estimate(factor: Factor, load: AppLoad) -> bool:
    return factor.metric == "connections" and factor.value is not None and not load.connections_exact


def _custom(metric: CustomMetric, value: float | None, healthy: int) -> tuple[str, float | None, float, str]:
    if metric.target_per_replica is not None:
        return metric.name, _share(value, healthy), metric.target_per_replica, "per replica"
    return metric.name, value, metric.target or 0.0, ""


def _share(total: float | None, healthy: int) -> float | None:
    return None if total is None or healthy < 1 else total / healthy


def _factor(metric: str, value: float | None, target: float, unit: str, healthy: int) -> Factor:
    # Without a healthy replica nobody was there to be measured: what is left is an old value.
    if healthy < 1 or value is None or not isfinite(value / target):
        return Factor(metric, None, target, None, unit)
    return Factor(metric, value, target, value / target, unit)


def listed(words: Iterable[str]) -> str:
    """Words as a list for people: ``cpu, rps and latency``."""
    *others, last = [*words] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def number(value: float) -> str:
    """A measurement as people write it: three digits, and as many more as a large one takes."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def seconds(value: float) -> str:
    """A time span for people: ``0.9 s``, ``15 s``."""
    return f"{number(round(value, 1))} s"


def percent(share: float) -> str:
    return f"{number(share * 100)} %"


def amount(value: float, unit: str) -> str:
    """A measurement with its unit: ``40 per replica``, ``56 %``, ``250 ms``."""
    return f"{number(value)} {unit}".rstrip()


def describe(factor: Factor) -> str:
    """A factor in words: ``rps at 160 % of its target (80 of 50 per replica)``."""
    of = amount(factor.target, factor.unit)
    if factor.factor is None or factor.value is None:
        return f"{factor.metric} unknown (target {of})"
    return f"{factor.metric} at {percent(factor.factor)} of its target ({number(factor.value)} of {of})"

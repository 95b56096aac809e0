"""The Kubernetes Horizontal Pod Autoscaler, as its documentation describes it, with its defaults.

Every 15 s: for each metric ``ceil(replicas × value / target)`` unless within 10 % of the target; pods that are not
ready yet count as idle on the way up, pods without measurements also as on target on the way down; the largest count
wins; the highest recommendation of the last 300 s on the way down; at most 4 more or twice as many within 15 s on the
way up. A cpu measurement counts once a whole window of it was taken while the pod was ready.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

SYNC_SECONDS = 15.0
TOLERANCE = 0.1
STABILIZATION_SECONDS = 300.0
POLICY_PERIOD_SECONDS = 15.0
POLICY_PODS = 4


@dataclass(frozen=True, slots=True)
class PodMetric:
    """The mean over the ``measured`` pods against its target; the others are ``unready`` or ``missing``."""

    ratio: float
    measured: int
    unready: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class ObjectMetric:
    """One value for the whole app against its target."""

    ratio: float
    ready: int


def replicas_for_pods(metric: PodMetric, current: int) -> int:
    ratio, counted = metric.ratio, metric.measured
    idle = metric.unready if ratio > 1 else 0
    if not idle and not metric.missing:
        return current if abs(ratio - 1) <= TOLERANCE else ceil(ratio * counted)
    on_target = metric.missing if ratio < 1 else 0
    idle += metric.missing if ratio > 1 else 0
    counted += idle + on_target
    adjusted = (ratio * metric.measured + on_target) / counted
    if abs(adjusted - 1) <= TOLERANCE or (adjusted > 1) != (ratio > 1):
        return current
    count = ceil(adjusted * counted)
    return current if (count > current) != (adjusted > 1) else count


def replicas_for_object(metric: ObjectMetric, current: int) -> int:
    return current if abs(metric.ratio - 1) <= TOLERANCE else ceil(metric.ratio * metric.ready)


@dataclass(slots=True)
class Hpa:
    """One HPA. `sync` returns the count it sets."""

    least: int
    most: int
    recommendations: list[tuple[float, int]] = field(default_factory=list)
    growth: list[tuple[float, int]] = field(default_factory=list)

    def sync(self, metrics: list[PodMetric | ObjectMetric], current: int, now: float) -> int:
        wanted = [
            replicas_for_pods(metric, current)
            if isinstance(metric, PodMetric)
            else replicas_for_object(metric, current)
            for metric in metrics
        ]
        stable = self._stabilized(max(wanted, default=current), current, now)
        count = max(self.least, min(stable, self.most, self._up_limit(current, now)))
        if count > current:
            self.growth.append((now, count - current))
        return count

    def _stabilized(self, count: int, current: int, now: float) -> int:
        if not self.recommendations:
            self.recommendations.append((now, current))
        self.recommendations.append((now, count))
        self.recommendations = [past for past in self.recommendations if past[0] > now - STABILIZATION_SECONDS]
        highest = max(past for _, past in self.recommendations)
        return count if count >= current else min(current, highest)

    def _up_limit(self, current: int, now: float) -> int:
        self.growth = [past for past in self.growth if past[0] > now - POLICY_PERIOD_SECONDS]
        at_start = current - sum(added for _, added in self.growth)
        return max(at_start * 2, at_start + POLICY_PODS)

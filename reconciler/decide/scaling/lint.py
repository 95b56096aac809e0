"""What is wrong with a scaling policy before it ever ran: policies that must flap or can't shrink, with the numbers.

Removing one of n replicas multiplies what each of the others carries by n/(n-1). So a policy keeps still under constant
load only if that never lifts a replica from below the scale-in threshold to above the scale-out threshold, and if what
is measured after a change was also caused after it. A policy without a warning here settles wherever a replica's share
of the load falls no faster than the number of replicas grows; the tests prove it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor

from reconciler.decide.scaling.metrics import amount, listed, number
from reconciler.decide.scaling.strategies import TOLERANCE
from reconciler.model.scaling import Bounds
from reconciler.model.spec import AppType, Scaling


def warnings(scaling: Scaling, app_type: AppType = "http") -> list[str]:
    """What people should know of this policy for such an app before they merge it; nothing where the count doesn't
    follow load."""
    scheduled = (Bounds(entry.min_replicas, entry.max_replicas, entry.cron) for entry in scaling.schedule)
    bounds = (Bounds(scaling.min_replicas, scaling.max_replicas), *scheduled)
    moving = [pair for pair in bounds if pair.min_replicas < pair.max_replicas]
    if scaling.mode == "manual" or not moving:
        return []
    return [
        *_thresholds(scaling, moving),
        *_latency_alone(scaling),
        *_short_cooldown(scaling),
        *(_unmeasured(scaling, moving) if app_type == "tcp" else ()),
    ]


def _thresholds(scaling: Scaling, moving: list[Bounds]) -> Iterator[str]:
    """A warning of thresholds too near each other. The fewer replicas there are, the more the others take over: the
    least number tells of all."""
    fewest = min(moving, key=lambda bounds: bounds.min_replicas)
    scale_in, scale_out = scaling.scale_in_threshold_pct, scaling.scale_out_threshold_pct
    left, count = fewest.min_replicas, fewest.min_replicas + 1
    lands_at = scale_in * count / left
    if scaling.strategy != "step" or lands_at <= scale_out:
        return
    where = f" (schedule {fewest.source})" if fewest.source else ""
    yield (
        f"must flap between {count} and {left} replicas{where}: just under scaleInThresholdPct, {count} replicas at "
        f"{number(scale_in)} % leave {left} at {number(lands_at)} %, which is above scaleOutThresholdPct "
        f"({number(scale_out)}), so one is added again; {_remedy(scale_in, scale_out, fewest)} would hold still"
    )


def _remedy(scale_in: float, scale_out: float, bounds: Bounds) -> str:
    left = bounds.min_replicas
    highest = floor(scale_out * left / (left + 1))
    remedies = [f"scaleInThresholdPct of at most {highest}"] if highest >= 1 else []
    enough = ceil(scale_in / (scale_out - scale_in))
    if enough < bounds.max_replicas:
        remedies.append(f"minReplicas of at least {enough}")
    return " or ".join(remedies or ["a wider gap between the thresholds"])


def _latency_alone(scaling: Scaling) -> Iterator[str]:
    """A warning of latency as the only metric. An app is about as quick with many replicas as with just enough, so
    latency can't tell when one is too many."""
    others = (
        scaling.target_rps_per_replica,
        scaling.max_conn_per_replica,
        scaling.max_cpu_percent,
        scaling.max_memory_percent,
    )
    if scaling.max_p95_latency_ms == 0 or any(others) or scaling.metrics:
        return
    below = scaling.scale_in_threshold_pct / 100 if scaling.strategy == "step" else 1 - TOLERANCE
    above = scaling.scale_out_threshold_pct / 100 if scaling.strategy == "step" else 1 + TOLERANCE
    target = scaling.max_p95_latency_ms
    yield (
        f"must flap where one replica is not enough: maxP95LatencyMs is the only metric, so an app that answers within "
        f"{amount(below * target, 'ms')} is scaled in until it is so overloaded that it takes more than "
        f"{amount(above * target, 'ms')}; set targetRPSPerReplica, maxConnPerReplica or maxCPUPercent as well"
    )


def _short_cooldown(scaling: Scaling) -> Iterator[str]:
    cooldown, window = scaling.cooldown_seconds, scaling.window_seconds
    if cooldown < window:
        yield (
            f"goes too far and back: cooldownSeconds ({number(cooldown)}) is less than windowSeconds "
            f"({number(window)}), so for {number(window - cooldown)} s decisions rest on load from before the last "
            f"change; cooldownSeconds of at least {number(window)} would hold still"
        )


def _unmeasured(scaling: Scaling, moving: list[Bounds]) -> Iterator[str]:
    """A warning of metrics that a tcp app has no values for. Requests to it don't pass the edge, so whatever is made of
    them stays unknown."""
    targets = {
        "targetRPSPerReplica": scaling.target_rps_per_replica,
        "maxP95LatencyMs": scaling.max_p95_latency_ms,
        "maxConnPerReplica": scaling.max_conn_per_replica,
    }
    enabled = [f"{field} ({number(target)})" for field, target in targets.items() if target > 0]
    if enabled:
        max_count = max(bounds.max_replicas for bounds in moving)
        yield (
            f"grows to as many as {max_count} replicas and never shrinks: what {listed(enabled)} would be held against "
            f"can't be measured for type tcp, whose requests don't pass the edge, and a metric without a value rules "
            f"out scaling in; 0 takes a metric out"
        )

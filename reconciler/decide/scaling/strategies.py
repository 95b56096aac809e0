"""From factors to a number of replicas: the two algorithms a policy can choose from, before any guard.

``step`` moves by fixed steps once the hardest-working metric leaves the band between two thresholds. ``proportional``
goes straight to the number at which that metric would be on target, as the Kubernetes HPA documents it, including its
conservative treatment of replicas that can't be measured. Neither scales in while a metric is unknown.
"""

from __future__ import annotations

from math import ceil

from reconciler.decide.scaling.metrics import Case, describe, percent

TOLERANCE = 0.1
_MAX_REPLICAS = 1000
# What floating point adds to an exact quotient must not cost a replica.
_ROUNDING = 1e-9


def propose(case: Case) -> tuple[int, str]:
    """The algorithm's own number, and why, as a clause."""
    if not case.factors:
        return case.current, "no metric has a target above 0, so there is no policy to scale by"
    if case.winner is None or case.winner.factor is None:
        return case.current, _nothing_known(case)
    strategy = _proportional if case.scaling.strategy == "proportional" else _step
    return strategy(case, case.winner.factor, describe(case.winner))


def out_factor(case: Case) -> float:
    """The factor above which a case like this one scales out."""
    if case.scaling.strategy == "step":
        return case.scaling.scale_out_threshold_pct / 100
    return (1 + TOLERANCE) * max(1.0, case.current / max(1, case.situation.healthy))


def in_factor(case: Case) -> float:
    """The factor below which a case like this one scales in, provided that every metric is known and below it."""
    if case.scaling.strategy == "step":
        return case.scaling.scale_in_threshold_pct / 100
    healthy = max(1, case.situation.healthy)
    return min((1 - TOLERANCE) * case.current - _unmeasured(case), case.current - 1 - _unmeasured(case)) / healthy


def _nothing_known(case: Case) -> str:
    if case.situation.healthy < 1:
        return "no replica is healthy, so there is nothing to measure"
    return f"nothing is known of {case.unknown}"


def _step(case: Case, factor: float, work: str) -> tuple[int, str]:
    out_at, in_at = out_factor(case), in_factor(case)
    if factor > out_at:
        return case.current + step_size(factor), f"{work}, above {percent(out_at)}"
    if factor >= in_at:
        return case.current, f"{work}, between {percent(in_at)} and {percent(out_at)}"
    return _fewer(case, case.current - 1, f"{work}, the largest factor, below {percent(in_at)}")


def step_size(factor: float) -> int:
    """How many replicas the ``step`` strategy adds at this factor."""
    if factor > 1.5:
        return 3
    return 2 if factor > 1.2 else 1


def _proportional(case: Case, factor: float, work: str) -> tuple[int, str]:
    """The ``proportional`` algorithm. Replicas without a measurement count as idle on the way out and as on target on
    the way in."""
    unmeasured = _unmeasured(case) if factor < 1 else 0
    needed = max(0.0, factor * case.situation.healthy + unmeasured)
    if abs(needed / max(1, case.current) - 1) <= TOLERANCE + _ROUNDING or (needed < case.current) != (factor < 1):
        return case.current, f"{work}, within {percent(TOLERANCE)} of what {_replicas(case.current)} can take"
    count = ceil(min(needed, _MAX_REPLICAS) - _ROUNDING)
    if count >= case.current:
        return count, f"{work}, which takes {_replicas(count)}"
    return _fewer(case, count, f"{work}, the largest factor, which takes {_replicas(count)}")


def _unmeasured(case: Case) -> int:
    return max(0, case.current - case.situation.healthy)


def _fewer(case: Case, count: int, why: str) -> tuple[int, str]:
    if case.unknown:
        return case.current, f"{why}, but nothing is known of {case.unknown}, and that rules out scaling in"
    return count, why


def _replicas(count: int) -> str:
    return f"{count} replica{'' if count == 1 else 's'}"

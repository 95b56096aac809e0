"""What would have to change for the next scaling step, in numbers that can be held against a graph.

The answer to "why does it not scale?" that needs no knowledge of the algorithm. It explains decisions and makes none.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.decide.scaling.metrics import Case, amount, listed, number, seconds
from reconciler.decide.scaling.strategies import in_factor, out_factor
from reconciler.decide.scaling.throughput import diminishing
from reconciler.model.scaling import Clamp, Factor


def next_step(case: Case, target: int, clamps: Sequence[Clamp]) -> str:
    """What would change the decision, in one sentence, as of the moment it was made."""
    if target != case.current and case.scaling.dry_run:
        return "acts once scaling.dryRun is off"
    if target != case.current:
        return f"nothing before the cooldown of {seconds(case.scaling.cooldown_seconds)} has passed"
    if not case.factors:
        return "a commit that gives a metric a target"
    return _once_released(case, clamps[-1]) if clamps else _thresholds(case)


def _once_released(case: Case, last: Clamp) -> str:
    """What the last clamp, the one that settled the number, is waiting for."""
    if last.name == "settling":
        return f"to {last.before} after waiting for {case.situation.unsettled}, if the load is still the same"
    if last.name == "cooldown":
        left = seconds(case.cooldown_left_seconds)
        return f"to {last.before} once the cooldown has ended, in {left}, if the load is still the same"
    if last.name == "stabilization":
        return f"to {last.before} once nothing higher was recommended for the whole stabilization window"
    if last.name == "host":
        return f"to {last.before} once the host has room"
    if last.name == "throughput" and (diminished := diminishing(case)):
        return diminished.until
    return _thresholds(case)


def _thresholds(case: Case) -> str:
    return _not_before(case) + f"{_out(case)}; {_in(case)}"


def _not_before(case: Case) -> str:
    if case.situation.unsettled:
        return f"after waiting for {case.situation.unsettled}: "
    if case.cooldown_left_seconds > 0:
        return f"once the cooldown has ended, in {seconds(case.cooldown_left_seconds)}: "
    return ""


def _out(case: Case) -> str:
    if case.current >= case.bounds.max_replicas:
        return f"no further out, since maxReplicas is {case.bounds.max_replicas}"
    if case.winner is None:
        return "out once a metric is known"
    return f"out when {_threshold(case.winner, 'exceeds', out_factor(case))}"


def _in(case: Case) -> str:
    if case.current <= case.bounds.min_replicas:
        return f"no further in, since minReplicas is {case.bounds.min_replicas}"
    at = in_factor(case)
    conditions = [f"there is a value for {case.unknown}"] if case.unknown else []
    above = [factor for factor in case.factors if factor.factor is not None and factor.factor >= at]
    conditions += [_threshold(factor, "is below", at) for factor in above]
    return f"in when {listed(conditions)}" if conditions else "in at the next look"


def _threshold(factor: Factor, verb: str, at: float) -> str:
    now = "unknown" if factor.value is None else number(factor.value)
    return f"{factor.metric} {verb} {amount(at * factor.target, factor.unit)} (now {now})"

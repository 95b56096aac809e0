"""How many replicas an app should have: one number, and the whole chain of reasons that led to it.

An algorithm turns factors into a number; then a list of guards, each of which may only bring that number closer to the
present count, has its say in a fixed order. Whatever a guard changes is recorded. Counts that people set (manual mode,
a pause, bounds that the present count lies outside of), and the one that an app has to have, hold at once: the guards
are for what load asks for.

It must never scale in on what it doesn't know, read a clock, or remember anything itself: `remember` says what to keep.
A clock that is set back makes the last change count as having happened just now, which costs one cooldown at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from reconciler.decide.scaling.metrics import Case, seconds
from reconciler.decide.scaling.next_step import next_step
from reconciler.decide.scaling.strategies import propose
from reconciler.decide.scaling.throughput import diminishing
from reconciler.model.scaling import (
    Bounds,
    Clamp,
    FixedCount,
    ScalingDecision,
    ScalingSituation,
    ScalingState,
    Throughput,
)
from reconciler.model.spec import Scaling

Recommendations = tuple[tuple[float, int], ...]


def initial_count(scaling: Scaling, bounds: Bounds | None = None) -> int:
    """How many replicas an app starts with. ``bounds``: those of the schedule, where one is in force."""
    fixed = _fixed(scaling)
    if fixed is not None:
        return fixed.count
    return bounds.min_replicas if bounds else scaling.min_replicas


def recommend(scaling: Scaling, situation: ScalingSituation, now: float) -> ScalingDecision:
    """The count for this moment, with its reasons. ``now`` in epoch seconds."""
    case = Case.of(scaling, situation, now)
    fixed = _fixed(scaling) or situation.fixed
    if fixed is not None:
        return _whatever_the_load(case, fixed)
    bound = _bounds(case, case.current)
    if bound.after != case.current:
        return _decision(case, case.current, bound.after, (bound,), "bounds hold at once, whatever the load")
    raw, why = propose(case)
    target, clamps = _guarded(case, raw)
    return _decision(case, raw, target, clamps, why)


def remember(scaling: Scaling, situation: ScalingSituation, decision: ScalingDecision) -> ScalingState:
    """What the next decision has to know of this one. Equal to the last state as long as nothing happens."""
    state = situation.state
    recommendations = _recommended(scaling, situation, decision)
    if decision.should_scale:
        return replace(
            state,
            count=decision.target,
            scaled_at=decision.at,
            recommendations=recommendations,
            before_scale_out=_served_before(situation, decision),
            scaled_from=state.count,
        )
    # What the last scale-out brought is a question only for as long as load has asked for more ever since.
    before = state.before_scale_out if decision.raw > state.count else None
    return replace(state, recommendations=recommendations, before_scale_out=before)


def _fixed(scaling: Scaling) -> FixedCount | None:
    """The count that people set, which needs no decision."""
    if scaling.paused_at is not None:
        why = f"scaling.pausedAt holds it at {scaling.paused_at}"
        return FixedCount(scaling.paused_at, why, "a commit without pausedAt")
    if scaling.mode == "manual":
        count = scaling.manual_replicas
        return FixedCount(count, f"mode is manual and asks for {count}", "a commit with another scaling.replicas")
    return None


def _whatever_the_load(case: Case, fixed: FixedCount) -> ScalingDecision:
    count, reason = fixed.count, f"{_headline(case.current, fixed.count)}: {fixed.why}"
    return ScalingDecision(case.now, case.current, count, count, reason, None, case.factors, (), fixed.until)


def _decision(case: Case, raw: int, target: int, clamps: tuple[Clamp, ...], why: str) -> ScalingDecision:
    dry_run = case.scaling.dry_run
    headline = ("dry run, would " if dry_run else "") + _headline(case.current, target)
    return ScalingDecision(
        at=case.now,
        current=case.current,
        target=target,
        raw=raw,
        reason="; ".join((f"{headline}: {why}", *(clamp.reason for clamp in clamps))),
        winner=case.winner.metric if case.winner else None,
        factors=case.factors,
        clamps=clamps,
        next_step=next_step(case, target, clamps),
        acted=not dry_run,
    )


def _headline(current: int, target: int) -> str:
    if target == current:
        return f"keep {current}"
    return f"scale {'out' if target > current else 'in'} from {current} to {target}"


# -- guards: each may only bring the number closer to the present count ---------------------------------------------


def _guarded(case: Case, raw: int) -> tuple[int, tuple[Clamp, ...]]:
    count, clamps = raw, []
    for guard in _GUARDS:
        clamp = guard(case, count)
        if clamp is not None and clamp.after != count:
            clamps.append(clamp)
            count = clamp.after
    return count, tuple(clamps)


def _step_limit(case: Case, count: int) -> Clamp | None:
    max_out, max_in = case.scaling.max_scale_out_step, case.scaling.max_scale_in_step
    if count > case.current + max_out:
        return Clamp("maxScaleOutStep", count, case.current + max_out, f"maxScaleOutStep is {max_out}")
    if count < case.current - max_in:
        return Clamp("maxScaleInStep", count, case.current - max_in, f"maxScaleInStep is {max_in}")
    return None


def _bounds(case: Case, count: int) -> Clamp:
    bounds = case.bounds
    after = max(bounds.min_replicas, min(count, bounds.max_replicas))
    name = "minReplicas" if after == bounds.min_replicas else "maxReplicas"
    return Clamp(name, count, after, f"{name} is {after}" + (f" by {bounds.source}" if bounds.source else ""))


def _settling(case: Case, count: int) -> Clamp | None:
    unsettled = case.situation.unsettled
    return Clamp("settling", count, case.current, f"waiting for {unsettled}") if unsettled else None


def _cooldown(case: Case, count: int) -> Clamp | None:
    left = case.cooldown_left_seconds
    reason = f"in the cooldown of {seconds(case.scaling.cooldown_seconds)} for another {seconds(left)}"
    return Clamp("cooldown", count, case.current, reason) if left > 0 else None


def _stabilization(case: Case, count: int) -> Clamp | None:
    window = case.scaling.stabilization_window_seconds
    if window == 0:
        return None
    history = _in_window(case.situation.state, case.now, window)
    highest, ended = history[0][1], history[1][0] if len(history) > 1 else case.now
    reason = f"{highest} were recommended until {seconds(case.now - ended)} ago, within the last {seconds(window)}"
    return Clamp("stabilization", count, max(count, min(case.current, highest)), reason)


def _throughput(case: Case, count: int) -> Clamp | None:
    diminished = diminishing(case) if count > case.current else None
    return Clamp("throughput", count, case.current, diminished.reason) if diminished else None


def _headroom(case: Case, count: int) -> Clamp | None:
    headroom = case.situation.headroom
    if headroom is None or count <= case.current + max(0, headroom.replicas):
        return None
    return Clamp("host", count, max(case.current, case.current + headroom.replicas), headroom.reason)


_GUARDS: tuple[Callable[[Case, int], Clamp | None], ...] = (
    _step_limit,
    _bounds,
    _settling,
    _cooldown,
    _stabilization,
    _throughput,
    _headroom,
)


# -- state ---------------------------------------------------------------------------------------------------------


def _in_window(state: ScalingState, now: float, window_seconds: float) -> Recommendations:
    """The recommendations that held at some time of the window; each held from its time until the next one's."""
    history = [*state.recommendations] or [(now, state.count)]
    while len(history) > 1 and history[1][0] <= now - window_seconds:
        del history[0]
    return tuple(history)


def _recommended(scaling: Scaling, situation: ScalingSituation, decision: ScalingDecision) -> Recommendations:
    """The history with this recommendation. Only the highest counts of what follows matter, so lower ones go."""
    state = situation.state
    if _fixed(scaling) or situation.fixed or scaling.stabilization_window_seconds == 0:
        return ()
    if decision.should_scale and decision.raw == decision.current:
        return ((decision.at, decision.target),)
    history = list(_in_window(state, decision.at, scaling.stabilization_window_seconds))
    since = decision.at
    while history and history[-1][1] <= decision.raw:
        since = history.pop()[0]
    return (*history, (since, decision.raw))


def _served_before(situation: ScalingSituation, decision: ScalingDecision) -> Throughput | None:
    """What was served before a scale-out that load asked for, to hold against what it will bring."""
    winner = next((factor for factor in decision.factors if factor.metric == decision.winner), None)
    served = situation.load.rps
    if winner is None or not winner.factor or not served or not decision.current < decision.target <= decision.raw:
        return None
    return Throughput(situation.healthy, served, winner.metric, winner.factor)

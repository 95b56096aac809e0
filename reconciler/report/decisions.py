"""A scaling decision for people and for tools: every number and every reason that it was recorded with.

Factors against their targets, the number the algorithm came to, every limit that changed it, and what would have to
change for another one. It retells them and never reckons anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.model.scaling import Factor, ScalingDecision
from reconciler.report.tables import table
from reconciler.report.times import age, rfc3339

_ESTIMATED = (
    "connections are estimated from the access log (rate × mean duration): what it has no line of yet, such as an open "
    "websocket, isn't in them"
)


def decision_lines(decision: ScalingDecision, now: float) -> Iterator[str]:
    """A scaling decision with its whole chain of reasons, as text."""
    yield f"{decision.reason} ({age(now - decision.at)} ago)"
    if decision.factors:
        rows = [_factor_row(factor, decision) for factor in decision.factors]
        yield table(("METRIC", "VALUE", "TARGET", "FACTOR", ""), rows, has_message=False)
    yield f"recommended: {decision.raw}"
    yield from (f"{clamp.name}: {clamp.before} → {clamp.after}, {clamp.reason}" for clamp in decision.clamps)
    acted = "" if decision.acted else " (not acted upon: dryRun)"
    yield f"result: {decision.target}{acted}"
    if decision.next_step:
        yield f"next: {decision.next_step}"
    yield from (f"note: {note}" for note in notes_on(decision))


def notes_on(decision: ScalingDecision) -> tuple[str, ...]:
    """Notes on a decision: what its numbers don't show."""
    return (_ESTIMATED,) if any(factor.estimated for factor in decision.factors) else ()


def _factor_row(factor: Factor, decision: ScalingDecision) -> tuple[str, ...]:
    value = "unknown" if factor.value is None else _number(factor.value, factor.unit)
    share = "unknown" if factor.factor is None else f"{factor.factor:.2f}"
    winner = "works hardest" if factor.metric == decision.winner else ""
    return factor.metric, value, _number(factor.target, factor.unit), share, winner


def _number(value: float, unit: str) -> str:
    return f"{value:{'.0f' if abs(value) >= 100 else '.3g'}} {unit}".rstrip()


def decision_document(decision: ScalingDecision) -> dict[str, Any]:
    """A scaling decision with its whole chain of reasons, as JSON values."""
    return {
        "at": rfc3339(decision.at),
        "current": decision.current,
        "recommended": decision.raw,
        "target": decision.target,
        "acted": decision.acted,
        "reason": decision.reason,
        "winner": decision.winner,
        "factors": [
            {"metric": f.metric, "value": f.value, "target": f.target, "factor": f.factor, "unit": f.unit}
            for f in decision.factors
        ],
        "clamps": [
            {"name": clamp.name, "before": clamp.before, "after": clamp.after, "reason": clamp.reason}
            for clamp in decision.clamps
        ],
        "next_step": decision.next_step,
    }

"""A scaling decision for tools: every number and every reason that it was recorded with."""

from __future__ import annotations

from typing import Any

from reconciler.model.scaling import ScalingDecision
from reconciler.report.times import rfc3339


def decision_document(decision: ScalingDecision) -> dict[str, Any]:
    """A scaling decision with its whole chain of reasons."""
    return {
        "at": rfc3339(decision.at),
        "current": decision.current,
        "recommended": decision.raw,
        "target": decision.target,
        "acted": decision.acted,
        "reason": decision.reason,
        "winner": decision.winner,
        "factors": [
            {"metric": it.metric, "value": it.value, "target": it.target, "factor": it.factor, "unit": it.unit}
            for it in decision.factors
        ],
        "clamps": [
            {"name": it.name, "before": it.before, "after": it.after, "reason": it.reason} for it in decision.clamps
        ],
        "next_step": decision.next_step,
    }

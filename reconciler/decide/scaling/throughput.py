"""Whether the last scale-out was of any use: throughput per added replica, held against what the others had brought.

Replicas behind one bottleneck (a database, the host itself) share what it lets through, so another one only makes each
of them slower to no avail. That is so where an added replica brings next to nothing *and* the metric that asked for it
hardly improved. Where either is unknown, nothing is held against scaling out.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.decide.scaling.metrics import Case, amount, number, percent
from reconciler.model.scaling import Factor, Throughput

# An added replica is worth it if it brings this share of what each of the others had brought …
_WORTHWHILE_SHARE = 0.1
# … or improves the metric by this share of what an equal split of the load would do.
_RELIEF_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Diminished:
    """Why scaling out has become useless, and what would prove otherwise."""

    reason: str
    until: str


def diminishing(case: Case) -> Diminished | None:
    """What speaks against scaling out any further; None where nothing does or it can't be told."""
    before, served, healthy = case.situation.state.before_scale_out, case.situation.load.rps, case.situation.healthy
    if before is None or served is None or healthy <= before.replicas:
        return None
    factor = next((factor for factor in case.factors if factor.metric == before.metric), None)
    # Requests are what comes in, not what the app makes of them: fewer for each replica is what was wanted.
    if factor is None or factor.factor is None or "rps" in (before.metric, case.winner and case.winner.metric):
        return None
    was = before.rps / before.replicas
    enough = before.rps + _WORTHWHILE_SHARE * was * (healthy - before.replicas)
    relieved = before.factor * (1 - _RELIEF_SHARE * (1 - before.replicas / healthy))
    if served >= enough or factor.factor <= relieved:
        return None
    return Diminished(_reason(before, was, served / healthy, healthy), _until(factor, relieved, enough, served))


def _reason(before: Throughput, was: float, now: float, healthy: int) -> str:
    return (
        f"not scaling any further: throughput per replica fell by {percent(1 - now / was)} (from {number(was)} to "
        f"{number(now)} requests per second) with {healthy} replicas instead of {before.replicas}, "
        f"and {before.metric} hardly improved"
    )


def _until(factor: Factor, relieved: float, enough: float, served: float) -> str:
    better = amount(relieved * factor.target, factor.unit)
    return (
        f"out once {number(enough)} requests per second are served (now {number(served)}) or {factor.metric} is at "
        f"{better} or below (now {number(factor.value or 0)})"
    )

"""What a scaling decision is: a count and the whole chain of reasons that led to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Factor:
    """One metric against its target: ``factor = value / target``; None where the value is unknown."""

    metric: str
    value: float | None
    target: float
    factor: float | None


@dataclass(frozen=True, slots=True)
class Clamp:
    """One limit that changed the number, in the order they were applied."""

    name: str
    before: int
    after: int
    reason: str


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """``current`` replicas become ``target``; ``raw`` is the algorithm's number before any clamp.

    ``winner`` is the metric with the largest factor. ``reason`` is one sentence; ``next_step`` says what would have
    to change for another decision. ``acted`` is False for a decision that was only recorded (``dryRun``).
    """

    at: float
    current: int
    target: int
    raw: int
    reason: str
    winner: str | None = None
    factors: tuple[Factor, ...] = ()
    clamps: tuple[Clamp, ...] = ()
    next_step: str = ""
    acted: bool = True

    @property
    def should_scale(self) -> bool:
        return self.acted and self.target != self.current

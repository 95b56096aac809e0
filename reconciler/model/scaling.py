"""What a scaling decision is made of, and what it is: a count and the whole chain of reasons that led to it."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.load import AppLoad
from reconciler.model.moments import Moment


@dataclass(frozen=True, slots=True)
class Factor:
    """One metric against its target: ``factor = value / target``; None where the value is unknown.

    ``unit`` is what value and target are given in: ``%``, ``ms``, ``per replica``, or nothing. ``estimated``: the value
    was inferred, not counted (`AppLoad.connections_exact`).
    """

    metric: str
    value: float | None
    target: float
    factor: float | None
    unit: str = ""
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Clamp:
    """One limit that changed the number, in the order they were applied."""

    name: str
    before: int
    after: int
    reason: str


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """A decision on the count of an app: ``current`` replicas become ``target``; ``raw`` is the algorithm's number
    before any clamp.

    ``winner`` is the metric with the largest factor. ``reason`` is one sentence; ``next_step`` says what would have
    to change for another decision. ``acted`` is False for a decision that was only recorded (``dryRun``).
    """

    at: Moment
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

    @property
    def gist(self) -> tuple[object, ...]:
        """What two decisions share that people would call the same: all but the time and the measurements, which
        always move."""
        return self.current, self.target, self.winner, tuple(clamp.name for clamp in self.clamps), self.acted


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most replicas in force. ``source`` is the schedule entry they come from, "" for the policy."""

    min_replicas: int
    max_replicas: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class FixedCount:
    """A count that holds whatever the load. ``why`` it does stands after a colon; ``until`` is what would change it."""

    count: int
    why: str
    until: str


@dataclass(frozen=True, slots=True)
class Headroom:
    """How many more replicas of one app the host can hold, and the sentence that says why no more."""

    replicas: int
    reason: str


@dataclass(frozen=True, slots=True)
class Throughput:
    """What an app served, in requests per second, just before it was scaled out because of ``metric``.

    ``replicas`` are those that were healthy then, ``factor`` the metric's own: both are held against what the added
    replicas brought.
    """

    replicas: int
    rps: float
    metric: str
    factor: float


@dataclass(frozen=True, slots=True)
class ScalingState:
    """What one decision leaves for the next. Times in epoch seconds.

    ``count`` is the number of replicas decided last, ``scaled_at`` when it last changed and ``scaled_from`` what it
    was before. ``recommendations`` are counts and since when each was recommended, as far back as the stabilization
    window reaches, without those a later and higher one has made irrelevant: so they only ever fall.
    ``before_scale_out`` is None unless the last change was a scale-out that load asked for. ``kept_writers`` is how
    many replicas an app keeps that wrote to a volume together before one was the rule; 0 where it keeps none, None in
    what an earlier version recorded, until it was looked at.
    """

    count: int
    scaled_at: Moment | None = None
    recommendations: tuple[tuple[Moment, int], ...] = ()
    before_scale_out: Throughput | None = None
    scaled_from: int | None = None
    kept_writers: int | None = None


@dataclass(frozen=True, slots=True)
class ScalingSituation:
    """All that a scaling decision looks at, besides the policy and the time.

    ``healthy`` counts the replicas fit for traffic now; ``load`` was measured over the policy's window.
    ``unsettled`` says why the measurements are no basis for a change just now (a rollout, replicas of the last change
    still starting), in words that follow "waiting for"; "" when they are. ``bounds`` are those of the schedule, None
    where there is none in force; ``fixed`` is the count of an app that has to have this one, whatever its policy.
    ``headroom`` is None where it isn't known what the host can hold.
    """

    state: ScalingState
    healthy: int
    load: AppLoad = AppLoad()
    unsettled: str = ""
    bounds: Bounds | None = None
    fixed: FixedCount | None = None
    headroom: Headroom | None = None

    @property
    def current(self) -> int:
        return self.state.count

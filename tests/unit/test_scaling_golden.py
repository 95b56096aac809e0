"""Every kind of decision in the words that people read in the log, in `events` and in `explain`."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.scaling.metrics import describe
from reconciler.decide.scaling.recommend import recommend
from reconciler.model.load import AppLoad
from reconciler.model.scaling import Bounds, Headroom, ScalingDecision, ScalingSituation, ScalingState, Throughput
from reconciler.model.spec import CustomMetric, Scaling
from tests.support.golden import assert_golden
from tests.support.scaling import NOW, only, situation

DEFAULTS = Scaling()
QUIET = AppLoad(cpu_percent=14, memory_percent=20, rps=30, p95_latency_ms=40, connections=3)
STEADY = replace(QUIET, cpu_percent=35, rps=90)
HEAVY = replace(STEADY, cpu_percent=66, rps=240, p95_latency_ms=180, connections=60)
PROPORTIONAL = Scaling(strategy="proportional", max_replicas=20)
QUEUE = CustomMetric(name="queue", query="sum(jobs_waiting)", target_per_replica=20)
FULL = Headroom(1, "the host's memory holds 1 more of 500m and 512 MiB")
STUCK = Throughput(2, 190, "latency", 6.0)

CASES: dict[str, tuple[Scaling, ScalingSituation]] = {
    "in the band between the thresholds": (DEFAULTS, situation(3, STEADY)),
    "above the scale-out threshold": (DEFAULTS, situation(2, replace(STEADY, rps=84))),
    "far above, at the maximum": (DEFAULTS, situation(5, replace(HEAVY, rps=500))),
    "far above, beyond the maximum": (DEFAULTS, situation(3, HEAVY)),
    "everything idle": (DEFAULTS, situation(3, QUIET)),
    "everything idle at the minimum": (DEFAULTS, situation(1, replace(QUIET, rps=4, connections=0.1))),
    "idle, but one metric is missing": (DEFAULTS, situation(3, replace(QUIET, connections=None))),
    "nothing is known": (DEFAULTS, situation(3, AppLoad())),
    "no replica is healthy": (DEFAULTS, situation(3, AppLoad(), healthy=0)),
    "five wanted, one healthy, heavy load": (DEFAULTS, situation(5, HEAVY, healthy=1)),
    "no metric takes part": (only(), situation(3, STEADY)),
    "heavy load in the cooldown": (DEFAULTS, situation(2, HEAVY, scaled_at=NOW - 18)),
    "steady load in the cooldown": (DEFAULTS, situation(3, STEADY, scaled_at=NOW - 18)),
    "heavy load during a rollout": (DEFAULTS, situation(2, HEAVY, unsettled="the rollout to end")),
    "heavy load while replicas start": (DEFAULTS, situation(3, HEAVY, healthy=2, unsettled="web-3 to become ready")),
    "heavy load on a full host": (DEFAULTS, situation(3, HEAVY, headroom=FULL)),
    "heavy load on a host that is more than full": (
        DEFAULTS,
        situation(3, HEAVY, headroom=Headroom(0, "the host's memory holds 0 more of 500m and 512 MiB")),
    ),
    "more replicas did not help": (
        DEFAULTS,
        ScalingSituation(ScalingState(4, NOW - 60, (), STUCK), 4, replace(HEAVY, rps=200, p95_latency_ms=1490)),
    ),
    "idle within the stabilization window": (
        Scaling(stabilization_window_seconds=300),
        ScalingSituation(ScalingState(4, NOW - 900, ((NOW - 900, 4), (NOW - 40, 3))), 4, replace(QUIET, rps=40)),
    ),
    "a limited step": (Scaling(max_scale_out_step=1), situation(2, HEAVY)),
    "below a minimum that was raised": (Scaling(min_replicas=4), situation(2, STEADY)),
    "above the schedule's maximum": (
        DEFAULTS,
        replace(situation(4, STEADY), bounds=Bounds(1, 2, "schedule 0 20 * * * (Europe/Berlin)")),
    ),
    "proportional, out": (PROPORTIONAL, situation(3, HEAVY)),
    "proportional, in": (PROPORTIONAL, situation(5, STEADY)),
    "proportional, on target": (PROPORTIONAL, situation(3, replace(STEADY, rps=159))),
    "a metric of its own": (only(metrics=(QUEUE,)), situation(2, AppLoad(custom={"queue": 55}))),
    "manual": (Scaling(mode="manual", replicas=4), situation(2, STEADY)),
    "paused": (Scaling(paused_at=2), situation(2, HEAVY)),
    "dry run": (Scaling(dry_run=True), situation(3, HEAVY)),
}


def test_scaling_decisions_read_as_reviewed() -> None:
    texts = [f"## {title}\n{_text(recommend(policy, now, NOW))}" for title, (policy, now) in CASES.items()]
    assert_golden("scaling/decisions.txt", "\n".join(texts))


def _text(decision: ScalingDecision) -> str:
    clamps = [f"{clamp.name} {clamp.before} → {clamp.after}" for clamp in decision.clamps]
    lines = [
        f"decision  {decision.reason}",
        f"next      {decision.next_step}",
        f"numbers   {' → '.join([str(decision.current), f'raw {decision.raw}', *clamps, str(decision.target)])}",
        *(f"factor    {describe(factor)}" for factor in decision.factors),
    ]
    return "".join(f"{line}\n" for line in lines)

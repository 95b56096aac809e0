"""Drive one autoscaler through one trace, and say what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.model.spec import Scaling
from tests.simulation.scaling.app import STEP_SECONDS, Profile, SimulatedApp, Window
from tests.simulation.scaling.autoscalers import Autoscaler
from tests.simulation.scaling.traces import Trace


@dataclass(slots=True)
class Outcome:
    """``seconds_above`` counts the seconds with more load on each ready replica than its target, or a slower p95.

    The load that counts is the mean offered, not its noise: no autoscaler can do anything about that.
    """

    changes: int = 0
    seconds_above: float = 0.0
    replica_hours: float = 0.0
    counts: list[int] = field(default_factory=list)


def run(
    autoscaler: Autoscaler, scaling: Scaling, trace: Trace, profile: Profile | None = None, seed: int = 1
) -> Outcome:
    app = SimulatedApp(profile or Profile(), seed, ready_at=[0.0] * autoscaler.count)
    window, outcome, next_look = Window(scaling.window_seconds), Outcome(), scaling.window_seconds
    for second in range(int(trace.seconds / STEP_SECONDS)):
        now = second * STEP_SECONDS
        window.add(app.pass_second(now, trace.rate(now)))
        outcome.replica_hours += len(app.ready_at) * STEP_SECONDS / 3600
        outcome.seconds_above += STEP_SECONDS * _above(window, scaling)
        if now >= next_look:
            next_look += autoscaler.period_seconds
            count = autoscaler.look(app, window, now)
            outcome.changes += count != len(app.ready_at)
            app.scale(count, now)
        outcome.counts.append(len(app.ready_at))
    return outcome


def _above(window: Window, scaling: Scaling) -> bool:
    last = window.seconds[-1]
    overloaded = last.rate > scaling.target_rps_per_replica * last.ready
    return overloaded or last.p95_latency_ms > scaling.max_p95_latency_ms

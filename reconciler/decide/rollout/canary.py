"""A canary: the new version on a share of the traffic, and the verdict on it.

The new version's own requests are held against the old version's, from the moment the canary was in traffic. What
can't be measured, or was asked too little, is no verdict: the canary goes on, and says so. One that turns unhealthy has
failed, whatever its requests say, and only one that is in traffic is promoted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd

from reconciler.decide.app_view import AppView
from reconciler.decide.healing import most_are_unhealthy
from reconciler.decide.phases import Phase, Replica
from reconciler.model.load import VersionLoad
from reconciler.model.plan import Wait
from reconciler.model.spec import Canary

# A difference in latency that nobody would notice, and that chance alone makes on fast answers.
NOTICEABLE_MS = 5.0


@dataclass(frozen=True, slots=True)
class Analysis:
    """The comparison of a canary with the old version. ``good`` is None as long as the canary can't be judged;
    ``message`` says why, or what it was judged by."""

    good: bool | None
    message: str
    details: Mapping[str, str]


def in_traffic(view: AppView) -> bool:
    """Whether the whole canary is ready and gets requests."""
    return sum(r.name in view.routed for r in view.available) >= view.composition.wanted


def sick(view: AppView) -> Replica | None:
    """A replica of the canary that is unhealthy, unless most of the app's are, or the network doesn't reach it: then it
    is hardly the canary's fault."""
    new = (r for r in view.existing if r.spec_hash == view.target.spec_hash and not r.state.unreached)
    return None if most_are_unhealthy(view.existing) else next((r for r in new if r.phase is Phase.UNHEALTHY), None)


def due_at(view: AppView, canary: Canary) -> float | None:
    """When the canary can be judged (epoch seconds); None before it is in traffic."""
    rollout = view.app.rollout
    return None if rollout is None or rollout.canary_at is None else rollout.canary_at + canary.hold_seconds


def analyse(canary: Canary, new: VersionLoad | None, old: VersionLoad | None) -> Analysis:
    """The verdict by what both versions served in the same time, which is to be as long as the canary is held."""
    if new is None or old is None:
        return Analysis(None, "its requests are not measured", {})
    details = {
        "requests": f"{new.requests} (old version {old.requests})",
        "error_rate": f"{_percent(new.error_rate)} (old version {_percent(old.error_rate)})",
        "p95_latency": f"{_ms(new.p95_latency_ms)} (old version {_ms(old.p95_latency_ms)})",
    }
    measured_seconds = min(new.window_seconds, old.window_seconds)
    if measured_seconds < canary.hold_seconds:
        compared = f"compared for only {measured_seconds:.0f} of {canary.hold_seconds:g} s"
        return Analysis(None, f"{compared}, which begins anew when the controller is restarted", details)
    if new.requests < canary.min_requests:
        return Analysis(None, f"{new.requests} of {canary.min_requests} requests it takes to judge", details)
    if (new.error_rate - old.error_rate) * 100 > canary.max_error_rate_percent:
        allowed = f"{canary.max_error_rate_percent:g} % more are allowed (maxErrorRatePercent)"
        return Analysis(False, f"errors {details['error_rate']}, and {allowed}", details)
    if _much_slower(new.p95_latency_ms, old.p95_latency_ms, canary.max_p95_ratio):
        allowed = f"{canary.max_p95_ratio:g} times as much is allowed (maxP95Ratio)"
        return Analysis(False, f"p95 {details['p95_latency']}, and {allowed}", details)
    measured = f"{details['requests']} requests, errors {details['error_rate']}, p95 {details['p95_latency']}"
    return Analysis(True, measured, details)


def waiting(view: AppView, canary: Canary, analysis: Analysis | None) -> Wait:
    """What a canary that can't be judged yet waits for."""
    due = due_at(view, canary)
    share = f"canary at {canary.weight} % of the traffic"
    if not in_traffic(view):
        return Wait(view.name, f"{share}: waiting for it to be in traffic")
    if analysis is None:
        return Wait(view.name, f"{share} for {canary.hold_seconds:g} s before the verdict", due)
    return Wait(view.name, f"{share}, and no verdict yet: {analysis.message}")


def weights(weight: int, new: int, old: int) -> tuple[int, int]:
    """Weights of each new and each old server that together give the new ones ``weight`` percent of the traffic."""
    if not new or not old:
        return 1, 1
    each_new, each_old = weight * old, (100 - weight) * new
    common = gcd(each_new, each_old)
    return each_new // common, each_old // common


def _much_slower(new_ms: float | None, old_ms: float | None, ratio: float) -> bool:
    if new_ms is None or old_ms is None:
        return False
    return new_ms > ratio * old_ms and new_ms - old_ms > NOTICEABLE_MS


def _percent(rate: float) -> str:
    return f"{rate * 100:.2f} %"


def _ms(milliseconds: float | None) -> str:
    return "unknown" if milliseconds is None else f"{milliseconds:.0f} ms"

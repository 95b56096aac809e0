"""Scaling decisions on simulated traffic, beside the Kubernetes HPA's documented algorithm on the same trace.

Run it as ``.venv/bin/python -m tests.bench.scaling [--json] [--seed 1] [--startup 5]``. No container is started.
For each trace: changes of the count, seconds above target, and replica-hours, for the default policy, for the HPA with
its defaults on the same targets, for the HPA with its targets at our scale-out threshold, and for the ``proportional``
strategy with the HPA's own stabilization window. Then decisions per second.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from reconciler.decide.scaling.recommend import recommend
from reconciler.model.load import AppLoad
from reconciler.model.scaling import ScalingSituation, ScalingState
from reconciler.model.spec import Scaling
from tests.bench.table import print_table
from tests.simulation.scaling.app import Profile
from tests.simulation.scaling.autoscalers import Autoscaler, Kubernetes, Ours
from tests.simulation.scaling.run import Outcome, run
from tests.simulation.scaling.traces import TRACES

DEFAULTS = Scaling()
PROPORTIONAL = Scaling(
    strategy="proportional", max_scale_out_step=5, max_scale_in_step=5, stabilization_window_seconds=300
)
FIGURES = ("changes", "seconds_above", "replica_hours")
DECISIONS = 10_000

CONTENDERS: Mapping[str, Callable[[], Autoscaler]] = {
    "default": lambda: Ours(DEFAULTS),
    "hpa": lambda: Kubernetes(DEFAULTS),
    "hpa, same trigger": lambda: Kubernetes(DEFAULTS, share=DEFAULTS.scale_out_threshold_pct / 100),
    "proportional": lambda: Ours(PROPORTIONAL),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--seed", type=int, default=1, help="of the noise in the traffic")
    options.add_argument("--startup", type=float, default=5.0, help="seconds until a new replica is ready")
    given = options.parse_args()
    profile = Profile(startup_seconds=given.startup)
    traces = {
        trace.name: {name: run(make(), DEFAULTS, trace, profile, given.seed) for name, make in CONTENDERS.items()}
        for trace in TRACES
    }
    speed = decisions_per_second()
    if given.json:
        print(json.dumps({"traces": {name: as_json(found) for name, found in traces.items()}, **speed}))
    else:
        print_tables(traces, speed)


def as_json(found: Mapping[str, Outcome]) -> dict[str, Any]:
    """The figures of each, the ratios of default to HPA (None where the HPA has 0), and which wishes hold."""
    figures = {name: {figure: asdict(outcome)[figure] for figure in FIGURES} for name, outcome in found.items()}
    ours, hpa = figures["default"], figures["hpa"]
    return {
        **figures,
        "ratios": {figure: ours[figure] / hpa[figure] if hpa[figure] else None for figure in FIGURES},
        "holds": {figure: ours[figure] <= hpa[figure] for figure in FIGURES},
    }


def print_tables(traces: Mapping[str, Mapping[str, Outcome]], speed: Mapping[str, float]) -> None:
    print("changes / seconds above target / replica-hours\n")
    rows = [[trace, *(text(found[name]) for name in CONTENDERS), verdict(found)] for trace, found in traces.items()]
    print_table(("", *CONTENDERS, "default is worse than hpa in"), rows)
    print(f"\n{speed['decisions_per_second']:,.0f} decisions per second ({DECISIONS:,} in {speed['seconds']:.2f} s)")


def text(outcome: Outcome) -> str:
    return f"{outcome.changes} / {outcome.seconds_above:.0f} / {outcome.replica_hours:.2f}"


def verdict(found: Mapping[str, Outcome]) -> str:
    worse = [name for name, holds in as_json(found)["holds"].items() if not holds]
    return ", ".join(worse).replace("_", " ") or "nothing"


def decisions_per_second() -> dict[str, float]:
    """Ten thousand apps, each with its own load, decided one after the other."""
    load = AppLoad(cpu_percent=30, memory_percent=20, rps=75, p95_latency_ms=40, connections=3)
    apps = [ScalingSituation(ScalingState(3, 0.0), 3, replace(load, rps=float(n % 400))) for n in range(DECISIONS)]
    started = time.perf_counter()
    for app in apps:
        recommend(DEFAULTS, app, 1000.0)
    seconds = time.perf_counter() - started
    return {"decisions_per_second": DECISIONS / seconds, "seconds": seconds}


if __name__ == "__main__":
    main()

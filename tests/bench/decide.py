"""What deciding costs where nothing is to be done, beside making and comparing each remembered value once.

Run it as ``.venv/bin/python -m tests.bench.decide [--json] [--profile]``. Pure: no engine, no database, no network.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from reconciler.decide.plan import conclude, decide
from reconciler.model.observed import Observed
from reconciler.model.plan import DecisionSettings
from reconciler.model.routes import Publication
from tests.bench.table import print_table
from tests.support.apps import desired, version
from tests.support.stage import Stage

ROUNDS = 15
# Apps, and replicas of each.
SIZES = ((1, 300), (60, 5), (1000, 5))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--profile", action="store_true", help="show where the time of the largest goes")
    given = options.parse_args()
    if given.profile:
        profile(converged(*SIZES[-1]))
        return
    figures = [measure(apps, replicas) for apps, replicas in SIZES]
    if given.json:
        print(json.dumps({"sizes": figures}))
        return
    print_table(
        ("", "floor", "decide", "conclude", "both / floor"),
        [
            (
                f"{figure['apps']:.0f} apps of {figure['replicas']:.0f} replicas",
                f"{figure['floor_ms']:.1f} ms",
                f"{figure['decide_ms']:.1f} ms",
                f"{figure['conclude_ms']:.1f} ms",
                f"{figure['ratio']:.1f}",
            )
            for figure in figures
        ],
    )


def converged(apps: int, replicas: int) -> Stage:
    """A stage on which everything serves, half of it with a count that follows load."""
    scaling = {"minReplicas": replicas, "maxReplicas": replicas + 1}
    versions = [
        version(f"app-{number}", replicas=replicas)
        if number % 2
        else version(f"app-{number}", replicas=None, scaling=scaling)
        for number in range(apps)
    ]
    stage = Stage(desired(*versions))
    stage.settle()
    stage.tick()
    return stage


def measure(apps: int, replicas: int) -> dict[str, float]:
    """Medians of idle decisions, and what they are held against, in milliseconds of processor time."""
    stage = converged(apps, replicas)
    observed = quiet(stage)
    decision = decide(observed, stage.state, DecisionSettings())
    assert decision.plan.actions == decision.plan.events == ()
    publication = Publication(decision.plan.routes, stage.state.published.generation, "unchanged")
    floor_ms = milliseconds(lambda: _copy_and_compare(stage))
    decide_ms = milliseconds(lambda: decide(observed, stage.state, DecisionSettings()))
    conclude_ms = milliseconds(lambda: conclude(decision, publication, stage.now))
    return {
        "apps": apps,
        "replicas": replicas,
        "floor_ms": floor_ms,
        "decide_ms": decide_ms,
        "conclude_ms": conclude_ms,
        "ratio": (decide_ms + conclude_ms) / floor_ms,
    }


def quiet(stage: Stage) -> Observed:
    """What a tick sees at which no probe has answered."""
    return replace(stage.observe(), samples=(), outcomes=())


def milliseconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return statistics.median(times) * 1000


def profile(stage: Stage) -> None:
    observed = quiet(stage)
    profiler = cProfile.Profile()
    profiler.enable()
    decision = decide(observed, stage.state, DecisionSettings())
    conclude(decision, None, stage.now)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


def _copy_and_compare(stage: Stage) -> None:
    state = stage.state
    apps = {name: replace(app) for name, app in state.apps.items()}
    replicas = {name: replace(replica) for name, replica in state.replicas.items()}
    assert (apps, replicas) == (state.apps, state.replicas)


if __name__ == "__main__":
    main()

"""What measuring costs: containers beside the Engine's stats API, lines of the access log, decisions.

Run it as ``.venv/bin/python -m tests.bench.metering [--json] [--containers 50,200]``. A sample is cpu and memory of
every container, once; the Engine is asked at the concurrency the controller would use. A look is all that the meter
does once a second for those containers and a log of 5,000 requests a second. Costs in percent are of one core.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler.decide.scaling.recommend import recommend
from reconciler.load.cgroups import Cgroups
from reconciler.load.containers import Containers, this_host
from reconciler.load.engine_stats import CONCURRENCY
from reconciler.load.meter import Meter, Watched
from reconciler.load.open_requests import OpenRequests
from reconciler.load.request_log import RequestLog
from reconciler.model.observed import Container, ContainerState
from reconciler.model.spec import Scaling
from tests.bench.table import print_table
from tests.support.access_log import line
from tests.support.apps import app
from tests.support.engine import client, demo_image, playground
from tests.support.scaling import NOW, load_at, situation

_LINES_PER_SECOND = 5000
_APPS = 10
_START = 1_700_000_000
_DECISIONS = 10_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--containers", default="50,200")
    given = options.parse_args()
    sizes = sorted(int(size) for size in given.containers.split(","))
    results = {"sample": measure_samples(sizes), "log": measure_log(), "decisions": measure_decisions()}
    if given.json:
        print(json.dumps({"metering": results}))
    else:
        report(results)


def report(results: dict[str, Any]) -> None:
    rows = [
        (
            f"{size} containers",
            f"{r['ours_ms']:.1f} ms",
            f"{r['look_ms']:.1f} ms",
            f"{r['engine_ms']:.0f} ms",
            f"{r['engine_ratio']:.0f}",
        )
        for size, r in results["sample"].items()
    ]
    print_table(("a sample of", "control groups", "whole look", "Engine stats", "stats/ours"), rows)
    log, decisions = results["log"], results["decisions"]
    print_table(
        ("", "per second and core", "cost"),
        [
            ("log lines", f"{log['lines_per_second']:,.0f}", f"{log['core_percent']:.1f} % at {_LINES_PER_SECOND:,}/s"),
            (
                "scaling decisions",
                f"{decisions['per_second']:,.0f}",
                f"{decisions['seconds']:.2f} s for {_DECISIONS:,} apps",
            ),
        ],
    )


# -- containers -------------------------------------------------------------------------------------------------------


def measure_samples(sizes: list[int]) -> dict[str, dict[str, float]]:
    results = {}
    with playground() as place:
        containers: list[Container] = []
        for size in sizes:
            containers += start(place.name_prefix, place.instance, len(containers) + 1, size)
            results[str(size)] = measure_sample(containers)
    return results


def start(prefix: str, instance: str, first: int, last: int) -> list[Container]:
    """Containers numbered from ``first`` to ``last``, without a network, which costs most of a start."""
    api, image = client(), demo_image()
    host_config = api.create_host_config(network_mode="none", nano_cpus=500_000_000, mem_limit="64m")

    def start_one(number: int) -> Container:
        name = f"{prefix}bench-{number}"
        labels = {"orchestry.instance": instance}
        container_id = api.create_container(image, name=name, labels=labels, host_config=host_config)["Id"]
        api.start(container_id)
        app_name = f"app-{number % _APPS}"
        return Container(container_id, name, app_name, number, "hash", "r1", ContainerState.RUNNING, f"10.0.0.{number}")

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(start_one, range(first, last + 1)))


def measure_sample(containers: list[Container]) -> dict[str, float]:
    cgroups = Cgroups()
    ours = milliseconds(lambda: [cgroups.usage(container.id) for container in containers], rounds=20)
    assert all(cgroups.usage(container.id) for container in containers)
    cgroups.close()
    engine = milliseconds(lambda: ask_engine(containers), rounds=1)
    return {
        "ours_ms": ours,
        "look_ms": measure_look(containers),
        "engine_ms": engine,
        "engine_ratio": engine / ours,
    }


def ask_engine(containers: list[Container]) -> None:
    api = client()
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        list(pool.map(lambda container: api.stats(container.id, stream=False, one_shot=True), containers))


def measure_look(containers: list[Container]) -> float:
    """A whole look, with 5,000 requests a second in the log."""
    apps = [app(f"app-{number}", replicas=None, scaling={}) for number in range(_APPS)]
    watched = Watched.of(apps, containers, [container.name for container in containers])
    with busy_log() as (requests, serve):
        meter = Meter(Containers(Cgroups(), None, this_host()), requests, OpenRequests(None), None)
        times = []
        for second in range(30):
            serve(_START + second)
            started = time.process_time()
            meter.look(watched, _START + second + 1.5)
            times.append(time.process_time() - started)
        meter.close()
    return statistics.median(times[20:]) * 1000


# -- the access log ---------------------------------------------------------------------------------------------------


@contextmanager
def busy_log() -> Iterator[tuple[RequestLog, Callable[[int], None]]]:
    """A log, and what writes a second of 5,000 requests to ten apps on fifty replicas into it."""
    chosen = random.Random(4)
    patterns = [pattern(chosen) for _ in range(_LINES_PER_SECOND)]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "access.log"

        def serve(second: int) -> None:
            with path.open("ab") as file:
                for number, (app_name, values) in enumerate(patterns):
                    file.write(line(second + number / _LINES_PER_SECOND, app_name, **values))

        yield RequestLog(path, Path(directory) / "state.json", None), serve


def pattern(chosen: random.Random) -> tuple[str, dict[str, str]]:
    """One request as it might be: 1 % errors, a long tail of latencies."""
    replica = chosen.randrange(50)
    seconds = f"{chosen.lognormvariate(-3.5, 1):.3f}"
    status = chosen.choices(("200", "404", "500"), (97, 2, 1))[0]
    values = {
        "upstream_addresses": f"10.0.0.{replica}:8080",
        "upstream_seconds": seconds,
        "request_seconds": seconds,
        "status": status,
        "upstream_statuses": status,
        "bytes_sent": str(chosen.randrange(200, 90_000)),
    }
    return f"app-{replica % _APPS}", values


def measure_log() -> dict[str, float]:
    with busy_log() as (requests, serve):
        requests.configure({f"app-{number}": 20.0 for number in range(_APPS)}, _START)
        times = []
        for second in range(20):
            serve(_START + second)
            started = time.process_time()
            read = sum(traffic.requests for batch in requests.look(_START + second + 1) for traffic in batch.values())
            times.append(time.process_time() - started)
            assert read == _LINES_PER_SECOND
        requests.close()
    seconds = statistics.median(times)
    return {"lines_per_second": _LINES_PER_SECOND / seconds, "core_percent": 100 * seconds}


# -- decisions --------------------------------------------------------------------------------------------------------


def measure_decisions() -> dict[str, float]:
    scaling = Scaling()
    factors = itertools.cycle((0.2, 0.5, 0.9, 1.3, 1.6))
    cases = [
        situation(
            3, load_at(scaling, 3, cpu=next(factors), memory=0.4, rps=next(factors), latency=0.3, open_requests=0.1)
        )
        for _ in range(_DECISIONS)
    ]
    started = time.process_time()
    for case in cases:
        recommend(scaling, case, NOW)
    seconds = time.process_time() - started
    return {"per_second": _DECISIONS / seconds, "seconds": seconds}


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """The median time of doing it, once warm where it is done more than once."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:] or times) * 1000


if __name__ == "__main__":
    main()

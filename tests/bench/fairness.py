"""Releasing one app beside others that end and pull slowly, to the same release alone, in one run.

Run it as ``.venv/bin/python -m tests.bench.fairness [--json] [--rounds 3] [--apps 8]``. The slow apps are workers that
do not end when they are asked to, so that each takes up its whole grace, and as many again whose registry accepts
connections and says nothing. Releases alone and beside them take turns. Time runs from the commit until all new
replicas have started and all old ones are gone, as told by the Engine's events. A ratio of 1.2 is the most that other
apps' slowness may cost.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.bench.table import print_table
from tests.support.dockerd import PrivateEngine, private_engine
from tests.support.engine import Playground
from tests.support.site import DEFAULT_CHECK, Site, stubborn_worker, web

REPLICAS = 3
GRACE_SECONDS = 30
IMAGES = ("orchestry-demo:1", "orchestry-demo:2")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--apps", type=int, default=8)
    given = options.parse_args()
    with private_engine() as engine, tempfile.TemporaryDirectory() as root:
        for version in ("1", "2"):
            engine.build_demo(version)
        site = Site(Path(root), Playground("fairness", "orchestry-fairness"), engine)
        try:
            alone, beside = measure(site, engine, given.rounds, given.apps)
        finally:
            site.close()
    ratio = beside / alone
    if given.json:
        print(json.dumps({"fairness": {"beside slow apps": ratio}, "seconds": {"alone": alone, "beside": beside}}))
        return
    rows = [("alone", f"{alone:.2f} s", "1.00"), (f"beside {2 * given.apps}", f"{beside:.2f} s", f"{ratio:.2f}")]
    print_table((f"releasing {REPLICAS} replicas", "median", "to alone"), rows)


def measure(site: Site, engine: PrivateEngine, rounds: int, apps: int) -> tuple[float, float]:
    """Median seconds of a release alone, and beside so many apps of each slow kind."""
    alone, beside = [], []
    workers, pulling = ([f"{kind}-{number}" for number in range(apps)] for kind in ("ending", "pulling"))
    site.start()
    site.deploy({"web.yaml": released(0)})
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:  # accepted by the kernel, and never answered
        for round_ in range(rounds):
            alone.append(release(site, engine, 2 * round_ + 1))
            site.deploy({f"{name}.yaml": worker(name, 2) for name in workers}, *workers, within_seconds=120)
            pulls = {f"{name}.yaml": worker(name, 1, _image(silent, name)) for name in pulling}
            site.commit({f"{name}.yaml": worker(name, 0) for name in workers} | pulls)
            site.wait(lambda: _ending(site, workers) and site.condition("Progressing", pulling[-1]))
            beside.append(release(site, engine, 2 * round_ + 2))
            assert _ending(site, workers), "they ended before the release did; give them more grace"
            site.commit(dict.fromkeys(pulls))
            site.wait(lambda: not any(site.ids(name) for name in workers), within_seconds=2 * GRACE_SECONDS)
    return statistics.median(alone), statistics.median(beside)


def release(site: Site, engine: PrivateEngine, number: int) -> float:
    """Seconds from the commit until only replicas of it are there."""
    time.sleep(1)
    kinds = ("start", "destroy")
    filters = {"type": "container", "event": list(kinds), "label": "orchestry.app=web"}
    events = engine.client().events(decode=True, filters=filters)
    left = Counter(dict.fromkeys(kinds, REPLICAS))
    began = time.perf_counter()
    revision = site.commit({"web.yaml": released(number)})
    for event in events:
        left[event["Action"]] -= 1
        if not +left:
            break
    seconds = time.perf_counter() - began
    events.close()
    site.wait_converged(revision)
    return seconds


def released(number: int) -> str:
    return web(image=IMAGES[number % 2], replicas=REPLICAS, grace=0, check=DEFAULT_CHECK)


def worker(name: str, replicas: int, image: str = IMAGES[0]) -> str:
    """A worker that ignores what asks it to end, or is never there."""
    return stubborn_worker(name, replicas, image=image, policy="IfNotPresent", grace=GRACE_SECONDS)


def _image(silent: socket.socket, name: str) -> str:
    return f"127.0.0.1:{silent.getsockname()[1]}/{name}:1"


def _ending(site: Site, names: list[str]) -> bool:
    """Whether the programs of all of these were asked to end, and have not."""
    phases = [{i["phase"] for i in site.app(name)["instances"]} for name in names]
    return all(own == {"stopping"} for own in phases)


if __name__ == "__main__":
    main()

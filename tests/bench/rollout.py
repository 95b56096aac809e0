"""Rolling out ten replicas that are ready at once: ours, the Engine API alone, and Docker Swarm, in one run.

Run it as ``.venv/bin/python -m tests.bench.rollout [--json] [--rounds 3]``. The drain time is 0, so that what is
measured is work and not waiting. Time runs from the commit (or the call) until ten new replicas answer and no old one
is left, as told by the Engine's events: asking it again and again would slow down what is measured. The floor is the
Engine API alone at its best parallelism, starting each new replica before it removes an old one; the peer is Swarm's
start-first, one task at a time as is its default, and all at once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import docker

from tests.bench.table import print_table
from tests.support.dockerd import PrivateEngine, private_engine
from tests.support.engine import Playground
from tests.support.http import serves
from tests.support.site import DEFAULT_CHECK, Site, web
from tests.support.swarm import swarm
from tests.support.waiting import eventually

REPLICAS = 10
CONCURRENCIES = (2, 4, 8)
STRATEGIES = {"maxSurge 100%": "  strategy: {maxSurge: 100%}\n", "default strategy": ""}
IMAGES = ("orchestry-demo:1", "orchestry-demo:2")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with private_engine() as engine:
        for version in ("1", "2"):
            engine.build_demo(version)
        best = min(CONCURRENCIES, key=lambda concurrency: roll_raw(engine, 1, concurrency))
        # Before and after ours, so that a machine which slows down meanwhile does so for both.
        before = roll_raw(engine, given.rounds, best)
        ours = {name: roll_ours(engine, given.rounds, extra) for name, extra in STRATEGIES.items()}
        floor = statistics.mean((before, roll_raw(engine, given.rounds, best)))
        peers = {f"parallelism {n or 'all'}": roll_swarm(engine, given.rounds, n) for n in (1, 0)}
    if given.json:
        print(json.dumps(_figures(floor, ours, peers)))
        return
    rows = [("Engine API alone", f"{floor:.2f} s", "1.00")]
    rows += [(f"Orchestry, {name}", f"{seconds:.2f} s", f"{seconds / floor:.2f}") for name, seconds in ours.items()]
    rows += [(f"Swarm, {name}", f"{seconds:.2f} s", f"{seconds / floor:.2f}") for name, seconds in peers.items()]
    print_table((f"rolling {REPLICAS} replicas", "median", "to floor"), rows)


def _figures(floor: float, ours: dict[str, float], peers: dict[str, float]) -> dict[str, object]:
    best = min(peers.values())
    ratios = {name: {"floor": seconds / floor, "swarm": seconds / best} for name, seconds in ours.items()}
    return {"rollout": ratios, "seconds": {"floor": floor, **ours, **peers}}


# -- the floor --------------------------------------------------------------------------------------------------------


def roll_raw(engine: PrivateEngine, rounds: int, concurrency: int) -> float:
    """Median seconds of the Engine API alone, each new container at a fixed address of its own, as ours have it."""
    api = engine.client()
    pool = docker.types.IPAMPool(subnet="10.210.0.0/16")
    network = api.create_network("raw", ipam=docker.types.IPAMConfig(pool_configs=[pool]))["Id"]
    times: list[float] = []
    with ThreadPoolExecutor(concurrency) as threads:
        olds: list[str] = list(threads.map(lambda n: _start(api, IMAGES[0], 0, n), range(REPLICAS)))
        for round_ in range(1, rounds + 1):
            began = time.perf_counter()
            pairs = list(enumerate(olds))
            olds = list(threads.map(lambda pair, r=round_: _swap(api, IMAGES[r % 2], r, *pair), pairs))
            times.append(time.perf_counter() - began)
        list(threads.map(lambda container: api.remove_container(container, force=True), olds))
    api.remove_network(network)
    return statistics.median(times)


def _swap(api: docker.APIClient, image: str, round_: int, number: int, old: str) -> str:
    new = _start(api, image, round_, number)
    api.remove_container(old, force=True)
    return new


def _start(api: docker.APIClient, image: str, round_: int, number: int) -> str:
    """A running container that answers; its id."""
    address = f"10.210.{round_ % 2 + 1}.{number + 1}"
    endpoint = api.create_endpoint_config(ipv4_address=address, aliases=["raw"])
    container = api.create_container(
        image,
        name=f"raw-{round_}-{number}",
        host_config=api.create_host_config(network_mode="raw", restart_policy={"Name": "unless-stopped"}),
        networking_config={"EndpointsConfig": {"raw": endpoint}},
    )
    api.start(container["Id"])
    eventually(lambda: serves(address), every_seconds=0.002)
    return str(container["Id"])


# -- ours -------------------------------------------------------------------------------------------------------------


def roll_ours(engine: PrivateEngine, rounds: int, extra: str) -> float:
    """Median seconds from a commit until only new replicas are there, all of them routed."""
    with _site(engine) as site:
        site.commit({"web.yaml": web(image=IMAGES[0], replicas=REPLICAS, grace=0, check=DEFAULT_CHECK, extra=extra)})
        site.start()
        site.wait_converged(site.git("rev-parse", "HEAD"))
        times = []
        for round_ in range(1, rounds + 1):
            time.sleep(1)
            image = IMAGES[round_ % 2]
            # Old replicas go only once the new ones are routed, so that the last one's end is the end.
            with _until_all(engine, "start", "destroy") as wait:
                revision = site.commit(
                    {"web.yaml": web(image=image, replicas=REPLICAS, grace=0, check=DEFAULT_CHECK, extra=extra)}
                )
                times.append(wait())
            site.wait_converged(revision)
            assert site.images() == {image}
    return statistics.median(times)


@contextmanager
def _site(engine: PrivateEngine) -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as root:
        site = Site(Path(root), Playground("rollout", "orchestry-rollout"), engine)
        try:
            yield site
        finally:
            site.close()


# -- the peer ---------------------------------------------------------------------------------------------------------


def roll_swarm(engine: PrivateEngine, rounds: int, parallelism: int) -> float:
    """Median seconds from `service update --update-order start-first` until only new tasks run. 0: all at once."""
    times = []
    with swarm(engine) as made:
        made.create(IMAGES[0], REPLICAS)
        for round_ in range(1, rounds + 1):
            time.sleep(1)
            image = IMAGES[round_ % 2]
            with _until_all(engine, "start", "die") as wait:
                made.change(image, REPLICAS, parallelism=parallelism, order="start-first")
                times.append(wait())
            made.wait_running(REPLICAS, image)
    return statistics.median(times)


# -- what all are measured by -----------------------------------------------------------------------------------------


@contextmanager
def _until_all(engine: PrivateEngine, *kinds: str) -> Iterator[Callable[[], float]]:
    """What waits until each of these things has happened to ten containers; the seconds since the block was entered."""
    events = engine.client().events(decode=True, filters={"type": "container", "event": list(kinds)})
    began = time.perf_counter()
    left = Counter(dict.fromkeys(kinds, REPLICAS))

    def wait() -> float:
        for event in events:
            left[event["Action"]] -= 1
            if not +left:
                break
        return time.perf_counter() - began

    try:
        yield wait
    finally:
        events.close()


if __name__ == "__main__":
    main()

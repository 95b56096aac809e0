"""What one observation costs beside the one list call it is made of.

Run it as ``.venv/bin/python -m tests.bench.observe [--json] [--sizes 100,300]``. The floor is the Engine's list of all
containers, asked for and parsed by the same client; beside it stands docker-py's own ``containers.list``, which
inspects every container. The containers are created and not started: to a list that makes no difference.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address

import docker
from docker.utils import kwargs_from_env

from reconciler.model.actions import CreateReplica
from reconciler.model.observed import Network
from reconciler.runtime.client import BoundedClient
from reconciler.runtime.docker import DockerRuntime
from reconciler.runtime.translate import create_body
from tests.bench.table import print_table
from tests.support.apps import version
from tests.support.engine import Playground, client, demo_image, playground

ROUNDS = 15


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--sizes", default="100,300")
    given = options.parse_args()
    results = measure([int(size) for size in given.sizes.split(",")])
    if given.json:
        print(json.dumps({"observe": {str(size): ours / floor for size, (floor, ours, _) in results.items()}}))
        return
    rows = [
        (f"{size} containers", *(f"{1000 * seconds:.1f} ms" for seconds in times), f"{times[1] / times[0]:.2f}")
        for size, times in results.items()
    ]
    print_table(("", "list call", "observe", "containers.list", "ours/floor"), rows)


def measure(sizes: list[int]) -> dict[int, tuple[float, float, float]]:
    """By number of containers: seconds of the list call, of an observation, and of docker-py's own list."""
    results = {}
    with playground() as place:
        runtime = DockerRuntime(
            instance=place.instance,
            network=place.network,
            secrets_dir=None,
            allow_host_paths=(),
            allow_volumes=(),
            volume_record=None,
            secrets_key=None,
            wake=lambda: None,
            concurrency=4,
        )
        runtime.prepare()
        made = 0
        for size in sizes:
            create(place, runtime.inventory().network, range(made, size))
            made = size
            assert len(runtime.inventory().containers) == size
            results[size] = (
                *side_by_side(lambda: client().containers(all=True), lambda: runtime.inventory()),
                seconds_of(
                    lambda: docker.DockerClient.from_env(timeout=60).containers.list(all=True, ignore_removed=True)
                ),
            )
        runtime.close()
    return results


def create(place: Playground, network: Network, numbers: range) -> None:
    first = int(IPv4Address(network.first_address))
    api = BoundedClient(**kwargs_from_env(), version="auto", timeout=60)

    def create_one(number: int) -> None:
        name = f"{place.name_prefix}web-{number}"
        wanted = version(image=demo_image())
        action = CreateReplica("web", wanted, number, name, str(IPv4Address(first + number)), 1, cause="bench")
        api.create(create_body(action, place.instance, place.network, str), name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create_one, numbers))
    api.close()


def side_by_side(floor: Callable[[], object], ours: Callable[[], object]) -> tuple[float, float]:
    """Medians in seconds. Taken in turns, so that whatever else the machine does meets both alike."""
    pairs = [(seconds_of(floor), seconds_of(ours)) for _ in range(ROUNDS)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def seconds_of(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

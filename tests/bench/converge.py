"""From a commit to serving replicas: ours, the raw Engine API, and Docker Swarm, in one run on one private Engine.

Run it as ``.venv/bin/python -m tests.bench.converge [--json] [--sizes 10,50] [--rounds 3]``. The floor is the Engine
API doing the same creates and starts at its best concurrency; the peer is ``docker service scale``. Ours is measured
from the commit to the moment when every replica has answered through nginx. All take turns, and medians are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import requests

from tests.bench.table import print_table
from tests.support.dockerd import PrivateEngine, private_engine
from tests.support.engine import Playground
from tests.support.site import DEFAULT_CHECK, Site, web
from tests.support.waiting import eventually

CONCURRENCIES = (2, 4, 8)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--sizes", default="10,50")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--heals", type=int, default=5)
    given = options.parse_args()
    sizes = [int(size) for size in given.sizes.split(",")]
    with private_engine() as engine:
        image = engine.build_demo("1")
        best = min(CONCURRENCIES, key=lambda concurrency: scale_raw(engine, image, sizes, concurrency))
        raw, ours = [], []
        for _ in range(given.rounds):
            raw.append(scale_raw(engine, image, sizes, best))
            ours.append(scale_ours(engine, sizes))
        healed, floor_heal = heal(engine, 2 * given.heals)
        swarm = scale_swarm(engine, image, sizes)
    report(sizes, _medians(raw), _medians(ours), swarm, healed, floor_heal, as_json=given.json)


def _medians(rounds: list[list[float]]) -> list[float]:
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def report(
    sizes: list[int],
    floor: list[float],
    ours: list[float],
    swarm: list[float],
    healed: float,
    floor_heal: float,
    *,
    as_json: bool,
) -> None:
    ratios = {
        f"{size}": {"floor": o / f, "swarm": o / s} for size, f, o, s in zip(sizes, floor, ours, swarm, strict=True)
    }
    if as_json:
        print(json.dumps({"converge": ratios, "heal": {"start": healed / floor_heal}}))
        return
    rows = [
        (f"to {size} replicas", f"{f:.2f} s", f"{o:.2f} s", f"{s:.2f} s", f"{o / f:.2f}", f"{o / s:.2f}")
        for size, f, o, s in zip(sizes, floor, ours, swarm, strict=True)
    ]
    rows.append(("heal one killed", f"{floor_heal:.2f} s", f"{healed:.2f} s", "", f"{healed / floor_heal:.2f}", ""))
    print_table(("", "Engine API", "Orchestry", "Swarm", "ours/floor", "ours/Swarm"), rows)


# -- the floor: the Engine API alone ----------------------------------------------------------------------------------


def scale_raw(engine: PrivateEngine, image: str, sizes: list[int], concurrency: int) -> list[float]:
    """Seconds from nothing to each size, in turn, each replica with a name, a network and an address as ours have."""
    api = engine.client()
    pool = docker.types.IPAMPool(subnet="10.210.0.0/16")
    network = api.create_network("raw", ipam=docker.types.IPAMConfig(pool_configs=[pool]))["Id"]
    times, made = [], 0
    with ThreadPoolExecutor(concurrency) as threads:
        for size in sizes:
            began = time.perf_counter()
            addresses = list(threads.map(lambda n: _create_raw(api, image, n), range(made, size)))
            for address in addresses:
                eventually(lambda address=address: _answers(address), every_seconds=0.002)
            times.append(time.perf_counter() - began)
            made = size
        list(threads.map(lambda n: api.remove_container(f"raw-{n}", force=True), range(made)))
    api.remove_network(network)
    return times


def _create_raw(api: docker.APIClient, image: str, number: int) -> str:
    address = f"10.210.1.{number + 1}"
    endpoint = api.create_endpoint_config(ipv4_address=address, aliases=["raw"])
    container = api.create_container(
        image,
        name=f"raw-{number}",
        host_config=api.create_host_config(network_mode="raw", restart_policy={"Name": "unless-stopped"}),
        networking_config={"EndpointsConfig": {"raw": endpoint}},
    )
    api.start(container["Id"])
    return address


# -- ours -------------------------------------------------------------------------------------------------------------


def scale_ours(engine: PrivateEngine, sizes: list[int]) -> list[float]:
    """Seconds from the commit to all replicas answering through nginx, for each size in turn."""
    with _site(engine) as site:
        site.commit({"other.yaml": web("other", replicas=0)})
        site.start()
        site.wait_converged(site.git("rev-parse", "HEAD"), "other")
        times = []
        for size in sizes:
            site.commit({"web.yaml": web(replicas=size, check=DEFAULT_CHECK)})
            times.append(_until_all_answer(site, size))
            time.sleep(1)
    return times


def heal(engine: PrivateEngine, replicas: int) -> tuple[float, float]:
    """Seconds from a kill to the next answer: healed, and started again by hand. Half of the replicas for each."""
    with _site(engine) as site:
        site.start()
        site.deploy({"web.yaml": web(replicas=replicas, check=DEFAULT_CHECK)}, "web")
        healed = statistics.median(_heal(site, number, by_hand=False) for number in range(replicas // 2))
        site.stop()
        by_hand = statistics.median(_heal(site, number, by_hand=True) for number in range(replicas // 2, replicas))
    return healed, by_hand


@contextlib.contextmanager
def _site(engine: PrivateEngine) -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as root:
        site = Site(Path(root), Playground("bench", "orchestry-bench"), engine)
        try:
            yield site
        finally:
            site.close()


def _until_all_answer(site: Site, size: int) -> float:
    """Seconds from now until ``size`` different replicas have answered.

    Nothing is asked before nginx was told of all of them, since what the questions cost is charged to us alone.
    """
    began = time.perf_counter()
    seen: set[bytes] = set()
    eventually(lambda: site.servers() == size, within_seconds=120, every_seconds=0.02)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)) as connection:
        while len(seen) < size:
            if time.perf_counter() - began > 120:
                raise AssertionError(f"{len(seen)} of {size} replicas answered\n{site.evidence()}")
            seen |= {text for _ in range(size) if (text := _served(connection))}
    return time.perf_counter() - began


def _served(connection: http.client.HTTPConnection) -> bytes:
    """The answer through nginx; nothing while it is an error, or the connection was closed for a reload."""
    try:
        connection.request("GET", "/web/")
        answer = connection.getresponse()
        text = answer.read()
    except (http.client.HTTPException, OSError):
        connection.close()
        return b""
    return text if answer.status == 200 else b""


def _heal(site: Site, number: int, *, by_hand: bool) -> float:
    """Seconds from a kill to the next answer of that container, started again by the controller or right here.

    Each time another container is killed: one that ends again and again is started ever more slowly, on purpose.
    """
    instance = site.app()["instances"][number]
    container_id = instance["container_id"]
    started_at = site.api.inspect_container(container_id)["State"]["StartedAt"]
    time.sleep(1)
    site.api.kill(container_id)
    began = time.perf_counter()
    if by_hand:
        site.api.start(container_id)
    # Nothing is sent to it while it is down: a lost SYN would be sent again only a second later.
    eventually(lambda: site.api.inspect_container(container_id)["State"]["StartedAt"] != started_at, every_seconds=0.01)
    eventually(lambda: _answers(instance["address"]), every_seconds=0.002)
    return time.perf_counter() - began


def _answers(address: str) -> bool:
    with contextlib.suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        return session.get(f"http://{address}:8080/healthz", timeout=0.2).status_code == 200
    return False


# -- the peer: Docker Swarm -------------------------------------------------------------------------------------------


def scale_swarm(engine: PrivateEngine, image: str, sizes: list[int]) -> list[float]:
    """Seconds from `service scale` to all tasks running. dnsrr, since this kernel has no IPVS."""
    api = engine.client()
    api.init_swarm(advertise_addr="127.0.0.1")
    network = api.create_network("swarm", driver="overlay")["Id"]
    template = docker.types.TaskTemplate(docker.types.ContainerSpec(image), networks=[network])
    endpoint = docker.types.EndpointSpec(mode="dnsrr")
    service = api.create_service(
        template, name="web", mode=docker.types.ServiceMode("replicated", 0), endpoint_spec=endpoint
    )["ID"]
    times = []
    for size in sizes:
        began = time.perf_counter()
        version = api.inspect_service(service)["Version"]["Index"]
        mode = docker.types.ServiceMode("replicated", size)
        api.update_service(service, version, template, name="web", mode=mode, endpoint_spec=endpoint)
        eventually(_running(api, size), within_seconds=180, every_seconds=0.02)
        times.append(time.perf_counter() - began)
    api.remove_service(service)
    eventually(lambda: not api.containers(), within_seconds=120, every_seconds=0.2)
    return times


def _running(api: docker.APIClient, size: int) -> Callable[[], bool]:
    def look() -> bool:
        tasks = api.tasks(filters={"service": "web", "desired-state": "running"})
        return sum(task["Status"]["State"] == "running" for task in tasks) == size

    return look


if __name__ == "__main__":
    main()

"""What a publish costs, beside the least nginx itself takes for the same change.

Run it as ``.venv/bin/python -m tests.bench.edge [--json] [--sizes 10,100,1000] [--rounds 5]``. The floor of a reload is
``nginx -t``, the signal, and waiting until the new configuration answers and the old workers take no more requests
(nginx gives those 100 ms by itself). The floor of a push is the one request that carries the changed replicas.
``refused`` is a publish with one more app that nginx refuses, which takes the search for it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from reconciler.edge.control import Control
from reconciler.edge.servers import ServerList
from reconciler.model.routes import RouteTable, Server
from reconciler.model.spec import Route
from tests.bench.table import print_table
from tests.support.nginx import Front, app_routes, front, table

REPLICAS = 3


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--sizes", default="10,100,1000")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    results = {
        f"{lua} {size}": measure(size, lua, given.rounds)
        for lua in ("stock", "lua")
        for size in map(int, given.sizes.split(","))
    }
    if given.json:
        print(json.dumps({name: {k: round(v, 3) for k, v in values.items()} for name, values in results.items()}))
        return
    head = [
        "nginx, apps",
        "unchanged ms",
        "reload ms",
        "floor ms",
        "ratio",
        "push ms",
        "floor ms",
        "ratio",
        "refused ms",
    ]
    print_table(head, [[name, *row(values)] for name, values in results.items()])


def row(values: dict[str, float]) -> list[str]:
    names = ("unchanged_ms", "reload_ms", "reload_floor_ms", "reload_ratio")
    names += ("push_ms", "push_floor_ms", "push_ratio", "refused_ms")
    return [f"{values[name]:.2f}" if name in values else "-" for name in names]


def measure(size: int, lua: str, rounds: int) -> dict[str, float]:
    """Medians in milliseconds, and what they are of their floors."""
    choice = "auto" if lua == "lua" else "off"
    with tempfile.TemporaryDirectory() as directory, front("process", Path(directory), lua=choice) as made:
        made.edge.publish(apps(size))
        tables = iter([apps(size) for _ in range(rounds)])
        values = {"unchanged_ms": median(rounds, lambda: made.edge.publish(next(tables)))}
        values |= measure_reload(made, size, rounds)
        if made.has_lua:
            values |= measure_push(made, size, rounds)
        return values | measure_refused(made, size, rounds)


def measure_reload(made: Front, size: int, rounds: int) -> dict[str, float]:
    tables = iter([table(*apps(size).apps, app_routes(f"extra-{number}")) for number in range(rounds)])
    publish = median(rounds, lambda: made.edge.publish(next(tables)))
    floor = statistics.median(raw_reloads(made, rounds))
    made.edge = made.reopen()
    return {"reload_ms": publish, "reload_floor_ms": floor, "reload_ratio": publish / floor}


def measure_push(made: Front, size: int, rounds: int) -> dict[str, float]:
    made.edge.publish(apps(size))
    ports = itertools.count(1000)
    tables = iter([apps(size, next(ports)) for _ in range(rounds)])
    publish = median(rounds, lambda: made.edge.publish(next(tables)))
    name = next((made.root / "run").glob("*.parked")).name.removesuffix(".parked")
    control = Control(made.root / "run")
    lists = [ServerList.of(apps(size, next(ports))) for _ in range(rounds + 1)]
    control.replace_servers(name, lists[0], lists[0])
    pairs = iter(list(itertools.pairwise(lists)))

    def push() -> None:
        before, after = next(pairs)
        control.replace_servers(name, after, before)

    floor = median(rounds, push)
    return {"push_ms": publish, "push_floor_ms": floor, "push_ratio": publish / floor}


def measure_refused(made: Front, size: int, rounds: int) -> dict[str, float]:
    made.edge.publish(apps(size))
    refused = [app_routes(f"bad-{n}", (), Route(path="/bad"), Route(path="/bad")) for n in range(rounds)]
    tables = iter([table(*apps(size).apps, app) for app in refused])
    return {"refused_ms": median(rounds, lambda: made.edge.publish(next(tables)))}


def raw_reloads(made: Front, rounds: int) -> Iterator[float]:
    """The same files under another name, tested, loaded and waited for by hand. Milliseconds each."""
    control = Control(made.root / "run")
    master = int((made.root / "run" / "nginx.pid").read_text())
    name = next((made.root / "run").glob("*.parked")).name.removesuffix(".parked")
    for number in range(rounds):
        new_name = f"{900_000 + number}-raw"
        directory = made.root / "generations" / new_name
        directory.mkdir()
        for path in (made.root / "current").iterdir():
            (directory / path.name).write_text(path.read_text().replace(name, new_name))
        link = made.root / "current"
        state = (control.state(name) or "").replace(name, new_name)
        with control.reloading(new_name):
            started = time.perf_counter()
            test = ["nginx", "-p", "./", "-t", "-q", "-c", f"generations/{new_name}/nginx.conf"]
            subprocess.run(test, cwd=made.root, check=True, timeout=60, capture_output=True)
            link.unlink()
            link.symlink_to(f"generations/{new_name}")
            os.kill(master, signal.SIGHUP)
            control.prove(new_name, state, 60, lambda: None)
            yield 1000 * (time.perf_counter() - started)
        name = new_name


def apps(size: int, port: int = 9000) -> RouteTable:
    """So many apps of three replicas; ``port`` is that of the first app's."""
    names = [f"app-{number:04d}" for number in range(size)]
    servers = [
        [Server(f"{n}-{i}", f"127.1.{i}.{k % 250 + 1}", 9000) for i in range(REPLICAS)] for k, n in enumerate(names)
    ]
    servers[0] = [replace(server, port=port) for server in servers[0]]
    return table(*(app_routes(name, each) for name, each in zip(names, servers, strict=True)))


def median(rounds: int, work: Callable[[], object]) -> float:
    """Milliseconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


if __name__ == "__main__":
    main()

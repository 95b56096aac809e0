"""What clients notice while apps change: ours with and without reloads, and Docker Swarm, on one private Engine.

Run it as ``.venv/bin/python -m tests.bench.traffic [--json] [--only lua,stock,stop-first,start-first] [--rate 100]``.
Clients of every kind send on a fixed schedule through a rolling update of ten replicas, scaling 10 → 2 → 10, the
replacement of an unhealthy replica, a crash, and a controller killed in the middle of an update. What reloads of nginx
cost a client by themselves is measured in the same run, since a stock nginx can't be held to less.

Swarm has its defaults (one task at a time, no delay, 5 s of monitoring, a grace of 10 s) in both orders, and an nginx
that retries in front of it (`tests.support.swarm`). It is given no health checks, so it replaces nothing unhealthy; and
its manager, being the Engine, is not killed.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.edge import EdgeSettings, NginxEdge, open_edge
from reconciler.model.routes import AppRoutes, RouteTable, Server
from reconciler.model.spec import Route
from tests.bench.traffic_report import BY_HAND, CHANGES, CRASH, RELOADS, Row, figures, print_report
from tests.support.dockerd import PrivateEngine, private_engine
from tests.support.engine import Playground
from tests.support.http import fetch
from tests.support.load import everyone, load
from tests.support.site import Site, web
from tests.support.swarm import Swarm, front, swarm
from tests.support.tcp import unused_port

OURS, SWARMS = ("lua", "stock"), ("stop-first", "start-first")
REPLICAS = 10
# Longer than the longest request, so that each may finish.
GRACE_SECONDS = 6.0
CRASHES = 3
STRATEGY = "  strategy: {maxSurge: 25%}\n"
RELOAD_SPACING_SECONDS = 0.2


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--only", default=",".join((*OURS, *SWARMS)), help="which of them, separated by commas")
    options.add_argument("--rate", type=float, default=100.0, help="requests per second of each kind of client")
    given = options.parse_args()
    rows: list[Row] = []
    with private_engine() as engine:
        for version in ("1", "2"):
            engine.build_demo(version)
        for way in given.only.split(","):
            bench = Bench(way, given.rate)
            (measure_ours if way in OURS else measure_swarm)(engine, bench)
            rows += bench.rows
    if given.json:
        print(json.dumps(figures(rows)))
    else:
        print_report(rows)


@dataclass
class Bench:
    """Does one thing after the other under load, and keeps what clients noticed."""

    way: str
    rate: float
    host: str = "127.0.0.1"
    port: int = 8080
    reloads: Callable[[], int] = lambda: 0
    rows: list[Row] = field(default_factory=list)

    def measure(self, scenario: str, operation: Callable[[], tuple[float, ...] | None]) -> None:
        """``operation`` returns the moments of crashes (epoch seconds), if it is about them."""
        reloads = self.reloads()
        with load(self.port, everyone(per_second=self.rate), host=self.host) as running:
            time.sleep(1)
            began = time.monotonic()
            crashed_at = operation()
            seconds = time.monotonic() - began
            time.sleep(1)
        self.rows.append(Row(self.way, scenario, running.tallies, seconds, self.reloads() - reloads, crashed_at or ()))


def crash(address: str) -> float:
    """Crash the demo server there; when it ended (epoch seconds)."""
    with contextlib.suppress(http.client.RemoteDisconnected, ConnectionResetError):
        fetch(address, "/crash")
    return time.time()


# -- ours -------------------------------------------------------------------------------------------------------------


def measure_ours(engine: PrivateEngine, bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as root:
        site = Site(Path(root), Playground("traffic", "orchestry-traffic"), engine)
        try:
            _measure_ours(Ours(site, lua="auto" if bench.way == "lua" else "off"), bench)
        finally:
            site.close()


def _measure_ours(ours: Ours, bench: Bench) -> None:
    ours.site.environment["ORCHESTRY_EDGE_LUA"] = ours.lua
    ours.site.start()
    ours.change("1")
    bench.port, bench.reloads = ours.site.port, ours.site.reloads
    bench.measure("rolling update of ten", lambda: ours.change("2"))
    bench.measure("scale 10 → 2 → 10", ours.scale)
    bench.measure("unhealthy replica", ours.fail_health)
    bench.measure(CRASH, lambda: tuple(ours.crash(number) for number in range(CRASHES)))
    bench.measure("controller killed", ours.kill_controller)
    bench.measure(BY_HAND, ours.reload)
    with ours.edge_of_its_own() as (port, change_replicas):
        bench.port, bench.reloads = port, lambda: 0
        bench.measure(CHANGES, change_replicas)


@dataclass
class Ours:
    """A site with one app of ten replicas, and what is done to it. ``lua``: as ``--edge-lua``."""

    site: Site
    lua: str

    def change(self, version: str, replicas: int = REPLICAS) -> None:
        self.site.wait_converged(self._commit(version, replicas), within_seconds=240)

    def scale(self) -> None:
        self.change("2", replicas=2)
        self.change("2")

    def fail_health(self) -> None:
        victim = self.site.app()["instances"][0]
        fetch(victim["address"], "/fail-health")
        self.site.wait(lambda: victim["container_id"] not in self._ids() and self._whole())

    def crash(self, number: int) -> float:
        victim = self.site.app()["instances"][number]
        at = crash(victim["address"])
        self.site.wait(lambda: self._restarts(victim["name"]) > victim["restarts"] and self._whole())
        return at

    def kill_controller(self) -> None:
        revision = self._commit("1", REPLICAS)
        self.site.wait(lambda: "orchestry-demo:1" in self.site.images())
        self.site.stop(signal.SIGKILL)
        time.sleep(1)
        self.site.start()
        self.site.wait_converged(revision, within_seconds=240)

    def reload(self) -> None:
        """nginx alone, with nothing changed."""
        master = int((self._edge / "run" / "nginx.pid").read_text())
        for _ in range(RELOADS):
            os.kill(master, signal.SIGHUP)
            time.sleep(RELOAD_SPACING_SECONDS)

    @contextlib.contextmanager
    def edge_of_its_own(self) -> Iterator[tuple[int, Callable[[], None]]]:
        """Another nginx in front of the same replicas: its port, and what changes its table so often."""
        servers = [Server(one["name"], one["address"], one["port"]) for one in self.site.app()["instances"]]
        with tempfile.TemporaryDirectory() as root:
            settings = EdgeSettings(port=unused_port(), lua="auto" if self.lua == "auto" else "off")
            edge = open_edge("process", instance="churn", state_dir=Path(root), network="", settings=settings)
            assert isinstance(edge, NginxEdge)
            edge.publish(_table(servers))
            try:
                yield settings.port, lambda: _change_replicas(edge, servers)
            finally:
                edge.shut_down()

    def _commit(self, version: str, replicas: int) -> str:
        image = f"orchestry-demo:{version}"
        return self.site.commit({"web.yaml": web(image=image, replicas=replicas, grace=GRACE_SECONDS, extra=STRATEGY)})

    @property
    def _edge(self) -> Path:
        return self.site.state_dir / self.site.place.instance / "edge"

    def _ids(self) -> set[str]:
        return {container["Id"] for container in self.site.containers().values()}

    def _whole(self) -> bool:
        app = self.site.app()
        return bool(app["replicas"]["routed"] == len(app["instances"]) == REPLICAS and app["converged"])

    def _restarts(self, name: str) -> int:
        return next((int(one["restarts"]) for one in self.site.app()["instances"] if one["name"] == name), 0)


def _table(servers: list[Server]) -> RouteTable:
    return RouteTable((AppRoutes("web", (Route(path="/web", strip_prefix=True),), tuple(servers)),))


def _change_replicas(edge: NginxEdge, servers: list[Server]) -> None:
    """Take one replica after the other out, the one before back in."""
    for absent in itertools.islice(itertools.cycle(servers), RELOADS):
        edge.publish(_table([server for server in servers if server is not absent]))
        time.sleep(RELOAD_SPACING_SECONDS)


# -- the peer ---------------------------------------------------------------------------------------------------------


def measure_swarm(engine: PrivateEngine, bench: Bench) -> None:
    with swarm(engine) as made:
        made.create("orchestry-demo:1", REPLICAS, order=bench.way)
        with front(engine, made) as bench.host:
            bench.measure("rolling update of ten", lambda: _roll(made, bench.way))
            bench.measure("scale 10 → 2 → 10", lambda: _scale(made))
            bench.measure(CRASH, lambda: tuple(_crash(made) for _ in range(CRASHES)))


def _roll(made: Swarm, order: str) -> None:
    made.change("orchestry-demo:2", REPLICAS, order=order)
    made.wait_running(REPLICAS, "orchestry-demo:2")


def _scale(made: Swarm) -> None:
    for replicas in (2, REPLICAS):
        made.change("orchestry-demo:2", replicas)
        made.wait_running(replicas)


def _crash(made: Swarm) -> float:
    at = crash(made.addresses()[0])
    time.sleep(0.5)
    made.wait_running(REPLICAS)
    return at


if __name__ == "__main__":
    main()

"""What `ports.LoadMeter` promises, on real containers: by control groups, and by the Engine's stats where those can't
be seen; and that our numbers are those of `docker stats`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from reconciler.load import open_meter
from reconciler.load.cgroups import Cgroups
from reconciler.load.engine_stats import usage_of
from reconciler.model.load import Loads, ReplicaLoad
from reconciler.model.observed import Container, ContainerState
from reconciler.model.spec import App
from reconciler.ports import LoadMeter, Unavailable
from tests.support.apps import app
from tests.support.busy import Busy, Yard, yard
from tests.support.engine import client
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine

_MIB = 1024 * 1024
_WINDOW_SECONDS = 4.0


@pytest.fixture(scope="module")
def network() -> Iterator[Yard]:
    with yard() as made:
        yield made


@pytest.fixture
def place(network: Yard) -> Iterator[Yard]:
    yield network
    network.clear()


def stats(container_id: str) -> Any:
    try:
        return client().stats(container_id, stream=False, one_shot=True)
    except APIError as error:
        raise Unavailable(str(error)) from error


@pytest.fixture(params=["cgroups", "engine"])
def meter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoadMeter]:
    """Each way to see a container."""
    if request.param == "cgroups":
        opened = open_meter(state_dir=tmp_path)
    else:
        opened = open_meter(state_dir=tmp_path, cgroup_root=tmp_path, stats=stats)
    yield opened
    opened.close()


def web(cores: float = 0.2, **scaling: Any) -> App:
    resources = {"cpu": cores, "memory": "64Mi"}
    return app("web", replicas=None, scaling={"windowSeconds": _WINDOW_SECONDS, **scaling}, resources=resources)


def read(meter: LoadMeter, containers: Sequence[Container], watched: App | None = None) -> Loads:
    return meter.read([watched or web()], containers, [c.name for c in containers], time.time())


def replica_when(
    meter: LoadMeter, busy: Busy, enough: Callable[[ReplicaLoad], bool], others: Sequence[Container] = ()
) -> ReplicaLoad:
    def look() -> ReplicaLoad | None:
        load = read(meter, [busy.container, *others]).replicas.get(busy.container.name, ReplicaLoad())
        return load if enough(load) else None

    found = eventually(look, within_seconds=60, every_seconds=0.2)
    assert found is not None
    return found


def known(load: ReplicaLoad) -> bool:
    return load.cpu_percent is not None


def test_the_first_reading_of_the_load_knows_nothing(place: Yard, meter: LoadMeter) -> None:
    busy = place.start(cores=0.2, memory_bytes=64 * _MIB)
    loads = read(meter, [busy.container])
    assert loads.apps.get("web") is None
    assert loads.replicas.get(busy.container.name) is None


def test_a_worker_is_known_to_have_no_connections(place: Yard, meter: LoadMeter) -> None:
    busy = place.start(cores=0.2, memory_bytes=64 * _MIB)
    worker = app("web", type="worker", ports=[], replicas=None, scaling={"windowSeconds": _WINDOW_SECONDS})
    found = eventually(lambda: read(meter, [busy.container], worker).apps.get("web"), within_seconds=60)
    assert found is not None
    assert (found.connections, found.connections_exact) == (0, True)


def test_load_is_in_percent_of_the_limit_at_work_and_at_rest(place: Yard, meter: LoadMeter) -> None:
    worker, idle = (place.start(cores=0.2, memory_bytes=64 * _MIB) for _ in range(2))
    worker.burn(30)
    at_work = replica_when(meter, worker, lambda load: (load.cpu_percent or 0) > 80, [idle.container])
    at_rest = replica_when(meter, idle, known, [worker.container])
    assert at_work.cpu_percent == pytest.approx(100, abs=20)
    assert at_rest.cpu_percent is not None
    assert at_rest.cpu_percent < 20
    assert at_rest.memory_percent is not None
    assert 0 < at_rest.memory_percent < 50


def test_the_load_of_an_app_is_the_mean_of_its_healthy_replicas(place: Yard, meter: LoadMeter) -> None:
    worker, idle = (place.start(cores=0.2, memory_bytes=64 * _MIB) for _ in range(2))
    worker.burn(60)
    stopped = replace(idle.container, id="f" * 64, name="stopped", state=ContainerState.EXITED)
    starting = replace(idle.container, id="e" * 64, name="starting")
    healthy = [worker.container.name, idle.container.name, "stopped"]

    def cpu_percent(of: list[str]) -> float | None:
        loads = meter.read([web()], [worker.container, idle.container, stopped, starting], of, time.time())
        return loads.apps["web"].cpu_percent if "web" in loads.apps else None

    eventually(lambda: 40 < (cpu_percent(healthy) or 0) < 60, within_seconds=60, every_seconds=0.2)
    eventually(lambda: (cpu_percent(healthy[:1]) or 0) > 80, within_seconds=60, every_seconds=0.2)
    eventually(lambda: cpu_percent([]) is None, within_seconds=60, every_seconds=0.2)


def test_the_load_of_an_app_with_a_replica_that_cannot_be_measured_is_unknown(place: Yard, meter: LoadMeter) -> None:
    busy = place.start(cores=0.2, memory_bytes=64 * _MIB)
    vanished = replace(busy.container, id="f" * 64, name="vanished")
    replica_when(meter, busy, known, [vanished])
    loads = read(meter, [busy.container, vanished])
    assert (loads.apps["web"].cpu_percent, loads.apps["web"].memory_percent) == (None, None)
    assert loads.replicas["vanished"] == ReplicaLoad()


def test_the_load_after_a_restart_in_place_is_unknown_for_a_moment_and_never_negative(
    place: Yard, meter: LoadMeter
) -> None:
    busy = place.start(cores=0.2, memory_bytes=64 * _MIB)
    busy.burn(2)
    replica_when(meter, busy, known)
    busy.restart()
    seen: list[float | None] = []

    def known_again() -> bool:
        seen.append(read(meter, [busy.container]).replicas[busy.container.name].cpu_percent)
        return len(seen) > 20 and seen[-1] is not None

    eventually(known_again, within_seconds=60, every_seconds=0.2)
    assert all(percent is None or 0 <= percent <= 130 for percent in seen)


def test_the_load_of_a_container_that_died_is_unknown(place: Yard, meter: LoadMeter) -> None:
    busy = place.start(cores=0.2, memory_bytes=64 * _MIB)
    replica_when(meter, busy, known)
    busy.kill()
    replica_when(meter, busy, ReplicaLoad().__eq__)


def test_the_load_of_what_nobody_asks_about_is_forgotten(place: Yard, meter: LoadMeter) -> None:
    busy = place.start(cores=0.2, memory_bytes=64 * _MIB)
    replica_when(meter, busy, known)
    eventually(lambda: not read(meter, []).replicas)
    eventually(lambda: not meter.read([], [busy.container], [], time.time()).apps)


def test_without_log_edge_and_prometheus_requests_are_unknown(place: Yard, meter: LoadMeter) -> None:
    busy = place.start(cores=0.2, memory_bytes=64 * _MIB)
    watched = web(metrics=[{"name": "queue", "query": "queue_length", "target": 5}])
    eventually(lambda: read(meter, [busy.container], watched).replicas)
    loads = read(meter, [busy.container], watched)
    load = loads.apps["web"]
    assert (load.rps, load.p95_latency_ms, load.connections, load.error_rate) == (None, None, None, None)
    assert load.custom == {"queue": None}
    assert loads.notices == ("custom metrics are unknown: no Prometheus-compatible API is set (prometheus_url)",)


# Agreement with the Engine


def test_counters_of_cpu_and_memory_are_the_engines_own(place: Yard) -> None:
    """The Engine's counter lies between ours read before and after it, on a busy container."""
    busy = place.start(cores=0.5, memory_bytes=64 * _MIB)
    busy.burn(20)
    with closing(Cgroups()) as cgroups:
        for _ in range(3):
            before, told, after = (
                cgroups.usage(busy.container.id),
                stats(busy.container.id),
                cgroups.usage(busy.container.id),
            )
            assert before is not None
            assert after is not None
            usage = usage_of(told, after.at)
            assert usage is not None
            assert before.cpu_seconds <= usage.cpu_seconds <= after.cpu_seconds
            assert usage.memory_limit_bytes == after.memory_limit_bytes == 64 * _MIB
            assert usage.memory_bytes == pytest.approx(after.memory_bytes, abs=_MIB)


def test_percentages_of_cpu_and_memory_are_those_of_docker_stats(place: Yard) -> None:
    """`docker stats` counts in cores, we in shares of the limit: of half a core, ours is twice theirs."""
    busy = place.start(cores=0.5, memory_bytes=64 * _MIB)
    busy.burn(20)
    with closing(Cgroups()) as cgroups:
        first = cgroups.usage(busy.container.id)
        told = client().stats(busy.container.id, stream=False)
        last = cgroups.usage(busy.container.id)
    assert first is not None
    assert last is not None
    ours = 100 * (last.cpu_seconds - first.cpu_seconds) / (last.at - first.at)
    assert ours == pytest.approx(_as_docker_stats_shows(told), rel=0.4)


def _as_docker_stats_shows(told: Any) -> float:
    now, before = told["cpu_stats"], told["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now["system_cpu_usage"] - before["system_cpu_usage"]
    return float(used / passed * now["online_cpus"] * 100)

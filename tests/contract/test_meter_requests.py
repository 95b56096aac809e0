"""The meter beside a real nginx: every request once, for the app and replica that served it, over rotations."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from reconciler.load import open_meter
from reconciler.model.load import AppLoad, Loads, LoadSample
from reconciler.model.observed import Container, ContainerState
from reconciler.ports import LoadMeter
from tests.support.apps import app
from tests.support.nginx import Front, app_routes, front
from tests.support.replicas import Replica, replicas
from tests.support.waiting import eventually

pytestmark = pytest.mark.nginx

_CANARY = {"canary": {"weight": 10, "holdSeconds": 60}}


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Front]:
    with front("process", tmp_path, lua="off") as made:
        yield made


@pytest.fixture
def two() -> Iterator[list[Replica]]:
    with replicas("web-1", "web-2") as made:
        yield made


class Metered:
    """A meter on an nginx's log, and all that it ever handed out."""

    def __init__(self, edge: Front, directory: Path, running: list[Replica], **settings: Any) -> None:
        self.edge = edge
        self.directory = directory
        self.settings = settings
        self.app = app("web", replicas=None, scaling={"windowSeconds": 30}, strategy=_CANARY)
        self.containers = [
            Container(f"id-{r.name}", r.name, "web", slot, f"hash-{slot}", "r1", ContainerState.RUNNING, r.address)
            for slot, r in enumerate(running, 1)
        ]
        self.records = True
        self.samples: dict[float, LoadSample] = {}
        self.meter = self._open()

    def read(self) -> Loads:
        loads = self.meter.read([self.app], self.containers, [c.name for c in self.containers], time.time())
        self.samples |= {sample.at: sample for sample in loads.samples}  # as the store has one of each time
        if self.records:
            self.meter.recorded(loads.samples)
        return loads

    def load(self) -> AppLoad:
        return self.read().apps.get("web", AppLoad())

    def restart(self) -> None:
        self.close()
        self.meter = self._open()

    def close(self) -> None:
        self.meter.close()

    def answers(self) -> Counter[str]:
        """How many answers of each class have been recorded by now."""
        self.read()
        counts = ((name, getattr(s, f"status_{name}")) for s in self.samples.values() for name in ("2xx", "4xx", "5xx"))
        return sum((Counter({name: count or 0}) for name, count in counts), Counter())

    def _open(self) -> LoadMeter:
        return open_meter(
            state_dir=self.directory,
            access_log=self.edge.edge.access_log,
            reopen_log=self.edge.edge.reopen_logs,
            **self.settings,
        )


Measured = Callable[..., Metered]


@pytest.fixture
def measured(edge: Front, tmp_path: Path) -> Iterator[Measured]:
    """Puts a meter beside these replicas, with settings of its own."""
    with ExitStack() as stack:

        def put(running: list[Replica], **settings: Any) -> Metered:
            metered = Metered(edge, tmp_path, running, **settings)
            stack.callback(metered.close)
            return metered

        yield put


def ask(edge: Front, count: int, path: str = "/web") -> None:
    with edge.connect() as connection:
        for _ in range(count):
            connection.request("GET", path)
            connection.getresponse().read()


def test_the_access_log_tells_the_rate_the_errors_and_the_replicas_of_requests(
    edge: Front, two: list[Replica], measured: Measured
) -> None:
    edge.publish(app_routes("web", edge.at(*two)))
    metered = measured(two)
    metered.read()
    ask(edge, 90)
    ask(edge, 10, "/web?status=404")
    ask(edge, 100, "/web?slow=0.01")

    def all_seen() -> AppLoad | None:
        load = metered.load()
        total = sum(version.requests for version in metered.read().versions.values())
        return load if total == 200 and load.rps is not None else None

    load = eventually(all_seen, within_seconds=30)
    assert load is not None
    assert load.rps is not None
    assert load.rps > 0
    assert load.error_rate == 0
    assert load.p95_latency_ms is not None
    assert load.p95_latency_ms >= 10
    assert [version.requests > 0 for version in metered.read().versions.values()] == [True, True]


def test_a_replica_that_fails_is_told_from_the_one_that_answers_for_it(
    edge: Front, two: list[Replica], measured: Measured
) -> None:
    """nginx retries elsewhere, so clients see no error, and the canary's failures show in its version alone."""
    broken, well = two
    broken.stop()
    edge.publish(app_routes("web", edge.at(broken, well)))
    metered = measured(two)
    metered.read()
    ask(edge, 20)
    versions = eventually(lambda: metered.read().versions if _requests_of(metered, "hash-2") == 20 else None)
    assert versions is not None
    assert versions["web", "hash-1"].error_rate == 1
    assert versions["web", "hash-1"].p95_latency_ms is None
    assert versions["web", "hash-2"].error_rate == 0
    eventually(lambda: metered.load().error_rate == 0)


def test_requests_that_failed_were_repaired_or_given_up_are_told_by_app_and_by_replica(
    edge: Front, two: list[Replica], measured: Measured
) -> None:
    well, broken = two
    edge.publish(app_routes("web", edge.at(well, broken)))
    metered = measured(two)
    metered.read()
    ask(edge, 18)
    ask(edge, 2, "/web?status=500")  # both replicas fail it
    with edge.connect() as hasty:
        hasty.request("GET", "/web?wait")
        eventually(lambda: any("wait" in request.target for replica in two for request in replica.requests))
    broken.stop()
    ask(edge, 10)
    well.release()

    def all_seen() -> Loads | None:
        loads = metered.read()
        app = loads.apps.get("web", AppLoad()).traffic
        return loads if app and app.requests == 31 else None

    loads = eventually(all_seen, within_seconds=30)
    assert loads is not None
    traffic = loads.apps["web"].traffic
    assert traffic is not None
    assert (traffic.errors, traffic.given_up) == (2, 1)
    assert 1 <= traffic.repaired <= 10
    of_replicas = [loads.replicas[replica.name].traffic for replica in two]
    assert [of_it and of_it.errors for of_it in of_replicas] == [2, 2 + traffic.repaired]


def _requests_of(metered: Metered, spec_hash: str) -> int:
    version = metered.read().versions.get(("web", spec_hash))
    return version.requests if version else 0


@pytest.mark.slow
def test_no_request_is_lost_or_counted_twice_over_rotations_and_restarts(
    edge: Front, two: list[Replica], measured: Measured
) -> None:
    edge.publish(app_routes("web", edge.at(*two)))
    metered = measured(two, max_log_bytes=60_000)
    metered.read()
    for round_number in range(8):
        ask(edge, 150)
        ask(edge, 10, "/web?status=404")
        metered.read()
        if round_number in (1, 3, 6):
            metered.restart()
            metered.read()
        time.sleep(0.7)
    expected = Counter({"2xx": 8 * 150, "4xx": 8 * 10})
    eventually(lambda: metered.answers() >= expected, within_seconds=40, every_seconds=0.2)
    metered.close()
    assert metered.answers() == expected
    logs = sorted(edge.edge.access_log.parent.glob("access.log*"))
    assert [log.name for log in logs] == ["access.log", "access.log.1"]


@pytest.mark.slow
def test_samples_are_handed_out_until_they_are_recorded_also_after_a_restart(
    edge: Front, two: list[Replica], measured: Measured
) -> None:
    edge.publish(app_routes("web", edge.at(*two)))
    metered = measured(two)
    metered.records = False
    metered.read()
    ask(edge, 20)
    for _ in range(2):
        eventually(lambda: metered.answers()["2xx"] == 20, within_seconds=40, every_seconds=0.2)
        waiting = {sample.at for sample in metered.samples.values() if sample.status_2xx}
        assert waiting <= {sample.at for sample in metered.read().samples}
        metered.restart()
        metered.samples.clear()
    metered.records = True
    eventually(lambda: metered.answers()["2xx"] == 20, within_seconds=40, every_seconds=0.2)
    assert not waiting & {sample.at for sample in metered.read().samples}


def test_an_idle_app_is_known_to_be_idle(edge: Front, two: list[Replica], measured: Measured) -> None:
    edge.publish(app_routes("web", edge.at(*two)))
    metered = measured(two)
    load = eventually(lambda: (seen := metered.load()).rps is not None and seen, within_seconds=30)
    assert load
    assert (load.rps, load.p95_latency_ms, load.connections, load.error_rate) == (0, 0, 0, 0)


def test_counted_connections_go_before_estimated_ones(edge: Front, two: list[Replica], measured: Measured) -> None:
    edge.publish(app_routes("web", edge.at(*two)))
    counts = {two[0].address: 3, two[1].address: 4}
    metered = measured(two, open_requests=lambda: counts)
    load = eventually(lambda: (seen := metered.load()).connections is not None and seen)
    assert load
    assert (load.connections, load.connections_exact) == (7, True)

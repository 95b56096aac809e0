"""Clients that keep asking while replicas and routes change: planned changes cost nobody anything."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.model.spec import Route
from tests.support.nginx import Front, app_routes, ask, front
from tests.support.replicas import replicas
from tests.support.waiting import eventually

pytestmark = pytest.mark.nginx

CHANGES = 12
WEB = Route(path="/web")


@pytest.fixture(params=["auto", "off"], ids=["lua", "stock"])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    with front("process", tmp_path, lua=request.param) as made:
        yield made


def test_replicas_change_and_no_request_fails(process: Front) -> None:
    """With Lua for every kind of client; a reload of a stock nginx 1.22 closes idle connections under its clients."""
    with replicas("web-1", "web-2", "web-3", "web-4") as running:
        pairs = [running[:2], running[1:3], running[2:], [running[3], running[0]]]
        process.publish(app_routes("web", process.at(*pairs[0])))
        with _asking(process) as seen:
            for change in range(CHANGES):
                process.publish(app_routes("web", process.at(*pairs[change % 4])))
    assert seen["close"].keys() == {200}
    for kind in ("GET", "POST"):
        lost = seen[kind].pop("connection closed", 0)
        assert seen[kind].keys() == {200}
        assert lost == 0 or not process.has_lua


def test_routes_change_and_no_new_connection_fails(process: Front) -> None:
    with replicas("web-1", "web-2") as running:
        process.publish(app_routes("web", process.at(*running)))
        with _asking(process) as seen:
            for change in range(CHANGES // 2):
                process.publish(app_routes("web", process.at(*running)), app_routes(f"app-{change}"))
    assert seen["close"].keys() == {200}


def test_a_route_moves_between_apps_and_no_new_connection_fails(process: Front) -> None:
    with replicas("web-1", "web-2") as running:
        holders = [app_routes(f"app-{n}", process.at(replica), WEB) for n, replica in enumerate(running)]
        process.publish(holders[0])
        with _asking(process) as seen:
            for change in range(1, CHANGES + 1):
                process.publish(holders[change % 2])
    assert seen["close"].keys() == {200}


def test_after_a_publish_no_request_reaches_what_left_it(process: Front) -> None:
    """This is what a replica is stopped on: with no time to drain, not one request may still be on its way there."""
    with replicas("web-1", "web-2") as running:
        process.publish(app_routes("web", process.at(running[0])))
        with _asking(process):
            for change in range(CHANGES):
                staying, leaving = running[(change + 1) % 2], running[change % 2]
                process.publish(app_routes("web", process.at(staying)))
                eventually(lambda address=leaving.address: process.edge.requests_left([address]).get(address) == 0)
                before = len(leaving.requests)
                for _ in range(20):
                    assert process.get("/web").replica == staying.name
                assert len(leaving.requests) == before


def test_the_least_busy_replica_takes_the_next_request(process: Front) -> None:
    with replicas("web-1", "web-2") as running:
        process.publish(app_routes("web", process.at(*running)))
        with process.in_flight(4, running) as waiting:
            if process.has_lua:
                # exact over all workers of nginx, where stock nginx counts in each worker by itself
                assert [len(replica.requests) for replica in running] == [2, 2]
                counts = process.edge.open_requests()
                assert [counts[replica.address] for replica in running] == [2, 2]
            for replica in running:
                replica.release()
            assert {connection.getresponse().status for connection in waiting} == {200}


@contextmanager
def _asking(process: Front) -> Iterator[dict[str, Counter[object]]]:
    """Clients on kept connections and on new ones, until the block ends; what each kind saw."""
    seen: dict[str, Counter[object]] = {kind: Counter() for kind in ("GET", "POST", "close")}
    stop = threading.Event()
    clients: list[tuple[Callable[..., None], str]] = [
        (_keep_asking, "GET"),
        (_keep_asking, "POST"),
        (_ask_anew, "close"),
    ]
    threads = [threading.Thread(target=run, args=(process, kind, seen[kind], stop)) for run, kind in clients]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert all(seen.values())


def _keep_asking(process: Front, method: str, seen: Counter[object], stop: threading.Event) -> None:
    with process.connect() as connection:
        while not stop.is_set():
            try:
                seen[ask(connection, "/web", method=method, body=b"x" if method == "POST" else None).status] += 1
            except (http.client.RemoteDisconnected, ConnectionError):
                seen["connection closed"] += 1
                connection.close()


def _ask_anew(process: Front, _: str, seen: Counter[object], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            seen[process.get("/web", headers={"Connection": "close"}).status] += 1
        except (http.client.HTTPException, ConnectionError) as error:
            seen[repr(error)] += 1

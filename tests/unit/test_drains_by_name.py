"""Who has a connection open to a replica that only its name leads to, or its route as well, is waited for."""

from __future__ import annotations

from typing import Any

from reconciler.model.actions import RemoveReplica, StopReplica
from reconciler.model.version import Version
from tests.support.apps import desired, version
from tests.support.stage import Stage

CLIENT = "10.9.9.9"


def db(**spec: Any) -> Version:
    ports = [{"containerPort": 5432}]
    return version("db", **{"type": "tcp", "replicas": 1, "ports": ports, "health_check": None, **spec})


def started(*versions: Version, **callers: tuple[str, ...]) -> Stage:
    stage = Stage(
        desired(*versions), callers={name.replace("_", "-"): addresses for name, addresses in callers.items()}
    )
    stage.settle()
    return stage


def commit(stage: Stage, *versions: Version) -> None:
    stage.desired = desired(*versions, revision="r2")


def seconds_until_it_ends(stage: Stage, name: str, max_seconds: int = 60) -> float:
    """How long it takes until the replica is asked to end or, where it does not run, removed: from now on."""
    began = stage.now
    for _ in range(4 * max_seconds):
        now = stage.now
        if any(
            isinstance(action, StopReplica | RemoveReplica) and action.name == name
            for action in stage.tick(0.25).actions
        ):
            return now - began
    raise AssertionError(f"{name} is still there:\n{stage.text()}")


def test_a_tcp_replica_goes_once_nobody_has_a_connection_to_it() -> None:
    stage = started(db(), db_1=(CLIENT, CLIENT, CLIENT))
    commit(stage, db(replicas=0))
    stage.tick(0.25)
    for _ in range(12):
        stage.tick(0.25)
        assert "draining db-1 for at most 10 s: 3 connections open" in stage.text()
    stage.callers = {"db-1": (CLIENT,)}
    stage.tick(0.25)
    assert "draining db-1 for at most 10 s: 1 connection open" in stage.text()
    stage.callers = {}
    assert seconds_until_it_ends(stage, "db-1") == 0


def test_a_connection_that_is_kept_for_ever_costs_a_tcp_replica_its_grace_and_no_more() -> None:
    stage = started(db(), db_1=(CLIENT,))
    commit(stage, db(replicas=0))
    assert seconds_until_it_ends(stage, "db-1") == 10


def test_where_connections_can_not_be_seen_a_tcp_replica_has_its_grace() -> None:
    stage = started(db(terminationGracePeriodSeconds=4))
    stage.callers = None
    commit(stage, db(terminationGracePeriodSeconds=4, replicas=0))
    for _ in range(2):
        stage.tick(0.25)
    assert "draining db-1 for 4 s" in stage.text()
    assert seconds_until_it_ends(stage, "db-1") == 3.5


def test_an_idle_tcp_replica_goes_as_soon_as_it_was_looked_at() -> None:
    stage = started(db())
    commit(stage, db(replicas=0))
    stage.tick(0.25)
    assert "looking for connections to db-1" in stage.text()
    assert seconds_until_it_ends(stage, "db-1") == 0


def test_a_replica_of_a_tcp_app_that_is_removed_drains_as_well() -> None:
    stage = started(db(), version(), db_1=(CLIENT,))
    commit(stage, version())
    assert seconds_until_it_ends(stage, "db-1") == 10


def test_a_tcp_replica_that_stays_after_all_drains_anew_the_next_time() -> None:
    stage = started(db(), db_1=(CLIENT,))
    commit(stage, db(replicas=0))
    for _ in range(20):
        stage.tick(0.25)
    commit(stage, db())
    stage.settle()
    assert stage.state.replicas["db-1"].traffic.closing_since is None
    commit(stage, db(replicas=0))
    assert seconds_until_it_ends(stage, "db-1") == 10


def test_a_worker_has_nothing_to_drain() -> None:
    stage = started(version("jobs", type="worker", replicas=1))
    stage.callers = None
    commit(stage, version("jobs", type="worker", replicas=0))
    assert seconds_until_it_ends(stage, "jobs-1") == 0


def test_a_tcp_replica_that_does_not_run_has_nothing_to_drain() -> None:
    stage = started(db(), db_1=(CLIENT,))
    stage.crash("db-1")
    commit(stage, db(replicas=0))
    assert seconds_until_it_ends(stage, "db-1") == 0


def test_a_tcp_replica_that_was_never_ready_is_not_waited_for_where_nobody_is_seen() -> None:
    stage = Stage(desired(db(image="broken:1")), callers=None)
    stage.broken.add("broken:1")
    stage.until(lambda: stage.names("db") == ["db-1"])
    commit(stage, db(image="broken:1", replicas=0))
    assert seconds_until_it_ends(stage, "db-1") == 0.25


def test_an_app_without_routes_is_drained_like_a_tcp_app() -> None:
    stage = started(version(routes=[], replicas=1), web_1=(CLIENT,))
    commit(stage, version(routes=[], replicas=0))
    assert seconds_until_it_ends(stage, "web-1") == 10


def test_an_app_that_had_a_route_long_ago_is_drained_like_one_that_never_had() -> None:
    stage = started(version(replicas=1), web_1=(CLIENT,))
    commit(stage, version(routes=[], replicas=1))
    stage.run_for(60)
    assert stage.state.replicas["web-1"].traffic.left_at is not None
    commit(stage, version(routes=[], replicas=0))
    assert seconds_until_it_ends(stage, "web-1") == 10


def test_a_routed_replica_that_another_app_calls_by_its_name_waits_for_both() -> None:
    stage = started(version(replicas=1), version("jobs", type="worker", replicas=1))
    caller = stage.containers["jobs-1"].address
    address = stage.containers["web-1"].address
    assert caller
    assert address
    stage.callers = {"web-1": (CLIENT, caller)}  # nginx, whose requests are counted already, and another app
    stage.open_requests = {address: 2}
    commit(stage, version(replicas=0), version("jobs", type="worker", replicas=1))
    stage.until(lambda: "at most 10 s: 2 requests in flight and 1 connection open" in stage.text(), seconds=0.25)
    stage.open_requests = {address: 0}
    stage.tick(0.25)
    assert "at most 10 s: 1 connection open" in stage.text()
    stage.callers = {"web-1": (CLIENT,)}
    assert seconds_until_it_ends(stage, "web-1") == 0


def test_a_rolled_over_tcp_app_goes_on_serving_who_is_connected() -> None:
    stage = started(db(), db_1=(CLIENT,))
    commit(stage, db(image="demo:2"))
    stage.until(lambda: stage.names("db") == ["db-1", "db-2"])
    assert 8 < seconds_until_it_ends(stage, "db-1") < 11

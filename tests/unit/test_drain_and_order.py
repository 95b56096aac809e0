"""Who may go when, and who may come when: refusals by nginx, the grace of each version, dependencies."""

from __future__ import annotations

from reconciler.model.actions import StopReplica
from tests.support.apps import desired, version
from tests.support.stage import Stage


def test_what_nginx_refuses_of_an_app_keeps_none_of_its_replicas_from_draining() -> None:
    stage = Stage(desired(version(replicas=3)))
    stage.settle()
    stage.refused.add("web")
    stage.desired = desired(version(replicas=1, revision="r2"), revision="r2")
    stage.until(lambda: stage.names() == ["web-1"])


def test_a_replica_whose_name_nginx_still_routes_to_is_in_traffic_as_soon_as_it_is_made() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stage.down = True
    stage.desired = desired(version(replicas=1, revision="r2"), revision="r2")
    stage.tick()
    stage.remove("web-2")
    stage.tick()
    stage.desired = desired(version(replicas=2, revision="r3"), revision="r3")
    stage.until(lambda: "web-2" in stage.names())
    assert stage.state.replicas["web-2"].traffic.routed


def test_each_replica_drains_for_the_grace_of_its_own_version() -> None:
    stage = Stage(desired(version(replicas=1, terminationGracePeriodSeconds=60)))
    stage.settle()
    newer = version(replicas=1, image="demo:2", terminationGracePeriodSeconds=1, revision="r2")
    stage.desired = desired(newer, revision="r2")
    stops = [a for _ in range(80) for a in stage.tick().actions if isinstance(a, StopReplica)]
    assert [stop.grace_seconds for stop in stops] == [60]


def test_a_dependency_has_to_be_ready_when_its_dependent_is_to_start_first() -> None:
    stage = Stage(desired(version("db", replicas=1)))
    stage.settle()
    stage.broken.add("demo:1")
    stage.until(lambda: not stage.statuses["db"].ready)
    stage.desired = desired(version("db", replicas=1), version("web", dependsOn=["db"]))
    stage.until(lambda: "waiting for db to be ready first" in stage.text())
    assert stage.names("web") == []

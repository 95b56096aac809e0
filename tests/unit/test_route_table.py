"""Who is in the route table: every server once, at its own address, and for no longer than it should be."""

from __future__ import annotations

from tests.support.apps import desired, version
from tests.support.stage import Stage


def started(replicas: int = 3) -> Stage:
    stage = Stage(desired(version(replicas=replicas)))
    stage.settle()
    return stage


def servers(stage: Stage) -> list[str]:
    return [server.name for app in stage.state.published.table.apps for server in app.servers]


def test_a_replica_whose_container_is_gone_for_a_moment_is_in_the_table_once() -> None:
    stage = started()
    stage.remove("web-1")
    stage.desired = desired(version(replicas=1, revision="r2"), revision="r2")
    stage.tick()
    assert servers(stage) == ["web-1", "web-2", "web-3"]
    assert stage.routed() == ["web-1", "web-2"]


def test_a_drain_is_looked_at_several_times_a_second() -> None:
    stage = started()
    stage.open_requests = {container.address or "": 1 for container in stage.containers.values()}
    stage.desired = desired(version(replicas=1, revision="r2"), revision="r2")
    stage.until(lambda: "requests in flight" in stage.text())
    assert stage.plan
    assert stage.plan.wake_at
    decided_at = stage.now - 1
    assert decided_at < stage.plan.wake_at < decided_at + 0.5


def test_a_replica_that_got_ready_when_it_was_wanted_no_more_is_not_waited_for_with_changes_of_routes() -> None:
    stage = started(replicas=2)
    stage.desired = desired(version(replicas=4, revision="r2"), revision="r2")
    stage.held.add("web-4")
    stage.until(lambda: stage.state.replicas.get("web-3") and stage.state.replicas["web-3"].ready_at)
    assert "waiting for the rest of the step before changing routes" in stage.text()
    stage.desired = desired(version(replicas=2, revision="r3"), revision="r3")
    stage.tick(0)
    assert "waiting for the rest of the step" not in stage.text()


def test_what_nginx_refuses_is_told_once() -> None:
    stage = started()
    stage.refused.add("web")
    stage.run_for(3)
    told = [event.message for event in stage.events if "nginx refuses" in event.message]
    assert told == ["nginx refuses its configuration, which is left out: no such variable"]


def test_a_route_that_a_commit_adds_is_published_though_the_replicas_stay_as_they_are() -> None:
    stage = started()
    routes = [{"path": "/web"}, {"host": "shop.example.com", "path": "/"}]
    stage.desired = desired(version(replicas=3, routes=routes, revision="r2"), revision="r2")
    stage.settle()
    (part,) = stage.state.published.table.apps
    assert [route.path for route in part.routes] == ["/web", "/"]


def test_options_of_routes_that_a_commit_changes_are_published_though_the_replicas_stay_as_they_are() -> None:
    stage = started()
    stage.desired = desired(version(replicas=3, edge={"sticky": "cookie"}, revision="r2"), revision="r2")
    stage.settle()
    (part,) = stage.state.published.table.apps
    assert part.options.sticky == "cookie"


def test_a_server_that_has_drained_is_no_reason_to_publish_routes() -> None:
    stage = started()
    before = len(stage.published)
    stage.desired = desired(version(replicas=2, revision="r2"), revision="r2")
    stage.settle()
    for _ in range(3):
        stage.tick()
    assert len(stage.published) == before + 1
    assert servers(stage) == ["web-1", "web-2", "web-3"]


def test_changes_of_routes_are_told_by_who_gets_requests_before_and_after() -> None:
    stage = started()
    for replicas in (1, 2):
        stage.desired = desired(version(replicas=replicas, revision=f"r{replicas}"), revision=f"r{replicas}")
        stage.settle()
    told = [event.message.partition(": ")[2] for event in stage.events if event.type == "routes"]
    assert told[-2:] == ["web-1, web-2, web-3 → web-1", "web-1 → web-1, web-2"]

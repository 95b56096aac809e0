"""Which replicas get requests, where neither being ready nor being gone settles it."""

from __future__ import annotations

from tests.support.apps import desired, version
from tests.support.stage import Stage


def addresses(stage: Stage) -> set[str]:
    """Where requests are sent."""
    return {server.address for part in stage.state.published.table.apps for server in part.servers}


def test_a_replica_that_is_made_anew_at_another_address_gets_no_request_before_it_is_ready() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    before = addresses(stage)
    stage.foreign_addresses = frozenset({stage.containers["web-1"].address or ""})
    stage.remove("web-1")
    stage.held.add("web-1")
    stage.until(lambda: "web-1" in stage.in_flight)
    stage.tick()
    assert addresses(stage) <= before
    stage.held.clear()
    stage.settle()
    assert stage.routed() == ["web-1", "web-2"]
    assert addresses(stage) > before - stage.foreign_addresses


def test_a_replica_that_is_still_starting_is_not_routed_because_its_readiness_fails() -> None:
    slow_start = {"path": "/healthz", "periodSeconds": 1, "successThreshold": 10}
    stage = Stage(
        desired(version(replicas=1, health_check=slow_start, readiness={"path": "/ready", "periodSeconds": 1}))
    )
    stage.until(lambda: stage.plan and stage.plan.probes)
    stage.tick()
    stage.tick()
    stage.sicken("web-1", check="readiness")
    for _ in range(5):
        stage.tick()
        assert stage.routed() == []

"""Which replicas get requests, where neither being ready nor being gone settles it."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
    stage.run_for(5)
    assert not any(table.routed_names() for table in stage.published)


def rolling_out_two_at_once() -> Stage:
    """Two replicas are to be replaced at once, and the second of the new ones takes its time to be created."""
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stage.held.add("web-4")
    stage.desired = desired(version(replicas=2, image="demo:2", strategy={"maxSurge": 2}, revision="r2"), revision="r2")
    stage.until(lambda: stage.state.replicas.get("web-3") and stage.state.replicas["web-3"].ready_at, seconds=0.25)
    return stage


def test_a_change_of_routes_waits_two_seconds_for_the_rest_of_the_step_and_no_longer() -> None:
    stage = rolling_out_two_at_once()
    ready_at = stage.state.replicas["web-3"].ready_at
    assert ready_at is not None
    stage.until(lambda: "web-3" in stage.routed(), seconds=0.25)
    routed_at = stage.now - 0.25
    assert routed_at - ready_at == 2.0


def test_a_change_of_routes_does_not_wait_once_the_step_is_whole() -> None:
    stage = rolling_out_two_at_once()
    stage.held.clear()
    stage.until(lambda: {"web-3", "web-4"} <= set(stage.routed()), seconds=0.25)
    both_ready_at = max(stage.state.replicas[name].ready_at or 0.0 for name in ("web-3", "web-4"))
    assert stage.now - 0.25 == both_ready_at


def test_a_replica_too_many_serves_until_one_that_stays_is_routed() -> None:
    stage = Stage(desired(version(replicas=3)))
    stage.settle()
    for name in ("web-1", "web-2"):
        stage.crash(name)
    stage.held |= {"web-1", "web-2"}
    stage.until(lambda: stage.routed() == ["web-3"])
    stage.sicken("web-2")
    stage.held.clear()  # Both start again at last, and web-2 takes its time.
    stage.until(lambda: stage.state.replicas["web-1"].ready_at)
    stage.desired = desired(version(replicas=1, revision="r2"), revision="r2")
    served = []
    for _ in range(20):
        stage.tick(0.25)
        served.append(stage.routed())
    assert [] not in served
    assert served[-1] == ["web-1"]


def test_a_replica_counts_as_routed_before_the_edge_is_asked_to_route_to_it() -> None:
    stage = Stage(desired(version(replicas=1)), down=True)
    stage.until(lambda: stage.state.replicas.get("web-1") and stage.state.replicas["web-1"].ready_at)
    assert stage.routed() == []
    assert stage.state.replicas["web-1"].traffic.routed, "nobody may live to record the answer"


def test_replicas_whose_readiness_fails_altogether_stay_routed() -> None:
    stage = Stage(desired(version(readiness={"path": "/ready", "periodSeconds": 1})))
    stage.settle()
    stage.sicken("web-1", "web-2", check="readiness")
    stage.until(lambda: stage.statuses["web"].ready == 0)
    assert stage.routed() == ["web-1", "web-2"]
    assert "all 2 replicas are unwell; they stay routed" in stage.text()


def test_old_replicas_that_are_all_unwell_serve_until_new_ones_do() -> None:
    stage = Stage(desired(version()))
    stage.settle()
    stage.sicken("web-1", "web-2")
    stage.desired = desired(version(image="demo:2", revision="r2"), revision="r2")
    stage.broken.add("demo:2")
    for _ in range(20):
        stage.tick()
        assert stage.routed() == ["web-1", "web-2"]
    stage.broken.clear()
    stage.settle()
    assert len(stage.hashes()) == 1


HTTPS = {"ports": [{"containerPort": 8443, "protocol": "HTTPS"}], "health_check": {"protocol": "HTTPS"}}
TRUST = {"edge": {"upstreamTLS": {"ca": "internal"}}}


@pytest.mark.parametrize("replicas", [1, 2, 3, 4])
@pytest.mark.parametrize("back", [False, True], ids=["to-https", "to-http"])
def test_replicas_that_are_spoken_to_otherwise_never_share_the_routes_nor_leave_them_to_nobody(
    replicas: int, back: bool
) -> None:
    http, https = version(replicas=replicas), version(replicas=replicas, **HTTPS, **TRUST)
    old, new = (https, http) if back else (http, https)
    stage = Stage(desired(old))
    stage.settle()
    before = len(stage.published)
    stage.desired = desired(replace(new, revision="r2"), revision="r2")
    stage.settle()
    parts = [part for table in stage.published[before:] for part in table.apps]
    assert all(part.live for part in parts)
    spoken = [({server.port for server in part.live}, part.upstream.protocol) for part in parts]
    assert all(one in (({8080}, "HTTP"), ({8443}, "HTTPS")) for one in spoken)
    assert spoken[-1][1] == ("HTTP" if back else "HTTPS")
    assert len(stage.routed()) == replicas


def test_replicas_are_known_by_what_their_own_version_says_until_those_of_the_new_one_take_over() -> None:
    old = version(replicas=2, **HTTPS, **TRUST)
    stage = Stage(desired(old))
    stage.settle()
    before = len(stage.published)
    renewed = {"edge": {"upstreamTLS": {"ca": "renewed", "serverName": "web.internal"}}}
    stage.desired = desired(version(replicas=2, image="demo:2", revision="r2", **HTTPS, **renewed), revision="r2")
    stage.settle()
    trusts = [part.upstream.tls.server_name for t in stage.published[before:] for part in t.apps if part.upstream.tls]
    assert list(dict.fromkeys(trusts)) == ["web", "web.internal"]


def test_a_changed_trust_recreates_nobody_and_is_in_force_at_once() -> None:
    stage = Stage(desired(version(replicas=2, **HTTPS, **TRUST)))
    stage.settle()
    containers = dict(stage.containers)
    stage.desired = desired(
        version(replicas=2, revision="r2", **HTTPS, edge={"upstreamTLS": {"ca": "other"}}), revision="r2"
    )
    stage.settle()
    assert {name: c.id for name, c in stage.containers.items()} == {name: c.id for name, c in containers.items()}
    (part,) = stage.state.published.table.apps
    assert part.upstream.tls is not None
    assert part.upstream.tls.ca == "other"
    assert {target.tls.ca for target in stage.plan.probes if target.tls} == {"other"}

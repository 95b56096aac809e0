"""Ticks that can't see the Engine, by the loop's own code: requests go where replicas answer, also across a restart."""

from __future__ import annotations

import pytest

from tests.scenarios.host import Host
from tests.support.apps import desired, version

CHECK = {"path": "/healthz", "periodSeconds": 1}


@pytest.fixture
def host() -> Host:
    """Three replicas serve, and the Engine has just gone away."""
    host = Host(lambda _: None, lambda *_: None)
    host.source.desired = desired(version(replicas=3, health_check=CHECK))
    host.pass_time(ticks=12)
    assert served(host) == {"web-1", "web-2", "web-3"}
    host.faults.gone.add("engine")
    host.pass_time(ticks=2)
    return host


def served(host: Host) -> set[str]:
    return set(host.edge.served.routed_names())


def sicken(host: Host, name: str) -> None:
    host.prober.sick.add((host.engine.named(name).id, "health"))


def test_nginx_stops_sending_to_whoever_answers_badly_while_the_engine_is_away(host: Host) -> None:
    sicken(host, "web-2")
    host.pass_time(ticks=5)
    assert served(host) == {"web-1", "web-3"}
    status = host.last.statuses["web"]
    assert status.routed == 2
    assert "web-2 answers badly meanwhile" in status.error
    host.prober.sick.clear()
    host.pass_time(ticks=3)
    assert served(host) == {"web-1", "web-2", "web-3"}
    assert host.last.statuses["web"].routed == 3


def test_a_controller_that_is_started_while_the_engine_is_away_knows_whom_that_took_out(host: Host) -> None:
    sicken(host, "web-2")
    host.pass_time(ticks=5)
    host.restart()
    host.pass_time(ticks=3)
    assert served(host) == {"web-1", "web-3"}
    host.prober.sick.clear()
    host.pass_time(ticks=4)
    assert served(host) == {"web-1", "web-2", "web-3"}


def test_whoever_is_still_bad_when_the_engine_is_seen_again_stays_out_and_is_replaced(host: Host) -> None:
    sicken(host, "web-2")
    host.pass_time(ticks=5)
    sick = host.engine.named("web-2").id
    host.faults.gone.clear()
    for _ in range(4):
        host.pass_time()
        assert "web-2" not in served(host)
    host.pass_time(ticks=30)
    assert served(host) >= {"web-1", "web-3"}
    assert len(served(host)) == 3
    assert sick not in host.engine.containers_by_id


def test_nothing_is_done_to_containers_while_the_engine_is_away(host: Host) -> None:
    asked = host.witness.asked
    sicken(host, "web-2")
    host.pass_time(ticks=20)
    assert host.witness.asked == asked
    assert host.last.state.replicas["web-2"].traffic.left_at is None


def test_an_edge_that_is_away_as_well_is_told_as_soon_as_it_is_back(host: Host) -> None:
    host.faults.gone.add("edge")
    sicken(host, "web-2")
    host.pass_time(ticks=5)
    assert served(host) == {"web-1", "web-2", "web-3"}
    host.faults.gone.discard("edge")
    host.pass_time()
    assert served(host) == {"web-1", "web-3"}

"""States that can't be: each contradiction is told, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.app_state import FailedVersion, Rollout
from reconciler.model.health import Health, Tally, Verdict
from reconciler.model.reasons import Reason
from reconciler.model.replica_state import Traffic
from reconciler.model.restarts import Exits
from reconciler.model.scaling import ScalingState
from reconciler.model.state import State
from tests.support.apps import version
from tests.support.consistency import inconsistencies
from tests.support.records import NOW, app_state, published, replica_state

FAILED = FailedVersion(version().spec_hash, "r2", NOW, Reason.CRASH_LOOP, "it crashed")
ROLLOUT = Rollout(None, "abc", NOW, NOW)


def told(**changes: Any) -> tuple[str, ...]:
    return inconsistencies(State(**changes))


def of_app(name: str = "web", **changes: Any) -> tuple[str, ...]:
    return told(apps={name: app_state("web", **changes)})


def of_replica(name: str = "web-1", **changes: Any) -> tuple[str, ...]:
    return told(replicas={name: replace(replica_state("web-1"), **changes)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "api"}, "app api: is kept under another name than web, web"),
        ({"name": "xyz"}, "app xyz: is kept under another name than web, web"),
        ({"version": version("api")}, "app web: is kept under another name than web, api"),
        ({"version": version("xyz")}, "app web: is kept under another name than web, xyz"),
        ({"rollout": replace(ROLLOUT, promoted=True)}, "app web: its canary was promoted before it was in traffic"),
        ({"failed": FAILED}, "app web: a version failed though there was none to return to"),
        ({"failed": FAILED, "stable": version()}, "app web: its stable version is the failed one"),
        ({"scaling": ScalingState(-1)}, "app web: wants -1 replicas"),
    ],
)
def test_what_contradicts_itself_in_an_app_is_told(changes: dict[str, Any], words: str) -> None:
    assert of_app(**changes) == (words,)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "a-1"}, "replica a-1: is kept under another name than web-1"),
        ({"name": "z-1"}, "replica z-1: is kept under another name than web-1"),
        ({"ready_at": NOW, "container_id": ""}, "replica web-1: is ready without a container"),
        ({"ready_at": NOW, "exits": Exits(ended_at=NOW)}, "replica web-1: is ready and has ended"),
        ({"ready_at": NOW, "disturbed_at": NOW}, "replica web-1: is ready and still disturbed"),
        ({"traffic": Traffic(left_at=NOW)}, "replica web-1: left traffic it never was in"),
        ({"health": Health(on_trust=True)}, "replica web-1: has a trusted verdict that is unknown by its health check"),
        (
            {"readiness": Health(consecutive_failures=1, tally=Tally(2, 1, consecutive_successes=1))},
            "replica web-1: has failures and successes in a row at once by its readiness check",
        ),
        (
            {"health": Health(tally=Tally(checks=1, failures=2))},
            "replica web-1: has more failures than checks by its health check",
        ),
    ],
)
def test_what_contradicts_itself_in_a_replica_is_told(changes: dict[str, Any], words: str) -> None:
    assert of_replica(**changes) == (words,)


def test_a_routed_replica_that_never_entered_traffic_is_told() -> None:
    entered = replica_state("web-2", traffic=Traffic(entered=True))
    replicas = {"web-1": replica_state("web-1"), "web-2": entered}
    assert told(replicas=replicas, published=published("web-1", "web-2", "web-3")) == (
        "web-1 is routed, and never entered traffic",
    )


def test_a_state_that_can_be_contradicts_nothing() -> None:
    trusted = Health(Verdict.HEALTHY, NOW, on_trust=True, tally=Tally(checks=1, failures=1))
    failing = Health(consecutive_failures=2, tally=Tally(checks=2, failures=2))
    ended = Exits(ended_at=NOW)
    assert of_replica(ready_at=NOW, health=trusted, traffic=Traffic(entered=True, left_at=NOW)) == ()
    assert of_replica(readiness=failing, exits=ended, disturbed_at=NOW, container_id="") == ()
    assert of_app(scaling=ScalingState(0), rollout=ROLLOUT) == ()
    assert of_app(rollout=replace(ROLLOUT, canary_at=NOW, promoted=True)) == ()
    assert of_app(failed=FAILED, stable=version(image="demo:0")) == ()

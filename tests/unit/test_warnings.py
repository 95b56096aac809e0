"""What people should see about an app that does what was asked for, and what it must not change."""

from __future__ import annotations

import pytest

from reconciler.model.load import AppLoad, RecentTraffic, ReplicaLoad
from tests.support.apps import desired, version
from tests.support.stage import Stage

seen = RecentTraffic


def warned(app: RecentTraffic | None, **replicas: RecentTraffic) -> tuple[str, ...]:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stage.loads["web"] = AppLoad(traffic=app)
    stage.replica_loads = {name.replace("_", "-"): ReplicaLoad(traffic=traffic) for name, traffic in replicas.items()}
    plan = stage.tick()
    status = stage.statuses["web"]
    assert (plan.actions, status.converged, status.error) == ((), True, "")
    assert status.traffic == app
    return status.warnings


@pytest.mark.parametrize(
    ("requests", "errors", "is_warned_of"),
    [(0, 0, False), (20, 2, False), (3, 3, True), (60, 3, True), (61, 3, False), (1000, 50, True), (1000, 49, False)],
)
def test_an_app_whose_answers_are_errors_is_warned_of_from_5_percent_and_3_errors_on(
    requests: int, errors: int, is_warned_of: bool
) -> None:
    assert bool(warned(seen(300, requests, errors))) is is_warned_of


def test_a_warning_of_errors_says_how_many_of_what_and_since_when() -> None:
    assert warned(seen(300, 200, 24)) == ("12 % of 200 requests in the last 5 min were answered with an error (5xx)",)
    assert warned(seen(45, 3, 3)) == ("100 % of 3 requests in the last 45 s were answered with an error (5xx)",)


def test_a_replica_that_fails_is_warned_of_though_others_answer_for_it() -> None:
    found = warned(seen(300, 200, 0, repaired=10), web_1=seen(300, 100, 10), web_2=seen(300, 110, 0))
    assert found == (
        "web-1 failed 10 % of 100 requests in the last 5 min; other replicas answered for it where they could",
    )


def test_errors_of_the_app_are_told_once_and_not_of_each_replica_again() -> None:
    assert len(warned(seen(300, 200, 200), web_1=seen(300, 100, 100), web_2=seen(300, 100, 100))) == 1


def test_what_is_not_known_is_not_warned_of() -> None:
    assert warned(None) == ()

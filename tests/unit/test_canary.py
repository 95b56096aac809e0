"""Verdicts on canaries, and the weights that give them their share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.rollout.canary import analyse, weights
from reconciler.model.load import VersionLoad
from reconciler.model.spec import Canary
from tests.support.apps import desired, version
from tests.support.stage import Stage

CANARY = Canary(hold_seconds=60, max_error_rate_percent=1, max_p95_ratio=1.5, min_requests=20)


def load(requests: int = 100, error_rate: float = 0.0, p95_ms: float | None = 100.0) -> VersionLoad:
    return VersionLoad(requests, error_rate, p95_ms, 60.0)


@pytest.mark.parametrize(
    ("new", "old", "good", "said"),
    [
        (load(), load(), True, "100 (old version 100) requests"),
        (None, load(), None, "not measured"),
        (load(), None, None, "not measured"),
        (load(19), load(), None, "19 of 20 requests"),
        (replace(load(), window_seconds=59), load(), None, "compared for only 59 of 60 s"),
        (load(20), load(), True, "20 (old version 100) requests"),
        (load(error_rate=0.01), load(), True, "errors 1.00 % (old version 0.00 %)"),
        (load(error_rate=0.011), load(), False, "errors 1.10 % (old version 0.00 %), and 1 % more are allowed"),
        (load(error_rate=0.2), load(error_rate=0.195), True, "errors 20.00 % (old version 19.50 %)"),
        (load(p95_ms=150), load(), True, "p95 150 ms (old version 100 ms)"),
        (load(p95_ms=151), load(), False, "p95 151 ms (old version 100 ms), and 1.5 times as much is allowed"),
        (load(p95_ms=6), load(p95_ms=1), True, "p95 6 ms (old version 1 ms)"),
        (load(p95_ms=6.1), load(p95_ms=1), False, "p95 6 ms (old version 1 ms)"),
        (load(error_rate=1.0, p95_ms=None), load(), False, "errors 100.00 % (old version 0.00 %)"),
        (load(p95_ms=None), load(), True, "p95 unknown (old version 100 ms)"),
        (load(p95_ms=900), load(requests=0, p95_ms=None), True, "p95 900 ms (old version unknown)"),
    ],
)
def test_verdict(new: VersionLoad | None, old: VersionLoad | None, good: bool | None, said: str) -> None:
    verdict = analyse(CANARY, new, old)
    assert (verdict.good, said in verdict.message) == (good, True), verdict.message


@given(st.integers(1, 50), st.integers(1, 40), st.integers(1, 200))
def test_weights_give_the_canary_its_share(weight: int, new: int, old: int) -> None:
    each_new, each_old = weights(weight, new, old)
    assert each_new >= 1
    assert each_old >= 1
    assert new * each_new / (new * each_new + old * each_old) == pytest.approx(weight / 100)


def test_alone_nobody_is_weighed() -> None:
    assert weights(10, 3, 0) == weights(10, 0, 3) == (1, 1)


def test_while_it_holds_the_old_version_stays_whole_and_the_edge_is_told_the_share() -> None:
    stage = Stage(desired(version(replicas=4)))
    stage.settle()
    strategy = {"canary": {"weight": 20, "holdSeconds": 60}}
    stage.desired = desired(version(replicas=4, image="demo:2", strategy=strategy, revision="r2"), revision="r2")
    for _ in range(8):
        stage.tick()
    (part,) = stage.state.published.table.apps
    assert {server.name: server.weight for server in part.servers} == dict.fromkeys(
        ["web-1", "web-2", "web-3", "web-4", "web-5"], 1
    ), "one of five is the fifth that was asked for"
    assert len(stage.containers) == 5


def test_shares_are_told_as_weights() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    strategy = {"canary": {"weight": 10, "holdSeconds": 60}}
    stage.desired = desired(version(replicas=2, image="demo:2", strategy=strategy, revision="r2"), revision="r2")
    for _ in range(8):
        stage.tick()
    (part,) = stage.state.published.table.apps
    assert {server.name: server.weight for server in part.servers} == {"web-1": 9, "web-2": 9, "web-3": 2}


def test_paused_after_a_bad_verdict_it_gets_no_more_traffic() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    strategy = {"canary": {"weight": 10, "holdSeconds": 5}, "onFailure": "pause"}
    new = version(replicas=2, image="demo:2", strategy=strategy, revision="r2")
    stage.desired = desired(new, revision="r2")
    old = stage.state.apps["web"].version
    stage.version_loads = {("web", new.spec_hash): load(error_rate=0.5), ("web", old.spec_hash): load()}
    for _ in range(15):
        stage.tick()
    assert stage.routed() == ["web-1", "web-2"]
    assert stage.names() == ["web-1", "web-2", "web-3"], "it may still be looked at"
    assert stage.statuses["web"].error.startswith("revision r2 failed: its canary: errors 50.00 %")


def on_trial(hold_seconds: int = 30) -> Stage:
    """Two old replicas, and web-3 beside them: a canary in traffic, whose requests all go well."""
    stage = Stage(desired(version()))
    stage.settle()
    old, new = version(), version(image="demo:2", strategy=trial_of(hold_seconds), revision="r2")
    stage.desired = desired(new, revision="r2")
    stage.version_loads = {("web", new.spec_hash): load(), ("web", old.spec_hash): load()}
    for _ in range(6):
        stage.tick()
    assert "web-3" in stage.routed()
    return stage


def trial_of(hold_seconds: int) -> dict[str, Any]:
    return {"canary": {"weight": 10, "holdSeconds": hold_seconds}, "progressDeadlineSeconds": 20}


def test_one_that_turns_unhealthy_has_failed_whatever_its_requests_say() -> None:
    stage = on_trial()
    stage.sicken("web-3")
    for _ in range(4):
        stage.tick()
    failed = stage.state.apps["web"].failed
    assert failed is not None
    assert (failed.reason, failed.message) == ("CanaryFailed", "its canary web-3 is unhealthy: answered 503")
    assert (failed.replica, failed.answer) == ("web-3", "answered 503")
    assert stage.routed() == ["web-1", "web-2"]


def test_when_most_are_unhealthy_together_it_is_hardly_the_canary() -> None:
    stage = on_trial(hold_seconds=5)
    stage.sicken("web-1", "web-2", "web-3")
    for _ in range(15):
        stage.tick()
    assert stage.state.apps["web"].failed is None
    rollout = stage.state.apps["web"].rollout
    assert rollout is not None
    assert not rollout.promoted


def test_one_that_is_out_of_traffic_at_the_verdict_is_not_promoted_before_it_is_back() -> None:
    stage = on_trial(hold_seconds=8)
    stage.crash("web-3")
    stage.held.add("web-3")
    for _ in range(12):
        stage.tick()
    rollout = stage.state.apps["web"].rollout
    assert rollout is not None
    assert not rollout.promoted
    assert "waiting for it to be in traffic" in stage.text()
    stage.held.clear()
    stage.settle()
    assert stage.hashes() == {stage.state.apps["web"].version.spec_hash}


def test_without_evidence_it_is_never_promoted_and_people_are_told_in_the_end() -> None:
    stage = on_trial(hold_seconds=10)
    enough = stage.version_loads
    stage.version_loads = {key: load(requests=19) for key in enough}
    while "Degraded" not in {c.type for c in stage.statuses["web"].conditions if c.status}:
        assert stage.now < 1100
        stage.tick()
    (degraded,) = (c for c in stage.statuses["web"].conditions if c.type == "Degraded")
    assert (degraded.reason, "no verdict on the canary after 30 s" in degraded.message) == ("CanaryUndecided", True)
    assert "no verdict yet: 19 of 20 requests it takes to judge" in stage.text()
    for _ in range(100):
        stage.tick()
    assert stage.routed() == ["web-1", "web-2", "web-3"]
    stage.version_loads = enough
    stage.settle()
    assert stage.hashes() == {stage.state.apps["web"].version.spec_hash}


def test_one_that_has_no_verdict_and_does_not_come_back_has_failed() -> None:
    stage = on_trial(hold_seconds=10)
    stage.held.add("web-3")
    stage.crash("web-3", exit_code=3)
    for _ in range(35):
        stage.tick()
    failed = stage.state.apps["web"].failed
    assert failed is not None
    assert failed.reason == "CanaryFailed"
    assert failed.message == "its canary has no verdict after 30 s: web-3 exited with code 3"


def test_one_that_is_held_for_no_time_is_judged_once_it_was_asked_enough() -> None:
    stage = on_trial(hold_seconds=0)
    stage.settle()
    assert stage.hashes() == {stage.state.apps["web"].version.spec_hash}


def test_a_trial_that_is_taken_out_of_the_spec_is_over_and_the_deadline_begins_anew() -> None:
    stage = on_trial()
    for _ in range(25):
        stage.tick()
    stage.broken.add("demo:2")
    new = version(image="demo:2", strategy={"progressDeadlineSeconds": 20}, revision="r3")
    stage.desired = desired(new, revision="r3")
    for _ in range(10):
        stage.tick()
    assert stage.state.apps["web"].failed is None
    for _ in range(20):
        stage.tick()
    assert stage.state.apps["web"].failed is not None


def test_without_an_old_replica_there_is_nothing_to_judge_by() -> None:
    stage = Stage(desired(version(replicas=0)))
    stage.settle()
    strategy = {"canary": {"weight": 10, "holdSeconds": 600}}
    stage.desired = desired(version(replicas=2, image="demo:2", strategy=strategy, revision="r2"), revision="r2")
    assert stage.settle() < 10

"""Verdicts on canaries, and the weights that give them their share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.rollout.canary import analyse, weights
from reconciler.model.app_state import FailedVersion
from reconciler.model.load import VersionLoad
from reconciler.model.spec import Canary
from tests.support.apps import desired, version
from tests.support.stage import Stage

DEADLINE_SECONDS = 20
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


def told(replicas: int = 2, *, weight: int = 10, hold_seconds: int = 30, **strategy: Any) -> Stage:
    """So many replicas of the old version, and the commit of a new one with a canary, of which nothing is there yet.
    Requests to both will go well."""
    stage = Stage(desired(version(replicas=replicas)))
    stage.settle()
    canary = {"weight": weight, "holdSeconds": hold_seconds}
    strategy = {"canary": canary, "progressDeadlineSeconds": DEADLINE_SECONDS, **strategy}
    old, new = version(), version(replicas=replicas, image="demo:2", strategy=strategy, revision="r2")
    stage.desired = desired(new, revision="r2")
    stage.version_loads = {("web", new.spec_hash): load(), ("web", old.spec_hash): load()}
    return stage


def on_trial(replicas: int = 2, *, weight: int = 10, hold_seconds: int = 30) -> Stage:
    """The same once the canary, which is the replica after the old ones, is in traffic and being watched."""
    stage = told(replicas, weight=weight, hold_seconds=hold_seconds)
    stage.until(lambda: any(event.message.startswith("canary of") for event in stage.events))
    assert f"web-{replicas + 1}" in stage.routed()
    return stage


def shares(stage: Stage) -> dict[str, int]:
    (part,) = stage.state.published.table.apps
    return {server.name: server.weight for server in part.servers}


def failure(stage: Stage) -> FailedVersion | None:
    return stage.state.apps["web"].failed


def until_it_failed(stage: Stage) -> FailedVersion:
    stage.until(lambda: failure(stage))
    failed = failure(stage)
    assert failed is not None
    return failed


def is_promoted(stage: Stage) -> bool:
    rollout = stage.state.apps["web"].rollout
    return rollout is None or rollout.promoted


def is_everywhere(stage: Stage) -> bool:
    """Whether all replicas are of the newest version."""
    return stage.hashes() == {stage.state.apps["web"].version.spec_hash}


def test_while_it_holds_the_old_version_stays_whole_and_the_edge_is_told_the_share() -> None:
    stage = on_trial(replicas=4, weight=20, hold_seconds=60)
    one_of_five_is_a_fifth = dict.fromkeys(["web-1", "web-2", "web-3", "web-4", "web-5"], 1)
    assert shares(stage) == one_of_five_is_a_fifth
    stage.run_for(50)
    assert shares(stage) == one_of_five_is_a_fifth
    assert len(stage.containers) == 5


def test_shares_are_told_as_weights() -> None:
    assert shares(on_trial(weight=10)) == {"web-1": 9, "web-2": 9, "web-3": 2}


def test_paused_after_a_bad_verdict_it_gets_no_more_traffic() -> None:
    stage = told(onFailure="pause")
    new = stage.desired.apps["web"]
    stage.version_loads["web", new.spec_hash] = load(error_rate=0.5)
    until_it_failed(stage)
    stage.until(lambda: stage.routed() == ["web-1", "web-2"])
    assert stage.statuses["web"].error.startswith("revision r2 failed: its canary: errors 50.00 %")
    stage.run_for(60)
    assert stage.routed() == ["web-1", "web-2"]
    assert stage.names() == ["web-1", "web-2", "web-3"], "it may still be looked at"


def test_one_that_turns_unhealthy_has_failed_whatever_its_requests_say() -> None:
    stage = on_trial()
    stage.sicken("web-3")
    failed = until_it_failed(stage)
    assert (failed.reason, failed.message) == ("CanaryFailed", "its canary web-3 is unhealthy: answered 503")
    assert (failed.replica, failed.answer) == ("web-3", "answered 503")
    stage.until(lambda: stage.routed() == ["web-1", "web-2"])


def test_when_most_are_unhealthy_together_it_is_hardly_the_canary() -> None:
    stage = on_trial(hold_seconds=5)
    stage.sicken("web-1", "web-2", "web-3")
    stage.run_for(15)
    assert failure(stage) is None
    assert not is_promoted(stage)


def test_one_that_is_out_of_traffic_at_the_verdict_is_not_promoted_before_it_is_back() -> None:
    stage = on_trial(hold_seconds=8)
    stage.crash("web-3")
    stage.held.add("web-3")
    stage.until(lambda: "waiting for it to be in traffic" in stage.text())
    assert not is_promoted(stage)
    stage.held.clear()
    stage.settle()
    assert is_everywhere(stage)


def test_without_evidence_it_is_never_promoted_and_people_are_told_in_the_end() -> None:
    stage = on_trial(hold_seconds=10)
    enough = stage.version_loads
    stage.version_loads = {key: load(requests=19) for key in enough}
    stage.until(lambda: degraded(stage))
    assert degraded(stage) == [
        ("CanaryUndecided", "no verdict on the canary after 30 s, and without one it is not promoted")
    ]
    assert "no verdict yet: 19 of 20 requests it takes to judge" in stage.text()
    stage.run_for(100)
    assert stage.routed() == ["web-1", "web-2", "web-3"]
    stage.version_loads = enough
    stage.settle()
    assert is_everywhere(stage)


def degraded(stage: Stage) -> list[tuple[str, str]]:
    """The reason and the message, where it is degraded."""
    return [(c.reason, c.message) for c in stage.statuses["web"].conditions if c.type == "Degraded" and c.status]


def test_one_that_has_no_verdict_and_does_not_come_back_has_failed() -> None:
    stage = on_trial(hold_seconds=10)
    stage.held.add("web-3")
    stage.crash("web-3", exit_code=3)
    failed = until_it_failed(stage)
    assert failed.reason == "CanaryFailed"
    assert failed.message == "its canary has no verdict after 30 s: web-3 exited with code 3"


def test_one_that_is_held_for_no_time_is_judged_once_it_was_asked_enough() -> None:
    stage = on_trial(hold_seconds=0)
    stage.settle()
    assert is_everywhere(stage)


def test_a_trial_that_is_taken_out_of_the_spec_is_over_and_the_deadline_begins_anew() -> None:
    stage = on_trial(hold_seconds=30)
    stage.run_for(DEADLINE_SECONDS + 5)
    stage.broken.add("demo:2")
    new = version(image="demo:2", strategy={"progressDeadlineSeconds": DEADLINE_SECONDS}, revision="r3")
    stage.desired = desired(new, revision="r3")
    called_off_at = stage.now
    assert until_it_failed(stage).at == called_off_at + DEADLINE_SECONDS


def test_without_an_old_replica_there_is_nothing_to_judge_by() -> None:
    stage = told(replicas=0)
    strategy = {"canary": {"weight": 10, "holdSeconds": 600}}
    stage.desired = desired(version(replicas=2, image="demo:2", strategy=strategy, revision="r2"), revision="r2")
    assert stage.settle() < 10

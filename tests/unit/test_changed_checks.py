"""A commit that changes only how replicas are asked: it is named where they fail it, and costs no replica its place."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.decide.state.checks import on_trial
from reconciler.model.reasons import Reason
from tests.support.apps import desired, version
from tests.support.stage import Stage

GOOD, BAD = {"path": "/healthz"}, {"path": "/gone"}
NAMED = "its check was changed at r2: healthCheck.path: /healthz → /gone"


def app(check: dict[str, Any] | None, revision: str = "r1", **spec: Any) -> Any:
    """An app of two replicas with this health check."""
    return version(replicas=2, revision=revision, health_check=check, **spec)


def settled(check: dict[str, Any] | None = GOOD, **spec: Any) -> Stage:
    stage = Stage(desired(app(check, **spec)), unserved={"/gone"})
    stage.settle()
    return stage


def commit(stage: Stage, check: dict[str, Any] | None, revision: str, **spec: Any) -> None:
    stage.desired = desired(app(check, revision, **spec), revision=revision)


def ids(stage: Stage) -> set[str]:
    return {container.id for container in stage.containers.values()}


def test_a_check_that_all_replicas_fail_is_given_up_and_the_one_before_is_returned_to() -> None:
    stage = settled()
    before = ids(stage)
    commit(stage, BAD, "r2")
    for _ in range(120):
        stage.tick()
        assert len(stage.routed()) == 2
    assert ids(stage) == before
    assert stage.plan
    assert {probe.check.path for probe in stage.plan.probes} == {"/healthz"}
    failed, status = stage.state.apps["web"].failed, stage.statuses["web"]
    assert failed
    assert failed.reason is Reason.CHECK_FAILED
    assert failed.revision == "r2"
    assert (status.ready, status.routed, status.revision) == (2, 2, "r1")
    assert NAMED in status.error
    assert "answered 503" in status.error
    assert "serving revision r1" in status.error
    (told,) = [event for event in stage.events if event.type == "rollout" and "check" in event.message]
    assert "back to the check of revision r1" in told.message
    assert NAMED in told.message


def test_a_check_that_was_corrected_is_tried_again() -> None:
    stage = settled()
    commit(stage, BAD, "r2")
    stage.until(lambda: stage.state.apps["web"].failed)
    before = ids(stage)
    commit(stage, {"path": "/alive"}, "r3")
    stage.settle()
    assert ids(stage) == before
    assert stage.statuses["web"].revision == "r3"
    assert stage.plan
    assert {probe.check.path for probe in stage.plan.probes} == {"/alive"}


def test_a_check_that_is_taken_back_is_that_of_before() -> None:
    stage = settled()
    commit(stage, BAD, "r2")
    stage.run_for(2)
    commit(stage, GOOD, "r3")
    stage.settle()
    assert stage.state.apps["web"].failed is None
    assert not on_trial(stage.state.apps["web"])


def test_a_changed_check_is_on_trial_until_a_replica_has_answered_it() -> None:
    stage = settled()
    commit(stage, {"path": "/alive"}, "r2")
    plan = stage.tick()
    assert on_trial(stage.state.apps["web"])
    assert not stage.statuses["web"].converged
    changed = "its check was changed at r2: healthCheck.path: /healthz → /alive"
    assert f"waiting for web-1 to answer its check for the first time: {changed}" in {w.message for w in plan.waits}
    assert not any(probe.quick for probe in plan.probes)
    stage.settle()
    assert stage.state.apps["web"].stable is stage.state.apps["web"].version


def test_a_failing_check_is_named_where_the_spec_wants_to_be_left_as_it_is() -> None:
    stage = settled(strategy={"onFailure": "pause"})
    commit(stage, BAD, "r2", strategy={"onFailure": "pause"})
    stage.until(lambda: "unhealthy" in stage.statuses["web"].error)
    assert NAMED in stage.statuses["web"].error
    assert stage.statuses["web"].routed == 2


def test_a_readiness_check_that_all_replicas_fail_is_given_up_as_well() -> None:
    stage = settled(readiness={"path": "/healthz"})
    commit(stage, GOOD, "r2", readiness={"path": "/gone"})
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.run_for(60)
    assert stage.statuses["web"].routed == 2
    assert "spec.readiness.path: /healthz → /gone" in stage.statuses["web"].error


def test_a_first_check_that_all_replicas_fail_is_given_up_as_well() -> None:
    """Before, that their port accepts was enough."""
    stage = settled(None)
    commit(stage, BAD, "r2")
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.run_for(60)
    assert stage.statuses["web"].routed == 2
    assert "healthCheck: none → {path: /gone}" in stage.statuses["web"].error


def test_a_replica_that_hangs_as_its_check_is_changed_is_healed_by_the_check_before() -> None:
    stage = settled()
    stage.sicken("web-1")
    before = ids(stage)
    commit(stage, BAD, "r2")
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.until(lambda: len(before & ids(stage)) == 1 and len(ids(stage)) == 2)
    assert stage.statuses["web"].revision == "r1"


def test_a_rollout_that_fails_by_a_check_changed_with_it_says_so() -> None:
    deadline = {"progressDeadlineSeconds": 20}
    stage = settled(strategy=deadline)
    commit(stage, BAD, "r2", image="demo:2", strategy=deadline)
    stage.until(lambda: stage.state.apps["web"].failed)
    failed = stage.state.apps["web"].failed
    assert failed
    assert NAMED in failed.message


@pytest.mark.parametrize("threshold", [1, 3])
def test_a_changed_check_fails_by_its_own_threshold(threshold: int) -> None:
    stage = settled()
    commit(stage, BAD | {"failureThreshold": threshold}, "r2")
    began_at = stage.now
    stage.until(lambda: stage.state.apps["web"].failed)
    assert stage.now - began_at == 1 + threshold, "a tick to be asked otherwise, and one for each answer"


def test_a_check_that_only_replicas_were_asked_which_started_since_is_given_up_after_the_deadline() -> None:
    deadline = {"progressDeadlineSeconds": 60}
    stage = settled(strategy=deadline)
    commit(stage, BAD, "r2", strategy=deadline)
    stage.tick()
    for name in ("web-1", "web-2"):
        stage.restart(name)
    stage.run_for(30)
    assert stage.state.apps["web"].failed is None
    assert stage.plan
    assert any(NAMED in wait.message for wait in stage.plan.waits)
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.until(lambda: stage.statuses["web"].routed == 2)
    assert NAMED in stage.statuses["web"].error


def test_a_wrong_check_that_comes_with_a_return_to_the_containers_of_before_is_given_up() -> None:
    stage = settled()
    before = ids(stage)
    stage.broken.add("demo:2")
    commit(stage, GOOD, "r2", image="demo:2")
    stage.run_for(5)
    commit(stage, BAD, "r3")
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.until(lambda: stage.statuses["web"].routed == 2 and ids(stage) == before)


def test_a_ca_by_which_checks_know_no_replica_is_given_up_as_a_check_is() -> None:
    """The edge goes back with it: what it trusts is of the same version."""
    secure = {"ports": [{"containerPort": 8443, "protocol": "HTTPS"}], "edge": {"upstreamTLS": {"ca": "internal"}}}
    stage = Stage(desired(app({"protocol": "HTTPS"}, **secure)), unserved={"other"})
    stage.settle()
    before = ids(stage)
    commit(stage, {"protocol": "HTTPS"}, "r2", **secure | {"edge": {"upstreamTLS": {"ca": "other"}}})
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.run_for(5)
    assert ids(stage) == before
    assert stage.statuses["web"].ready == 2
    assert "its check was changed at r2: spec.edge.upstreamTLS.ca: internal → other" in stage.statuses["web"].error
    (part,) = stage.state.published.table.apps
    assert part.upstream.tls is not None
    assert part.upstream.tls.ca == "internal"

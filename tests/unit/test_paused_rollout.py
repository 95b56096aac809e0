"""A rollout that failed and was paused: the failed replicas stay for people to look at, the rest is looked after."""

from __future__ import annotations

import pytest

from reconciler.model.actions import CreateReplica
from reconciler.model.observed import ContainerState
from tests.support.apps import desired, version
from tests.support.stage import Stage

STRATEGY = {"onFailure": "pause", "progressDeadlineSeconds": 5}


@pytest.fixture
def paused() -> Stage:
    """Three of the old version, and beside them one of a version that doesn't get well."""
    stage = Stage(desired(version(replicas=3, strategy=STRATEGY)))
    stage.settle()
    stage.broken.add("demo:2")
    commit(stage, replicas=3)
    stage.until(lambda: "rollout paused" in stage.text())
    assert (len(stage.names()), len(stage.routed())) == (4, 3)
    return stage


def commit(stage: Stage, replicas: int) -> None:
    stage.desired = desired(version(replicas=replicas, image="demo:2", strategy=STRATEGY, revision="r2"), revision="r2")


def test_an_old_replica_that_is_gone_is_made_again_while_a_rollout_is_paused(paused: Stage) -> None:
    gone = paused.routed()[0]
    paused.remove(gone)
    paused.until(lambda: gone in paused.names())
    paused.run_for(5)
    assert gone in paused.routed()
    assert (len(paused.names()), len(paused.hashes())) == (4, 2)  # the failed one is still there to be looked at
    assert "rollout paused" in paused.text()


def test_a_replica_made_beside_a_paused_failure_is_told_how_many_are_wanted_in_all(paused: Stage) -> None:
    paused.broken.clear()
    failed = next(c.name for c in paused.containers.values() if c.revision == "r2")
    paused.until(lambda: failed in paused.routed() and len(paused.names()) == 3)  # it contributes one of three
    paused.remove(next(name for name in paused.names() if name != failed))
    paused.until(lambda: paused.plan and any(isinstance(action, CreateReplica) for action in paused.plan.actions))
    assert paused.plan is not None
    created = [action.replicas for action in paused.plan.actions if isinstance(action, CreateReplica)]
    assert created == [3]


def test_an_old_replica_that_is_unhealthy_is_replaced_while_a_rollout_is_paused(paused: Stage) -> None:
    sick = paused.routed()[0]
    before = paused.containers[sick].id
    paused.sicken(sick)
    paused.until(lambda: before not in {container.id for container in paused.containers.values()})
    paused.until(lambda: len(paused.routed()) == 3)


@pytest.mark.parametrize("replicas", [2, 5])
def test_the_old_version_is_scaled_while_a_rollout_is_paused(paused: Stage, replicas: int) -> None:
    (failed,) = set(paused.names()) - set(paused.routed())
    commit(paused, replicas)
    paused.until(lambda: len(paused.routed()) == replicas)
    paused.run_for(20)
    assert len(paused.routed()) == replicas
    assert failed in paused.names()


def test_a_commit_that_changes_the_count_alone_tries_no_failed_version_again(paused: Stage) -> None:
    failures = [event for event in paused.events if "failed" in event.message]
    commit(paused, 5)
    for _ in range(3):
        paused.tick()
    assert [event for event in paused.events if "failed" in event.message] == failures


def test_a_canary_that_still_serves_beside_a_paused_failure_keeps_its_share() -> None:
    stage = Stage(desired(version(replicas=4)))
    stage.settle()
    strategy = {**STRATEGY, "maxSurge": 2, "canary": {"weight": 40, "holdSeconds": 600}}
    canary = version(replicas=4, image="demo:2", strategy=strategy, revision="r2")
    stage.desired = desired(canary, revision="r2")
    stage.until(lambda: len(stage.routed()) == 6)
    looping = next(name for name in stage.names() if stage.containers[name].spec_hash == canary.spec_hash)
    for _ in range(3):
        stage.restart(looping)
        stage.tick()
    assert "rollout paused" in stage.text()
    stage.tick()
    (part,) = stage.state.published.table.apps
    live = [server for server in part.servers if not server.draining]
    of_canary = [server for server in live if stage.containers[server.name].spec_hash == canary.spec_hash]
    assert (len(live), len(of_canary)) == (4, 2)
    assert sum(s.weight for s in of_canary) / sum(s.weight for s in live) == pytest.approx(0.4)


def test_a_failed_replica_that_crashed_makes_room_while_a_rollout_is_paused(paused: Stage) -> None:
    (failed,) = set(paused.names()) - set(paused.routed())
    for _ in range(8):
        paused.crash(failed)
        paused.until(lambda: paused.containers[failed].state is ContainerState.RUNNING)
    paused.crash(failed)
    paused.sicken(paused.routed()[0])
    paused.until(lambda: len(paused.hashes()) == 1, max_ticks=10)
    paused.until(lambda: len(paused.routed()) == 3)


def test_an_old_replica_is_replaced_beside_a_failed_one_that_has_come_to_serve_while_a_rollout_is_paused() -> None:
    stage = Stage(desired(version(replicas=4, strategy=STRATEGY)))
    stage.settle()
    stage.broken.add("demo:2")
    commit(stage, replicas=4)
    stage.until(lambda: "rollout paused" in stage.text())
    stage.broken.clear()
    failed = next(c.name for c in stage.containers.values() if c.revision == "r2")
    stage.until(lambda: failed in stage.routed() and len(stage.names()) == 4)
    sick = next(name for name in stage.names() if name != failed)
    before = stage.containers[sick].id
    stage.sicken(sick)
    stage.until(lambda: before not in {container.id for container in stage.containers.values()})
    stage.until(lambda: len(stage.routed()) == 4)

"""What counts as progress of a rollout: more new replicas to rely on than ever before, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.store.codec import APP_STATE
from tests.support.apps import desired, version
from tests.support.stage import Stage

DEADLINE_SECONDS = 60
READINESS = {"path": "/ready", "failureThreshold": 1}


def rolling_out(replicas: int = 2, min_ready_seconds: int = 45) -> Stage:
    """The first new replica has just been asked for."""
    stage = Stage(desired(version(replicas=replicas, readiness=READINESS)))
    stage.settle()
    strategy = {"progressDeadlineSeconds": DEADLINE_SECONDS, "minReadySeconds": min_ready_seconds}
    changed = version(replicas=replicas, image="demo:2", readiness=READINESS, strategy=strategy, revision="r2")
    stage.desired = desired(changed, revision="r2")
    while stage.state.replicas.get(f"web-{replicas + 1}") is None:
        stage.tick()
    return stage


def crash(stage: Stage) -> None:
    stage.crash("web-3", exit_code=3)


def restart(stage: Stage) -> None:
    stage.restart("web-3", exit_code=3)


def lose_readiness(stage: Stage) -> None:
    stage.sicken("web-3", check="readiness")


@pytest.mark.parametrize("stumble", [crash, restart, lose_readiness])
def test_a_replica_that_comes_and_goes_is_no_progress_of_a_rollout(stumble: Callable[[Stage], None]) -> None:
    stage = rolling_out()
    begun, failed = stage.now, None
    while failed is None:
        assert stage.now < begun + 2 * DEADLINE_SECONDS, "it is given up in time"
        second = (stage.now - begun) % 40
        if second == 38:
            stumble(stage)
        elif second == 0:
            stage.heal()
        stage.tick()
        failed = stage.state.apps["web"].failed
    assert failed.reason == "ProgressDeadlineExceeded"
    assert stage.now >= begun + DEADLINE_SECONDS
    assert {"web-1", "web-2"} <= set(stage.routed())


def test_each_further_ready_replica_gives_a_rollout_its_whole_deadline_again() -> None:
    stage = rolling_out(replicas=4, min_ready_seconds=20)
    begun = stage.now
    stage.settle(most_ticks=300)
    assert stage.now - begun > DEADLINE_SECONDS, "slower than one deadline"
    assert stage.state.apps["web"].failed is None
    assert stage.hashes() == {stage.state.apps["web"].version.spec_hash}


def test_the_state_of_a_rollout_that_did_not_count_yet_can_still_be_read() -> None:
    app = rolling_out().state.apps["web"]
    text = APP_STATE.encode(app)
    assert '"max_available":0' in text
    assert APP_STATE.decode(text.replace(',"max_available":0', "")) == app

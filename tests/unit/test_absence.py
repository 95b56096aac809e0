"""The environment's time and deeds: no version pays for an Engine, a network or people that keep it from its work."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.observed import ContainerState
from tests.support.apps import desired, version
from tests.support.stage import Stage, try_later

DEADLINE_SECONDS = 30


def rolling_out(seconds: float = 20, replicas: int = 2, **strategy: object) -> Stage:
    """A rollout whose new replica has not answered well for so long."""
    stage = Stage(desired(version(replicas=replicas)))
    stage.settle()
    stage.broken.add("demo:2")
    changed = version(
        replicas=replicas,
        image="demo:2",
        revision="r2",
        strategy={"progressDeadlineSeconds": DEADLINE_SECONDS, **strategy},
    )
    stage.desired = desired(changed, revision="r2")
    stage.until(lambda: f"web-{replicas + 1}" in stage.containers)
    stage.run_for(seconds)
    assert stage.state.apps["web"].failed is None
    return stage


def failed(stage: Stage) -> bool:
    return stage.state.apps["web"].failed is not None


def test_the_time_in_which_the_engine_was_away_is_not_the_versions() -> None:
    stage = rolling_out(20)
    stage.lose_sight(100)
    stage.run_for(9)
    assert not failed(stage), "it had 20 of 30 s before, and a moment after"
    stage.run_for(DEADLINE_SECONDS)
    assert failed(stage), "its own time passes all the same"


def test_a_good_version_outlives_an_engine_that_is_away_for_longer_than_its_deadline() -> None:
    stage = rolling_out(20)
    stage.lose_sight(100)
    stage.run_for(4)
    stage.broken.clear()
    stage.settle()
    assert stage.hashes() == {stage.desired.apps["web"].spec_hash}


def test_replicas_have_a_moment_to_be_heard_of_anew_however_late_it_was_before() -> None:
    stage = rolling_out(DEADLINE_SECONDS - 2)
    stage.lose_sight(3)
    stage.run_for(8)
    assert not failed(stage)


def test_a_version_whose_programs_the_engine_has_restarted_has_all_its_time_again() -> None:
    stage = rolling_out(25)
    stage.lose_sight(25, restarted=True)
    stage.run_for(DEADLINE_SECONDS - 3)
    assert not failed(stage)
    stage.run_for(10)
    assert failed(stage)


def test_a_controller_that_was_held_up_for_a_while_counts_none_of_it() -> None:
    stage = rolling_out(20)
    stage.now += 3600
    stage.run_for(8)
    assert not failed(stage)
    stage.run_for(DEADLINE_SECONDS)
    assert failed(stage)


def test_whoever_the_engine_has_restarted_starts_anew_and_is_not_replaced_for_being_slow() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stage.lose_sight(25, restarted=True)
    stage.broken.add("demo:1")  # it takes its time to start
    stage.run_for(60)
    assert stage.plan is not None
    assert not stage.plan.actions
    assert {replica.health.verdict for replica in stage.state.replicas.values()} == {"unknown"}
    stage.broken.clear()
    stage.settle()
    assert stage.names() == ["web-1", "web-2"]
    assert all("unhealthy" not in event.message for event in stage.events)


def test_ends_of_programs_around_an_absence_of_the_engine_are_no_crash_loop() -> None:
    stage = rolling_out(1)
    for _ in range(4):
        stage.crash("web-3", exit_code=143)
        stage.tick()
        stage.lose_sight(5, restarted=True)
        stage.tick()
    assert not failed(stage)
    assert stage.state.replicas["web-3"].restarts.backoff is None
    assert all("next start in" not in event.message for event in stage.events)


def test_a_creation_that_failed_as_the_engine_went_away_is_tried_again_at_once_and_no_evidence() -> None:
    stage = rolling_out(1, replicas=1)
    stage.failing["web-2"] = try_later("EngineFailed", "the Engine answered 500: shutting down")
    stage.remove("web-2")
    stage.run_for(20)
    backoff = stage.state.apps["web"].pacing.creation
    assert backoff is not None
    stage.failing.clear()
    stage.broken.clear()
    stage.lose_sight(1)
    stage.tick()
    stage.tick()
    assert "web-2" in stage.containers
    stage.settle()


def test_a_stop_that_failed_as_the_engine_went_away_is_tried_again_at_once() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stage.failing["web-2"] = try_later("EngineUnavailable", "the Engine does not answer")
    stage.desired = desired(version(replicas=1, revision="r2"), revision="r2")
    stage.until(lambda: stage.state.replicas["web-2"].removal)
    stage.failing.clear()
    stage.lose_sight(1)
    stage.tick()
    assert stage.state.replicas["web-2"].removal is None
    stage.settle()
    assert stage.names() == ["web-1"]


def test_what_fails_once_the_engine_is_there_again_is_paced_as_ever() -> None:
    stage = rolling_out(1, replicas=1)
    stage.lose_sight(25)
    stage.tick()
    stage.failing["web-2"] = try_later("EngineFailed", "the Engine answered 500: it stumbles")
    stage.remove("web-2")
    stage.run_for(12)
    assert stage.state.apps["web"].pacing.creation.attempts <= 5  # type: ignore[union-attr]


def test_time_in_which_the_database_could_not_be_written_is_not_the_versions() -> None:
    stage = rolling_out(20)
    stage.state = replace(stage.state, outages={"store": stage.now})
    stage.now += 15
    stage.run_for(8)
    assert not failed(stage)


def test_a_crash_loop_long_after_an_absence_is_one() -> None:
    stage = rolling_out(1)
    stage.lose_sight(5, restarted=True)
    stage.run_for(20)
    for _ in range(3):
        stage.restart("web-3", exit_code=3)
        stage.tick()
    assert failed(stage)


def test_a_network_that_reaches_no_replica_condemns_no_version() -> None:
    stage = rolling_out(1)
    stage.cut_off.add("demo:2")
    stage.run_for(3 * DEADLINE_SECONDS)
    assert not failed(stage)
    assert stage.statuses["web"].error.startswith("web-3 not ready within 30 s: no route to host")
    stage.cut_off.clear()
    stage.tick()
    stage.tick()
    assert failed(stage), "what its program says counts"


def test_a_canary_that_the_network_does_not_reach_has_not_failed() -> None:
    stage = Stage(desired(version(replicas=4)))
    stage.settle()
    strategy = {"canary": {"weight": 25, "holdSeconds": 60}}
    stage.desired = desired(version(replicas=4, image="demo:2", revision="r2", strategy=strategy), revision="r2")
    stage.until(lambda: stage.state.apps["web"].rollout and stage.state.apps["web"].rollout.canary_at)
    stage.cut_off.add("demo:2")
    stage.run_for(10)
    assert not failed(stage)


def test_a_changed_check_is_not_blamed_for_a_network_that_reaches_nobody() -> None:
    stage = Stage(desired(version(replicas=2)))
    stage.settle()
    stage.cut_off.add("demo:1")
    stage.desired = desired(version(replicas=2, health_check={"path": "/other"}, revision="r2"), revision="r2")
    stage.run_for(60)
    assert not failed(stage)


def test_a_replica_that_people_have_paused_condemns_no_version() -> None:
    stage = rolling_out(1)
    stage.containers["web-3"] = replace(stage.containers["web-3"], state=ContainerState.PAUSED)
    stage.run_for(2 * DEADLINE_SECONDS)
    assert not failed(stage)


def test_a_replica_that_comes_late_since_the_one_before_took_long_to_end_has_its_whole_time() -> None:
    grace = {"terminationGracePeriodSeconds": 120}
    stage = Stage(desired(version(replicas=1, **grace)))
    stage.settle()
    stage.broken.add("demo:2")
    stage.open_requests = {replica.address: 1 for replica in stage.state.replicas.values()}
    strategy = {"progressDeadlineSeconds": DEADLINE_SECONDS, "maxSurge": 0, "maxUnavailable": 1}
    stage.desired = desired(
        version(replicas=1, image="demo:2", revision="r2", strategy=strategy, **grace), revision="r2"
    )
    stage.until(lambda: stage.hashes() == {stage.desired.apps["web"].spec_hash})
    stage.run_for(DEADLINE_SECONDS - 5)
    assert not failed(stage)
    stage.run_for(10)
    assert failed(stage)

"""How often a replica was started again: counted by us, whoever did so, since its version was applied."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.backoff import FORGOTTEN_AFTER_SECONDS
from reconciler.model.observed import ContainerState
from reconciler.model.recorded import AppRecord, Controller
from reconciler.model.restarts import LIST_SECONDS, Restarts
from reconciler.model.status import ReplicaStatus
from reconciler.report.explain import Subject, explained
from reconciler.store import codec
from tests.support.apps import desired, version
from tests.support.records import replica_state
from tests.support.stage import Stage


def running(**spec: object) -> Stage:
    stage = Stage(desired(version(**spec)))
    stage.settle()
    stage.run_for(LIST_SECONDS + 1)
    return stage


def shown(stage: Stage, name: str = "web-1") -> ReplicaStatus:
    return next(replica for replica in stage.statuses["web"].replicas if replica.name == name)


def explanation(stage: Stage) -> str:
    """What `explain` says of the app."""
    replicas = {name: replica for name, replica in stage.state.replicas.items() if replica.app_name == "web"}
    record = AppRecord("web", stage.statuses["web"], stage.state.apps["web"], replicas)
    controller = Controller("default", "1.0.0", "host", 77, 0.0, stage.now)
    return explained(Subject(record, controller, stage.state.published, (), stage.now))


def line_of(stage: Stage, name: str = "web-1") -> str:
    """The line of a replica in what `explain` says."""
    return next(line for line in explanation(stage).splitlines() if line.strip().startswith(f"{name} "))


def told(stage: Stage, words: str) -> list[str]:
    return [event.message for event in stage.events if words in event.message]


def test_restarts_are_counted_whoever_starts_a_replica_again() -> None:
    stage = running(replicas=2)
    assert (shown(stage).restarts, shown(stage).last_restarted_at) == (0, None)
    for _ in range(3):  # by the Engine, until it is a crash loop
        stage.restart("web-1")
        stage.tick()
    assert shown(stage).restarts == 3
    for count in range(4, 10):  # by the controller, and the Engine's own count is back at 0
        stage.crash("web-1")
        stage.until(lambda: stage.containers["web-1"].state is ContainerState.RUNNING)
        restarted_at = stage.now
        stage.tick()
        assert shown(stage).restarts == count
        assert shown(stage).last_restarted_at == pytest.approx(restarted_at, abs=1)
    assert stage.containers["web-1"].restart_count == 0
    stage.run_for(FORGOTTEN_AFTER_SECONDS + 10)
    stage.restart("web-1")  # whose it is again
    stage.tick()
    assert shown(stage).restarts == 10
    assert shown(stage, "web-2").restarts == 0


def test_a_restart_that_the_engine_has_begun_is_counted_once() -> None:
    stage = running()
    for count in (1, 2):
        begun = {"state": ContainerState.RESTARTING, "exit_code": 3, "restart_count": count}
        stage.containers["web-1"] = replace(stage.containers["web-1"], **begun)
        stage.tick()
        assert shown(stage).restarts == count
        again = {"state": ContainerState.RUNNING, "started_at": stage.now}
        stage.containers["web-1"] = replace(stage.containers["web-1"], **again)
        stage.tick(20)
        assert shown(stage).restarts == count


def test_what_restarted_while_the_controller_was_away_is_counted_and_no_crash_of_now() -> None:
    stage = running()
    stage.restart("web-1")
    stage.tick()
    stage.settle()
    state = stage.state
    encoded = {name: codec.REPLICA_STATE.encode(replica) for name, replica in state.replicas.items()}
    stage.now += 3600
    stage.restart_unseen("web-1", times=4)
    restarted_at = stage.now
    stage.now += 60
    replicas = {name: codec.REPLICA_STATE.decode(text) for name, text in encoded.items()}
    stage.state = replace(state, replicas=replicas)
    stage.tick()
    assert (shown(stage).restarts, shown(stage).last_restarted_at) == (5, restarted_at)
    assert told(stage, "restarted 4 times while nobody looked")
    assert (shown(stage).state, len(told(stage, "exited"))) == ("ready", 1)
    stage.tick()
    assert shown(stage).restarts == 5


def test_a_restart_by_hand_counts_and_takes_nothing_away() -> None:
    stage = running()
    for _ in range(2):
        stage.restart("web-1")
        stage.tick(60)
    stage.restart_by_hand("web-1")
    stage.tick()
    assert shown(stage).restarts == 3
    stage.tick(60)
    stage.restart_by_hand("web-1")
    stage.tick()
    assert shown(stage).restarts == 4
    assert len(told(stage, "was restarted while nobody looked, or by hand")) == 2


def test_a_start_that_the_list_shows_before_its_time_is_known_is_no_restart() -> None:
    stage = Stage(desired(version()))
    stage.settle()
    created_at = stage.state.replicas["web-1"].created_at
    stage.containers["web-1"] = replace(stage.containers["web-1"], started_at=created_at + 2, restart_count=0)
    stage.tick()
    assert shown(stage).restarts == 0


def test_a_clock_that_is_set_back_restarts_nothing() -> None:
    stage = running()
    stage.restart("web-1")
    stage.tick()
    stage.now -= 7200
    stage.run_for(30)
    assert shown(stage).restarts == 1


def test_a_container_made_anew_in_its_place_is_a_restart_of_the_same_version_alone() -> None:
    stage = running(replicas=2)
    stage.restart("web-2")
    stage.tick()
    stage.remove("web-2")
    stage.settle()
    assert (shown(stage, "web-2").restarts, shown(stage).restarts) == (2, 0)
    assert shown(stage, "web-2").last_restarted_at == pytest.approx(stage.now, abs=10)
    stage.desired = desired(version(replicas=2, image="demo:2", revision="r2"), revision="r2")
    stage.settle()
    assert [replica.restarts for replica in stage.statuses["web"].replicas] == [0, 0]
    assert [replica.last_restarted_at for replica in stage.statuses["web"].replicas] == [None, None]


def test_a_container_that_never_ran_is_no_earlier_start() -> None:
    stage = Stage(desired(version()))
    stage.until(lambda: "web-1" in stage.containers)
    stage.containers["web-1"] = replace(stage.containers["web-1"], state=ContainerState.CREATED)
    stage.tick()
    stage.remove("web-1")
    stage.tick()
    stage.settle()
    assert shown(stage).restarts == 0


def test_an_older_record_of_a_replica_counts_from_what_the_engine_has_counted() -> None:
    text = codec.REPLICA_STATE.encode(replica_state(restarts=Restarts(by_engine=7)))
    assert codec.REPLICA_STATE.decode(text).restarts.total == 7


@pytest.mark.parametrize("state", [ContainerState.EXITED, ContainerState.RESTARTING, ContainerState.PAUSED])
def test_an_explanation_calls_nobody_healthy_whose_program_does_not_run(state: ContainerState) -> None:
    stage = running()
    assert "healthy since" in line_of(stage)
    stage.containers["web-1"] = replace(stage.containers["web-1"], state=state, exit_code=7)
    stage.held.add("web-1")
    stage.tick()
    assert "healthy" not in line_of(stage)
    assert shown(stage).health.verdict == "unknown"


def test_an_explanation_tells_a_crash_loop_until_the_replica_is_well_again() -> None:
    stage = running()
    lines: set[str] = set()
    for _ in range(6):
        stage.crash("web-1", exit_code=7)
        stage.tick()
        stage.until(lambda: lines.add(line_of(stage)) or shown(stage).state == "ready")
    assert not [line for line in lines if "CrashLoopBackOff" in line and " healthy" in line]
    assert any("CrashLoopBackOff: keeps crashing: exited with code 7 (attempt" in line for line in lines)
    well = line_of(stage)
    assert "CrashLoopBackOff" not in well
    assert "healthy since" in well
    assert "restarted 6 times, last" in well


# -- for want of memory -----------------------------------------------------------------------------------------------

LIMITED = {"resources": {"memory": "64Mi"}}
WORDS = "exited with code 137, OOMKilled: it needed more than its limit of 64 MiB (spec.resources.memory)"


def test_a_replica_that_ran_out_of_memory_is_told_with_its_limit_everywhere() -> None:
    stage = running(**LIMITED)
    stage.held.add("web-1")
    stage.crash("web-1", exit_code=137, out_of_memory=True)
    stage.tick()
    assert shown(stage).note == WORDS
    assert told(stage, f"web-1 {WORDS}")
    assert WORDS in line_of(stage)
    stage.held.clear()
    stage.settle()
    assert shown(stage).note == f"restarted: it {WORDS}"
    assert WORDS in line_of(stage)
    stage.now += 3600
    stage.tick()
    assert shown(stage).note == ""


def test_a_crash_loop_for_want_of_memory_is_called_so() -> None:
    stage = running(**LIMITED)
    for _ in range(5):
        stage.crash("web-1", exit_code=137, out_of_memory=True)
        stage.until(lambda: stage.containers["web-1"].state is ContainerState.RUNNING)
    stage.crash("web-1", exit_code=137, out_of_memory=True)
    stage.tick()
    assert shown(stage).note == f"CrashLoopBackOff: keeps crashing: {WORDS}"
    assert WORDS in stage.statuses["web"].error


def test_that_it_was_for_want_of_memory_may_be_told_after_the_crash_and_is_told_once() -> None:
    stage = running(**LIMITED)
    stage.restart("web-1", exit_code=137)
    stage.tick()
    assert not told(stage, "OOMKilled")
    stage.containers["web-1"] = replace(stage.containers["web-1"], out_of_memory=True)
    for _ in range(5):
        stage.tick()
    assert told(stage, "OOMKilled") == [f"web-1 {WORDS}"]
    stage.restart("web-1", exit_code=1)
    stage.containers["web-1"] = replace(stage.containers["web-1"], out_of_memory=False)
    stage.tick()
    assert stage.state.replicas["web-1"].exits.out_of_memory == ""


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"resources": {"memory": "1Gi"}}, "its limit of 1 GiB"),
        ({"resources": {"memory": "1500Mi"}}, "its limit of 1500 MiB"),
        ({"resources": {"cpu": "1"}}, "its limit of 512 MiB"),
        ({}, "the host had no memory left, and it has no limit of its own (spec.resources.memory)"),
    ],
)
def test_the_limit_of_memory_is_the_one_in_force(limits: dict[str, object], words: str) -> None:
    stage = running(**limits)
    stage.crash("web-1", exit_code=137, out_of_memory=True)
    stage.tick()
    assert told(stage, words)

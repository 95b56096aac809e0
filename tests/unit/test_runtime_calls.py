"""What observing and acting cost the Engine, and what is noticed when things happen in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from reconciler.collect import Observers, collect
from reconciler.executor import Executor
from reconciler.model.actions import CreateReplica, EnsureImage, RemoveReplica, StartReplica
from reconciler.model.desired import Desired
from reconciler.model.observed import Container, ContainerState, Observed
from reconciler.model.replica_state import Traffic
from reconciler.model.state import State
from reconciler.ports import Rejected, TryLater, Unavailable
from reconciler.runtime.client import seconds_left
from reconciler.runtime.looks import LOG_BYTES, LOOKS_AT_ONCE
from reconciler.runtime.patience import LOOK_SECONDS
from reconciler.wiring import SystemClock
from tests.fakes.engine import FakeEngine, FakeNetwork, Program, refusal
from tests.fakes.runtime import FakeRuntime
from tests.support.apps import desired, version
from tests.support.records import app_state, replica_state


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.images["demo:1"] = Program()
    return engine


@pytest.fixture
def runtime(engine: FakeEngine) -> Iterator[FakeRuntime]:
    runtime = FakeRuntime(engine)
    runtime.prepare()
    yield runtime
    runtime.close()


def creation(slot: int = 1) -> CreateReplica:
    return CreateReplica("web", version(), slot, f"web-{slot}", f"172.16.1.{slot}", 1, cause="test")


def only(runtime: FakeRuntime) -> Container:
    (container,) = runtime.inventory().containers
    return container


def calls_of(engine: FakeEngine) -> list[tuple[str, str]]:
    calls, engine.calls = engine.calls, []
    return calls


# One call


def test_observing_is_one_call_however_many_containers(engine: FakeEngine, runtime: FakeRuntime) -> None:
    for slot in range(1, 31):
        runtime.perform(creation(slot))
    engine.run_foreign("foreign")
    runtime.inventory()  # once, the images as well
    engine.calls.clear()
    assert len(runtime.inventory().containers) == 30
    assert calls_of(engine) == [("list", "")]


def test_images_are_listed_again_only_when_something_happened_to_one(engine: FakeEngine, runtime: FakeRuntime) -> None:
    runtime.inventory()
    engine.calls.clear()
    runtime.inventory()
    assert ("list images", "") not in calls_of(engine)
    engine.registry["more:1"] = Program()
    runtime.perform(EnsureImage("web", version(image="more:1"), cause="test"))
    assert "more:1" in runtime.inventory().images


def test_only_a_container_that_died_is_looked_at_closely_and_only_once(
    engine: FakeEngine, runtime: FakeRuntime
) -> None:
    for slot in (1, 2, 3):
        runtime.perform(creation(slot))
    runtime.inventory()
    engine.exit("web-2", code=0)
    engine.calls.clear()
    runtime.inventory()
    assert calls_of(engine) == [("list", ""), ("inspect", "web-2"), ("logs", "web-2")]
    runtime.inventory()
    assert calls_of(engine) == [("list", "")]
    engine.advance(1)
    runtime.inventory()  # running again: started when?
    assert calls_of(engine) == [("list", ""), ("inspect", "web-2")]
    engine.advance(1)
    runtime.inventory()
    assert calls_of(engine) == [("list", "")]


def test_a_host_whose_containers_all_died_is_looked_at_in_portions(engine: FakeEngine) -> None:
    wakes: list[None] = []
    runtime = FakeRuntime(engine, wake=lambda: wakes.append(None))
    runtime.prepare()
    for slot in range(1, LOOKS_AT_ONCE + 11):
        runtime.perform(creation(slot))
        engine.stop_by_hand(f"web-{slot}")
    wakes.clear()
    seen = runtime.inventory().containers
    assert sum(container.started_at is not None for container in seen) == LOOKS_AT_ONCE
    assert wakes  # so that the rest is not left until the next timer
    wakes.clear()
    seen = runtime.inventory().containers
    assert all(container.started_at is not None for container in seen)
    assert not wakes


def test_containers_from_before_the_controller_are_looked_at_once_and_in_portions(
    engine: FakeEngine, runtime: FakeRuntime
) -> None:
    for slot in range(1, LOOKS_AT_ONCE + 11):
        runtime.perform(creation(slot))
    engine.exit("web-1", code=7)
    engine.advance(1)
    other = FakeRuntime(engine)
    other.prepare()
    engine.exit(f"web-{LOOKS_AT_ONCE + 5}", code=7)
    seen = {container.name: container for container in other.inventory().containers}
    assert sum(container.started_at is not None for container in seen.values()) == LOOKS_AT_ONCE
    assert seen[f"web-{LOOKS_AT_ONCE + 5}"].restart_count == 1, "who died meanwhile comes first"
    counts = {container.name: container.restart_count for container in other.inventory().containers}
    assert None not in counts.values()
    assert counts["web-1"] == 1
    engine.advance(1)
    other.inventory()  # who died runs again
    engine.calls.clear()
    other.inventory()
    assert calls_of(engine) == [("list", "")]
    other.close()


def test_what_an_unwell_replica_said_last_is_kept_by_its_removal_without_its_secrets(
    engine: FakeEngine, tmp_path: Path
) -> None:
    (tmp_path / "database").write_text("swordfish\n")
    engine.images["demo:1"] = Program(log="".join(f"line {number} swordfish\n" for number in range(100)))
    runtime = FakeRuntime(engine, secrets_dir=tmp_path)
    runtime.prepare()
    variable = {"name": "PASSWORD", "source": "secret", "key": "database"}
    runtime.perform(replace(creation(), version=version(environment=[variable])))
    container = only(runtime)
    executor = Executor(runtime, SystemClock(), wake=lambda: None, wake_at_once=lambda: None, concurrency=1)
    unwell = RemoveReplica("web", "web-1", container.id, "test", keeps_log=True)
    executor.submit([unwell])
    (outcome,) = executor.finish(30)
    assert outcome.failure is None
    assert outcome.log.splitlines() == [f"line {number} ***" for number in range(80, 100)]
    assert engine.containers_by_id == {}
    runtime.close()


def test_a_replica_whose_log_is_not_to_be_had_is_removed_without_it(engine: FakeEngine, runtime: FakeRuntime) -> None:
    runtime.perform(creation())
    container = only(runtime)

    def hang(call: str, _: str) -> None:
        if call == "logs":
            raise TimeoutError

    engine.before_call = hang
    executor = Executor(runtime, SystemClock(), wake=lambda: None, wake_at_once=lambda: None, concurrency=1)
    executor.submit([RemoveReplica("web", "web-1", container.id, "test", keeps_log=True)])
    (outcome,) = executor.finish(30)
    assert outcome.failure is None
    assert "no log" in outcome.log
    assert engine.containers_by_id == {}


def test_preparing_a_network_that_is_there_is_no_call_of_the_engine(engine: FakeEngine, runtime: FakeRuntime) -> None:
    engine.calls.clear()
    runtime.prepare()
    assert calls_of(engine) == []


def test_creating_a_replica_is_two_calls_of_the_engine(engine: FakeEngine, runtime: FakeRuntime) -> None:
    runtime.perform(creation(1))  # the first looks what the Engine does with logs
    engine.calls.clear()
    runtime.perform(creation(2))
    assert [call for call, _ in calls_of(engine)] == ["create", "start"]


def test_what_the_engine_does_with_logs_is_looked_at_anew_once_it_may_be_another(
    engine: FakeEngine, runtime: FakeRuntime
) -> None:
    runtime.perform(creation(1))
    engine.log_driver = "syslog"
    runtime.another_engine()
    runtime.perform(creation(2))
    drivers = [engine.named(name).config["HostConfig"]["LogConfig"]["Type"] for name in ("web-1", "web-2")]
    assert drivers == ["json-file", "syslog"]


def test_an_engine_that_tells_nothing_of_connections_makes_them_unknown_and_is_no_outage(
    engine: FakeEngine, runtime: FakeRuntime
) -> None:
    runtime.perform(creation())
    container = only(runtime)
    leaving = replica_state("web-1", container_id=container.id, traffic=Traffic(closing_since=engine.now))
    state = State({"web": app_state("web")}, {"web-1": leaving})

    def break_off(call: str, subject: str) -> None:
        if call == "inspect":
            raise requests.ConnectionError(f"{call} {subject}")

    engine.before_call = break_off
    observed = collect(Observers(Unchanged(), runtime), state, engine.now)
    assert isinstance(observed, Observed)
    assert (observed.callers, observed.outages) == ({}, ())


def test_all_that_a_tick_looks_at_shares_the_time_that_the_engine_has(engine: FakeEngine, runtime: FakeRuntime) -> None:
    runtime.perform(creation())
    container = only(runtime)
    leaving = replica_state("web-1", container_id=container.id, traffic=Traffic(closing_since=engine.now))
    left: dict[str, float] = {}
    engine.before_call = lambda call, _: left.update({call: seconds_left()})
    collect(Observers(Unchanged(), runtime), State({"web": app_state("web")}, {"web-1": leaving}), engine.now)
    assert set(left) >= {"list", "inspect"}
    assert max(left.values()) <= LOOK_SECONDS


class Unchanged:
    """A source that asks for one app, and for nothing else."""

    def read(self) -> Desired:
        return desired(version())

    def refresh(self) -> None: ...

    def close(self) -> None: ...


# In between


def test_a_crash_that_no_event_told_of_is_noticed_by_its_state(engine: FakeEngine) -> None:
    runtime = FakeRuntime(engine)
    runtime.survey()  # follows no events
    engine.create_network("orchestry", labels={}, ipam={"Config": [{"Subnet": "172.16.0.0/16"}]})
    runtime.perform(creation())
    engine.exit("web-1", code=3, log="boom\n")
    assert only(runtime).restart_count == 1
    assert only(runtime).last_log.endswith("boom")


def test_a_death_while_the_one_before_is_looked_at_is_not_lost(engine: FakeEngine, runtime: FakeRuntime) -> None:
    runtime.perform(creation())
    engine.exit("web-1", code=1)
    engine.advance(1)

    def die_again(call: str, _: str) -> None:
        if call == "logs":
            engine.before_call = lambda call, subject: None
            engine.exit("web-1", code=1)
            engine.advance(1)

    engine.before_call = die_again
    assert only(runtime).restart_count == 1
    assert only(runtime).restart_count == 2


def test_the_kernel_may_tell_of_memory_before_a_death_or_after_it(engine: FakeEngine, runtime: FakeRuntime) -> None:
    runtime.perform(creation())
    engine.run_out_of_memory("web-1")
    engine.advance(1)  # runs again, and inspecting tells no more of it
    assert "out of memory" in only(runtime).last_log
    assert only(runtime).out_of_memory, "which is known until the next death"
    engine.kill_from_outside("web-1")
    assert "out of memory" not in only(runtime).last_log, "this time it was somebody else"
    engine.tell_of_memory("web-1")
    engine.advance(1)
    assert "out of memory" in only(runtime).last_log, "it was not"
    engine.exit("web-1", code=1)
    engine.advance(1)
    assert "out of memory" not in only(runtime).last_log


@pytest.mark.parametrize("moment", ["inspect", "logs"])
def test_a_container_that_vanishes_while_it_is_looked_at_is_no_error(
    engine: FakeEngine, runtime: FakeRuntime, moment: str
) -> None:
    runtime.perform(creation())
    engine.exit("web-1")

    def vanish(call: str, _: str) -> None:
        if call == moment:
            engine.before_call = lambda call, subject: None
            engine.remove_by_hand("web-1")
            raise refusal(404, "No such container: web-1")

    engine.before_call = vanish
    assert only(runtime).restart_count is None
    assert runtime.inventory().containers == ()


def test_nothing_is_lost_when_the_engine_fails_during_an_observation(engine: FakeEngine, runtime: FakeRuntime) -> None:
    runtime.perform(creation())
    engine.exit("web-1", code=7)
    engine.advance(1)
    engine.unreachable = True
    with pytest.raises(Unavailable, match="start it, or name another by DOCKER_HOST"):
        runtime.inventory()
    engine.unreachable = False
    assert (only(runtime).exit_code, only(runtime).restart_count) == (7, 1)


def test_an_engine_that_refuses_to_list_is_unavailable(engine: FakeEngine, runtime: FakeRuntime) -> None:
    def refuse(call: str, _: str) -> None:
        raise refusal(500, "layer does not exist")

    engine.before_call = refuse
    with pytest.raises(Unavailable, match="layer does not exist"):
        runtime.inventory()


def test_a_container_that_keeps_crashing_shows_its_log_but_not_its_secrets(engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "database").write_text("swordfish")
    runtime = FakeRuntime(engine, secrets_dir=tmp_path)
    runtime.prepare()
    variables = [{"name": "DB", "source": "secret", "key": "database"}]
    runtime.perform(CreateReplica("web", version(environment=variables), 1, "web-1", "172.16.1.1", 1, cause="test"))
    engine.exit("web-1", code=1, log="x" * 3 * LOG_BYTES + " can't log in with swordfish\n")
    log = only(runtime).last_log
    assert log.endswith("can't log in with ***")
    assert len(log.encode()) <= LOG_BYTES


def test_a_container_whose_log_can_not_be_read_says_so(engine: FakeEngine, runtime: FakeRuntime) -> None:
    runtime.perform(creation())
    engine.exit("web-1")

    def refuse(call: str, _: str) -> None:
        if call == "logs":
            raise refusal(501, "configured logging driver does not support reading")

    engine.before_call = refuse
    assert only(runtime).last_log == "(no log: configured logging driver does not support reading)"


# Acting


def test_without_an_engine_an_action_is_tried_later(engine: FakeEngine, runtime: FakeRuntime) -> None:
    engine.unreachable = True
    with pytest.raises(TryLater) as error:
        runtime.perform(creation())
    assert error.value.reason == "EngineUnavailable"


def test_a_create_whose_start_fails_leaves_nothing_behind(engine: FakeEngine, runtime: FakeRuntime) -> None:
    engine.images["demo:1"].start_error = 'exec: "/nosuch": stat /nosuch: no such file or directory'
    with pytest.raises(Rejected, match="/nosuch") as error:
        runtime.perform(creation())
    assert error.value.reason == "StartRefused"
    assert runtime.inventory().containers == ()


def test_an_engine_that_goes_away_in_the_middle_leaves_a_container_the_next_attempt_finishes(
    engine: FakeEngine, runtime: FakeRuntime
) -> None:
    def vanish(call: str, _: str) -> None:
        if call == "start":
            raise TimeoutError("no answer")

    engine.before_call = vanish
    with pytest.raises(TryLater, match="did not answer in time"):
        runtime.perform(creation())
    engine.before_call = lambda call, subject: None
    before = only(runtime)
    assert before.state is ContainerState.CREATED
    runtime.perform(creation())
    assert (only(runtime).id, only(runtime).state) == (before.id, ContainerState.RUNNING)


def test_a_removal_that_somebody_else_began_is_waited_for(engine: FakeEngine, runtime: FakeRuntime) -> None:
    runtime.perform(creation())
    container = only(runtime)
    engine.begin_removal("web-1")
    assert only(runtime).state is ContainerState.REMOVING
    with pytest.raises(TryLater) as error:
        runtime.perform(StartReplica("web", "web-1", container.id, cause="test"))
    assert error.value.reason == "RemovalInProgress"
    runtime.perform(RemoveReplica("web", "web-1", container.id, "test"))
    assert runtime.inventory().containers == ()


def test_a_container_whose_removal_failed_is_known_to_be_dead_after_a_moment(
    engine: FakeEngine, runtime: FakeRuntime
) -> None:
    runtime.perform(creation())
    engine.named("web-1").stuck = True
    with pytest.raises(TryLater, match="failed to remove"):
        runtime.perform(RemoveReplica("web", "web-1", only(runtime).id, "test"))
    assert only(runtime).state is ContainerState.REMOVING, "as any removal may be for a moment"
    engine.advance(2)
    assert only(runtime).state is ContainerState.DEAD
    engine.named("web-1").stuck = False
    runtime.perform(RemoveReplica("web", "web-1", only(runtime).id, "test"))
    assert runtime.inventory().containers == ()


def test_a_removal_that_takes_long_is_known_to_be_of_a_program_that_has_ended(
    engine: FakeEngine, runtime: FakeRuntime
) -> None:
    runtime.perform(creation())
    engine.begin_removal("web-1")
    assert (only(runtime).state, only(runtime).ended) == (ContainerState.REMOVING, False)
    engine.advance(2)
    assert (only(runtime).state, only(runtime).ended) == (ContainerState.REMOVING, True)
    looks = engine.calls.count(("inspect", "web-1"))
    only(runtime)
    assert engine.calls.count(("inspect", "web-1")) == looks + 1, "it is looked at each time"


@pytest.mark.parametrize("too_late", [requests.ReadTimeout("read"), requests.ConnectionError("read timed out")])
def test_a_removal_by_others_that_takes_too_long_is_called_that_and_not_an_engine_that_does_not_answer(
    engine: FakeEngine, runtime: FakeRuntime, too_late: Exception
) -> None:
    runtime.perform(creation())
    engine.begin_removal("web-1")

    def not_yet(call: str, _: str) -> None:
        if call == "wait":
            raise too_late

    engine.before_call = not_yet
    with pytest.raises(TryLater, match="in progress") as error:
        runtime.perform(RemoveReplica("web", "web-1", only(runtime).id, "test"))
    assert error.value.reason == "RemovalInProgress"
    assert [call for call, _ in engine.calls].count("wait") == 1, "it is waited for once"


def test_a_program_that_ignores_sigterm_is_killed_when_it_is_removed(engine: FakeEngine, runtime: FakeRuntime) -> None:
    engine.images["demo:1"].ignores_term = True
    runtime.perform(creation())
    runtime.perform(RemoveReplica("web", "web-1", only(runtime).id, "test"))
    assert runtime.inventory().containers == ()


def test_an_earlier_container_of_the_name_at_another_address_is_in_the_way(
    engine: FakeEngine, runtime: FakeRuntime
) -> None:
    runtime.perform(creation())
    with pytest.raises(TryLater) as error:
        runtime.perform(CreateReplica("web", version(), 1, "web-1", "172.16.1.77", 1, cause="test"))
    assert error.value.reason == "NameTaken"


# The network


def test_a_network_whose_subnet_somebody_takes_meanwhile_gets_another(engine: FakeEngine) -> None:
    def take(call: str, subject: str) -> None:
        if (call, subject) == ("create network", "orchestry"):
            engine.before_call = lambda call, subject: None
            engine.create_network("faster", labels={}, ipam=None)

    engine.before_call = take
    runtime = FakeRuntime(engine)
    runtime.prepare()
    assert runtime.inventory().network.first_address == "172.17.0.2"
    assert sorted(network["Name"] for network in engine.networks()) == ["faster", "none", "orchestry"]


def test_a_network_that_another_controller_makes_first_is_shared(engine: FakeEngine) -> None:
    def be_faster(call: str, subject: str) -> None:
        if (call, subject) == ("create network", "orchestry"):
            engine.before_call = lambda call, subject: None
            FakeRuntime(engine).prepare()

    engine.before_call = be_faster
    runtime = FakeRuntime(engine)
    runtime.prepare()
    assert [network["Name"] for network in engine.networks(["orchestry"])] == ["orchestry"]
    assert runtime.inventory().network.first_address == "172.16.0.2"


def test_of_two_networks_that_a_race_left_the_older_stays(engine: FakeEngine, runtime: FakeRuntime) -> None:
    (first,) = engine.networks(["orchestry"])
    younger = FakeNetwork("f" * 64, "orchestry", "2999-01-01", first["Labels"], [{"Subnet": "10.9.0.0/24"}], True)
    engine.networks_by_id[younger.id] = younger
    second = FakeRuntime(engine)
    second.prepare()
    assert [network["Id"] for network in engine.networks(["orchestry"])] == [first["Id"]]
    runtime.prepare()
    assert second.inventory().network == runtime.inventory().network

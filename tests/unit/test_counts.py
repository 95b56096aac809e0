"""How many replicas, in a whole world: what counts as healthy, what scaling waits for, what the host holds."""

from __future__ import annotations

from typing import Any

from reconciler.model.load import AppLoad
from reconciler.model.observed import Capacity
from reconciler.model.scaling import ScalingDecision
from tests.support.apps import desired, version
from tests.support.stage import Stage

_SCALING = {"minReplicas": 1, "maxReplicas": 6, "cooldownSeconds": 0, "maxMemoryPercent": 0}
_MIB = 1024 * 1024


def auto(name: str = "web", *, scaling: dict[str, Any] | None = None, **spec: Any) -> Any:
    return version(name, replicas=None, scaling={**_SCALING, **(scaling or {})}, **spec)


def busy(rps: float) -> AppLoad:
    return AppLoad(cpu_percent=10, memory_percent=10, rps=rps, p95_latency_ms=10, connections=0)


def started(*versions: Any, capacity: Capacity | None = None) -> Stage:
    stage = Stage(desired(*versions), capacity=capacity)
    stage.settle()
    return stage


def decision(stage: Stage, name: str = "web") -> ScalingDecision:
    found = stage.state.apps[name].decision
    assert found is not None
    return found


def test_a_replica_that_drains_takes_no_share_of_the_load() -> None:
    stage = started(auto(scaling={"minReplicas": 3}, terminationGracePeriodSeconds=60))
    stage.loads["web"] = busy(60)
    stage.open_requests = {container.address or "": 1 for container in stage.containers.values()}
    stage.desired = desired(auto(scaling={"maxReplicas": 2, "minReplicas": 2}, terminationGracePeriodSeconds=60))
    stage.until(lambda: "requests in flight" in stage.text())
    assert len(stage.containers) == 3, "one of them drains"
    (rps,) = (factor for factor in decision(stage).factors if factor.metric == "rps")
    assert rps.value == 30


def test_replicas_that_start_hold_the_count_until_they_should_have_been_ready() -> None:
    spec = {"strategy": {"progressDeadlineSeconds": 120}}
    stage = started(auto(**spec))
    stage.loads["web"] = busy(45)
    stage.tick()
    stage.sicken("web-2")
    stage.loads["web"] = busy(90)
    stage.run_for(15)
    assert stage.state.apps["web"].count == 2
    assert "waiting for web-2 to become ready" in decision(stage).reason
    stage.now += 120
    stage.tick()
    assert stage.state.apps["web"].count == 5, "no longer held up by one that does not start"


def test_what_nginx_does_not_route_yet_holds_the_count() -> None:
    stage = started(auto())
    stage.down = True
    stage.loads["web"] = busy(100)
    stage.until(lambda: stage.state.apps["web"].count == 4)
    stage.loads["web"] = busy(200)
    stage.run_for(15)
    assert stage.state.apps["web"].count == 4
    assert "waiting for web-2, web-3, web-4 to be routed" in decision(stage).reason
    stage.down = False
    stage.until(lambda: stage.state.apps["web"].count > 4)


def test_a_clock_that_was_set_back_costs_one_cooldown_and_no_more() -> None:
    stage = started(auto(scaling={"cooldownSeconds": 30}))
    stage.loads["web"] = busy(45)
    stage.until(lambda: stage.state.apps["web"].count == 2)
    stage.loads["web"] = busy(200)
    stage.now -= 3600
    set_back_to = stage.now
    stage.until(lambda: stage.state.apps["web"].count > 2)
    assert stage.state.apps["web"].scaled_at == set_back_to + 30


def test_a_clock_that_was_set_back_costs_one_stabilization_window_and_no_more() -> None:
    stage = started(auto(scaling={"stabilizationWindowSeconds": 60}))
    stage.loads["web"] = busy(100)
    stage.until(lambda: stage.state.apps["web"].count == 4)
    stage.settle()
    stage.loads["web"] = busy(1)
    stage.now -= 3600
    set_back_to = stage.now
    stage.until(lambda: stage.state.apps["web"].count < 4)
    assert stage.state.apps["web"].scaled_at == set_back_to + 60


def test_a_paused_rollout_holds_the_count_and_says_so() -> None:
    strategy = {"progressDeadlineSeconds": 5, "onFailure": "pause"}
    stage = started(auto(strategy=strategy))
    stage.broken = {"demo:2"}
    stage.desired = desired(auto(strategy=strategy, image="demo:2"), revision="r2")
    stage.loads["web"] = busy(45)
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.run_for(10)
    assert stage.state.apps["web"].count == 1
    assert "waiting for a changed spec, since the rollout is paused" in decision(stage).reason


def test_the_host_holds_no_more_than_its_size_and_what_one_app_got_no_other_can_have() -> None:
    limits = {"resources": {"cpu": "500m", "memory": "256Mi"}}
    stage = started(auto("a", **limits), auto("b", **limits), capacity=Capacity(2700, 16 * 1024 * _MIB))
    stage.loads = {"a": busy(1000), "b": busy(1000)}
    stage.run_for(8)
    counts = {name: app.count for name, app in stage.state.apps.items()}
    assert counts == {"a": 3, "b": 1}, "nine tenths of 2700 thousandths of a core hold four replicas"
    for name in counts:
        assert decision(stage, name).clamps[-1].name == "host"
        assert "the host's cpu holds 0 more of 500m and 256 MiB" in decision(stage, name).reason
        assert "once the host has room" in decision(stage, name).next_step


def test_where_memory_is_scarcer_than_cpu_the_host_is_full_by_memory() -> None:
    limits = {"resources": {"cpu": "100m", "memory": "256Mi"}}
    stage = started(auto(**limits), capacity=Capacity(64_000, 1024 * _MIB))
    stage.loads = {"web": busy(1000)}
    stage.run_for(8)
    assert stage.state.apps["web"].count == 3, "nine tenths of 1024 MiB hold three replicas"
    assert "the host's memory holds 0 more of 100m and 256 MiB" in decision(stage).reason


def test_memory_that_one_app_got_no_other_can_have() -> None:
    limits = {"resources": {"cpu": "100m", "memory": "256Mi"}}
    stage = started(auto("a", **limits), auto("b", **limits), capacity=Capacity(64_000, 1024 * _MIB))
    stage.loads = {"a": busy(1000), "b": busy(1000)}
    stage.tick()
    assert {name: app.count for name, app in stage.state.apps.items()} == {"a": 2, "b": 1}


def test_an_app_that_was_scaled_out_takes_only_what_it_got_from_the_next() -> None:
    limits = {"resources": {"cpu": "500m", "memory": "256Mi"}}
    stage = started(
        auto("a", scaling={"minReplicas": 2}, **limits), auto("b", **limits), capacity=Capacity(4000, 1 << 40)
    )
    stage.loads = {"a": busy(125), "b": busy(1000)}
    stage.tick()
    counts = {name: app.count for name, app in stage.state.apps.items()}
    assert counts == {"a": 4, "b": 3}, "nine tenths of 4000 thousandths of a core hold seven replicas"


def test_measurements_of_an_app_whose_count_people_set_are_kept_up_to_date() -> None:
    stage = started(version(replicas=2))
    stage.loads["web"] = busy(80)
    for _ in range(5):
        stage.tick()
    (rps,) = (factor for factor in decision(stage).factors if factor.metric == "rps")
    assert rps.value == 40


def test_a_decision_that_nothing_has_changed_about_is_kept_as_it_was() -> None:
    stage = started(auto())
    for _ in range(3):
        stage.tick()
    before = decision(stage)
    stage.tick(600)
    stage.tick()
    assert decision(stage) is before


def test_a_count_that_people_change_again_at_once_holds_at_once() -> None:
    stage = started(version(replicas=2))
    for replicas in (3, 4, 1):
        stage.desired = desired(version(replicas=replicas, revision=f"r{replicas}"), revision=f"r{replicas}")
        stage.tick(0)
        assert stage.state.apps["web"].count == replicas
        stage.tick(0)  # which decides that it stays so

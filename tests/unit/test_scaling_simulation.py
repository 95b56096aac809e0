"""The simulated app, the HPA beside it, and what the default policy is held to on the traces of the benchmark."""

from __future__ import annotations

import pytest

from reconciler.model.spec import Scaling
from tests.simulation.scaling.app import Profile, SimulatedApp
from tests.simulation.scaling.autoscalers import Kubernetes, Ours
from tests.simulation.scaling.hpa import Hpa, ObjectMetric, PodMetric, replicas_for_object, replicas_for_pods
from tests.simulation.scaling.run import run
from tests.simulation.scaling.traces import MINUTE, TRACES, Trace, ramp

DEFAULTS = Scaling()
SHORT = {trace.name: trace for trace in TRACES if trace.seconds <= 60 * MINUTE}


class TestHpa:
    """The examples of the HPA's documentation, and its rules for what can't be measured."""

    @pytest.mark.parametrize(
        ("ratio", "current", "count"), [(2.0, 4, 8), (0.5, 4, 2), (1.09, 4, 4), (0.91, 4, 4), (1.2, 4, 5), (0.85, 4, 4)]
    )
    def test_ceil_of_current_times_ratio(self, ratio: float, current: int, count: int) -> None:
        assert replicas_for_pods(PodMetric(ratio, current), current) == count
        assert replicas_for_object(ObjectMetric(ratio, current), current) == count

    def test_pods_not_ready_count_as_idle_on_the_way_up(self) -> None:
        assert replicas_for_pods(PodMetric(2.0, 2, unready=2), 4) == 4
        assert replicas_for_pods(PodMetric(4.0, 2, unready=2), 4) == 8

    def test_pods_without_measurements_count_as_on_target_on_the_way_down(self) -> None:
        assert replicas_for_pods(PodMetric(0.2, 2, missing=2), 4) == 3
        assert replicas_for_pods(PodMetric(1.5, 2, missing=2), 4) == 4

    def test_up_by_four_or_twice_as_many_within_fifteen_seconds(self) -> None:
        hpa = Hpa(1, 100)
        assert hpa.sync([PodMetric(50, 1)], 1, 0) == 5
        assert hpa.sync([PodMetric(50, 5)], 5, 5) == 5
        assert hpa.sync([PodMetric(50, 5)], 5, 15) == 10

    def test_down_only_after_five_minutes_of_recommending_it(self) -> None:
        hpa = Hpa(1, 10)
        counts = [hpa.sync([PodMetric(0.2, 5)], 5, now) for now in range(0, 316, 15)]
        assert counts == [5] * 20 + [1] * 2


class TestApp:
    def test_new_replicas_serve_only_once_started(self) -> None:
        app = SimulatedApp(Profile(startup_seconds=5), seed=1)
        app.scale(3, 10.0)
        assert [app.ready(now) for now in (10.0, 14.9, 15.0)] == [1, 1, 3]
        app.scale(2, 20.0)
        assert app.ready(20.0) == 2

    def test_what_it_can_not_serve_waits_and_is_slow(self) -> None:
        app = SimulatedApp(Profile(service_rate=100), seed=1)
        seconds = [app.pass_second(float(now), 150.0) for now in range(10)]
        assert all(second.served == 100 for second in seconds)
        assert seconds[0].p95_latency_ms < seconds[5].p95_latency_ms < seconds[9].p95_latency_ms
        assert app.backlog <= 100 * Profile().patience_seconds


@pytest.mark.parametrize("name", [name for name in SHORT if name != "steep ramp"])
def test_the_default_policy_spends_no_more_time_above_target_than_the_hpa(name: str) -> None:
    ours = run(Ours(DEFAULTS), DEFAULTS, SHORT[name])
    hpa = run(Kubernetes(DEFAULTS), DEFAULTS, SHORT[name])
    assert ours.seconds_above <= hpa.seconds_above


def test_spikes_cost_the_default_policy_fewer_replica_hours_than_the_hpa() -> None:
    trace = SHORT["spikes of a minute"]
    ours, hpa = run(Ours(DEFAULTS), DEFAULTS, trace), run(Kubernetes(DEFAULTS), DEFAULTS, trace)
    assert ours.replica_hours < hpa.replica_hours


@pytest.mark.parametrize("name", SHORT)
def test_the_count_in_a_simulation_never_leaves_its_bounds_nor_changes_within_the_cooldown(name: str) -> None:
    outcome = run(Ours(DEFAULTS), DEFAULTS, SHORT[name])
    assert set(outcome.counts) <= set(range(DEFAULTS.min_replicas, DEFAULTS.max_replicas + 1))
    changes = [at for at in range(1, len(outcome.counts)) if outcome.counts[at] != outcome.counts[at - 1]]
    gaps = [after - before for before, after in zip(changes, changes[1:], strict=False)]
    assert min(gaps, default=DEFAULTS.cooldown_seconds) >= DEFAULTS.cooldown_seconds


def test_replicas_behind_one_bottleneck_stop_growing_and_say_why() -> None:
    policy = Scaling(max_replicas=20)
    ours = Ours(policy)
    steep = Trace("too much for the database", 10 * MINUTE, ramp(10, 240, 2 * MINUTE, 8 * MINUTE, 1))
    bound, free = Profile(shared_rate=110), Profile()
    assert max(run(ours, policy, steep, bound).counts) < 10
    last = ours.decisions[-1]
    assert "not scaling any further: throughput per replica fell by" in last.reason
    unbound = Ours(policy)
    run(unbound, policy, steep, free)
    assert not any(clamp.name == "throughput" for decision in unbound.decisions for clamp in decision.clamps)

"""The algorithm of scaling, branch by branch: what each reading of the metrics comes to, before any guard."""

from __future__ import annotations

import pytest

from reconciler.decide.scaling.recommend import initial_count, recommend
from reconciler.model.load import AppLoad
from reconciler.model.scaling import Bounds, ScalingDecision
from reconciler.model.spec import CustomMetric, Scaling
from reconciler.model.spec_policy import BUILT_IN_METRICS
from tests.support.scaling import METRIC_FIELDS, NOW, decide, only, situation

DEFAULT = Scaling()
WIDE = Scaling(max_replicas=20)
ALL_IDLE = {"cpu": 0.1, "memory": 0.1, "rps": 0.1, "latency": 0.1, "connections": 0.1}


class TestSteps:
    @pytest.mark.parametrize(
        ("value", "target"),
        [
            (0.0, 9),
            (14.999, 9),
            (15.0, 10),  # exactly the scale-in threshold, 30 % of 50: not below it
            (25.0, 10),
            (40.0, 10),  # exactly the scale-out threshold, 80 % of 50: not above it
            (40.001, 11),
            (60.0, 11),  # factor 1.2
            (60.001, 12),
            (75.0, 12),  # factor 1.5
            (75.001, 13),
            (5000.0, 13),
        ],
    )
    def test_requests_per_replica_step_the_count_by_how_far_they_are_above_target(
        self, value: float, target: int
    ) -> None:
        policy = only("rps", max_replicas=20)
        decision = recommend(policy, situation(10, AppLoad(rps=value * 10)), NOW)
        assert decision.target == target
        assert decision.should_scale is (target != 10)

    @pytest.mark.parametrize(("max_step", "target"), [(1, 11), (2, 12), (3, 13), (1000, 13)])
    def test_a_step_out_is_no_larger_than_the_policy_allows(self, max_step: int, target: int) -> None:
        decision = decide(only("rps", max_replicas=20, max_scale_out_step=max_step), 10, rps=1.6)
        assert (decision.raw, decision.target) == (13, target)
        assert [clamp.name for clamp in decision.clamps] == (["maxScaleOutStep"] if target < 13 else [])

    def test_a_step_in_is_by_one_whatever_the_policy_allows(self) -> None:
        assert decide(only("rps", max_replicas=20, max_scale_in_step=5), 10, rps=0.0).target == 9

    def test_the_thresholds_of_steps_are_the_policys(self) -> None:
        policy = only("rps", scale_out_threshold_pct=100, scale_in_threshold_pct=50)
        assert decide(policy, 3, rps=1.0).target == 3
        assert decide(policy, 3, rps=1.01).target == 4
        assert decide(policy, 3, rps=0.49).target == 2


class TestEachMetric:
    @pytest.mark.parametrize("exact", [True, False])
    def test_only_connections_that_nobody_counted_are_an_estimate(self, exact: bool) -> None:
        load = AppLoad(cpu_percent=1, rps=1, connections=1, connections_exact=exact)
        decision = recommend(DEFAULT, situation(3, load), NOW)
        assert [it.metric for it in decision.factors if it.estimated] == ([] if exact else ["connections"])

    def test_unknown_connections_are_no_estimate(self) -> None:
        decision = recommend(DEFAULT, situation(3, AppLoad(cpu_percent=1)), NOW)
        assert not any(factor.estimated for factor in decision.factors)

    @pytest.mark.parametrize("metric", METRIC_FIELDS)
    def test_each_metric_alone_scales_out(self, metric: str) -> None:
        decision = decide(only(metric), 2, **{metric: 0.9})
        assert (decision.target, decision.winner) == (3, metric)
        assert [factor.metric for factor in decision.factors] == [metric]

    @pytest.mark.parametrize("metric", METRIC_FIELDS)
    def test_each_metric_alone_scales_in(self, metric: str) -> None:
        assert decide(only(metric), 2, **{metric: 0.2}).target == 1

    @pytest.mark.parametrize("metric", METRIC_FIELDS)
    def test_a_metric_at_zero_is_idle_and_not_unknown(self, metric: str) -> None:
        assert decide(only(metric), 2, **{metric: 0.0}).target == 1

    @pytest.mark.parametrize("metric", METRIC_FIELDS)
    def test_a_missing_metric_blocks_scaling_in_and_is_named(self, metric: str) -> None:
        decision = decide(DEFAULT, 3, **{**ALL_IDLE, metric: None})
        assert decision.target == decision.raw == 3
        assert f"nothing is known of {metric}" in decision.reason

    @pytest.mark.parametrize("metric", METRIC_FIELDS)
    def test_a_missing_metric_does_not_block_scaling_out(self, metric: str) -> None:
        other = "cpu" if metric != "cpu" else "rps"
        assert decide(DEFAULT, 3, **{**ALL_IDLE, metric: None, other: 1.3}).target == 5

    @pytest.mark.parametrize("metric", METRIC_FIELDS)
    def test_a_disabled_metric_takes_no_part_however_high_or_missing(self, metric: str) -> None:
        policy = only(*(set(METRIC_FIELDS) - {metric}))
        enabled = {name: factor for name, factor in ALL_IDLE.items() if name != metric}
        assert decide(policy, 3, **enabled).target == 2
        everything = AppLoad(cpu_percent=99, memory_percent=99, rps=1e6, p95_latency_ms=1e6, connections=1e6)
        decision = recommend(only("rps" if metric != "rps" else "cpu"), situation(3, everything), NOW)
        assert metric not in [factor.metric for factor in decision.factors]

    @pytest.mark.parametrize("metric", METRIC_FIELDS)
    def test_the_largest_metric_wins(self, metric: str) -> None:
        decision = decide(DEFAULT, 3, **{**ALL_IDLE, metric: 0.85})
        assert (decision.winner, decision.target) == (metric, 4)

    def test_a_metric_that_is_not_idle_keeps_the_others_from_scaling_in(self) -> None:
        assert decide(DEFAULT, 3, **{**ALL_IDLE, "memory": 0.5}).target == 3

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_a_metric_that_is_no_number_is_unknown(self, value: float) -> None:
        decision = recommend(only("rps"), situation(3, AppLoad(rps=value)), NOW)
        assert (decision.target, decision.factors[0].factor) == (3, None)


class TestNothingToGoBy:
    def test_the_count_stays_without_the_value_of_any_metric(self) -> None:
        decision = decide(DEFAULT, 3)
        assert decision.target == 3
        assert decision.winner is None
        assert "nothing is known of cpu, memory, rps, latency and connections" in decision.reason

    def test_the_count_stays_without_any_metric_in_the_policy(self) -> None:
        decision = decide(only(), 3)
        assert decision.target == 3
        assert "no policy to scale by" in decision.reason

    def test_old_values_count_for_nothing_without_a_healthy_replica(self) -> None:
        decision = recommend(DEFAULT, situation(3, AppLoad(cpu_percent=1, p95_latency_ms=9999), healthy=0), NOW)
        assert decision.target == 3
        assert "no replica is healthy" in decision.reason


class TestUnhealthyReplicas:
    """``current`` is the count decided last, not the number that happens to be healthy."""

    def test_heavy_load_on_the_one_healthy_replica_does_not_shrink_the_app(self) -> None:
        decision = recommend(DEFAULT, situation(5, AppLoad(rps=200), healthy=1), NOW)
        assert (decision.target, decision.current) == (5, 5)
        assert decision.factors[2].value == 200

    def test_heavy_load_with_unhealthy_replicas_scales_out_from_the_count_decided(self) -> None:
        assert recommend(WIDE, situation(5, AppLoad(rps=200), healthy=1), NOW).target == 8

    def test_proportional_scaling_counts_unhealthy_replicas_as_idle_on_the_way_out(self) -> None:
        policy = only("rps", strategy="proportional", max_replicas=20, max_scale_out_step=20)
        assert recommend(policy, situation(5, AppLoad(rps=200), healthy=1), NOW).target == 5
        assert recommend(policy, situation(5, AppLoad(rps=400), healthy=2), NOW).target == 8

    def test_proportional_scaling_counts_unhealthy_replicas_as_on_target_on_the_way_in(self) -> None:
        policy = only("rps", strategy="proportional", max_scale_in_step=20)
        assert recommend(policy, situation(5, AppLoad(rps=40), healthy=1), NOW).target == 5
        assert recommend(policy, situation(5, AppLoad(rps=10), healthy=3), NOW).raw == 3


class TestProportional:
    @pytest.mark.parametrize(
        ("current", "rps", "target"),
        [
            (1, 100, 2),
            (4, 400, 8),
            (4, 100, 2),
            (4, 220, 4),  # 110 % of target: within the tolerance
            (4, 221, 5),
            (4, 180, 4),  # 90 %: within the tolerance
            (5, 179, 4),
            (3, 250, 5),  # 250 / 50 is exactly 5, whatever floating point makes of 250 / 3 / 50 × 3
            (7, 0, 1),
        ],
    )
    def test_proportional_scaling_goes_to_the_count_that_is_on_target(
        self, current: int, rps: float, target: int
    ) -> None:
        policy = only("rps", strategy="proportional", max_replicas=20, max_scale_out_step=20, max_scale_in_step=20)
        assert recommend(policy, situation(current, AppLoad(rps=rps)), NOW).target == target

    def test_proportional_scaling_goes_by_the_largest_metric(self) -> None:
        policy = only("rps", "cpu", strategy="proportional", max_replicas=20, max_scale_out_step=20)
        assert decide(policy, 4, rps=0.5, cpu=1.5).target == 6

    def test_a_missing_metric_blocks_proportional_scaling_in_only(self) -> None:
        policy = only("rps", "cpu", strategy="proportional", max_replicas=20)
        assert decide(policy, 4, rps=0.2, cpu=None).target == 4
        assert decide(policy, 4, rps=1.5, cpu=None).target == 6

    def test_steps_limit_proportional_scaling_both_ways(self) -> None:
        policy = only("rps", strategy="proportional", max_replicas=20)
        assert (decide(policy, 4, rps=4.0).raw, decide(policy, 4, rps=4.0).target) == (16, 7)
        assert (decide(policy, 9, rps=0.2).raw, decide(policy, 9, rps=0.2).target) == (2, 8)

    def test_an_absurd_value_is_no_overflow_of_proportional_scaling(self) -> None:
        policy = only("rps", strategy="proportional")
        assert recommend(policy, situation(3, AppLoad(rps=1e308)), NOW).target == 5


class TestCustomMetrics:
    QUEUE = CustomMetric(name="queue", query="jobs", target=100)
    JOBS = CustomMetric(name="jobs", query="running", target_per_replica=10)

    def decided(self, policy: Scaling, current: int, **values: float | None) -> ScalingDecision:
        return recommend(policy, situation(current, AppLoad(custom=values)), NOW)

    def test_the_target_of_a_custom_metric_is_for_the_value_itself(self) -> None:
        policy = only(metrics=(self.QUEUE,))
        assert self.decided(policy, 3, queue=81).target == 4
        assert self.decided(policy, 3, queue=29).target == 2

    def test_the_target_per_replica_of_a_custom_metric_is_for_its_share(self) -> None:
        policy = only(metrics=(self.JOBS,))
        assert self.decided(policy, 3, jobs=25).target == 4
        assert self.decided(policy, 3, jobs=8).target == 2

    @pytest.mark.parametrize("target", [0.01, 0.5, 1])
    def test_any_target_above_0_counts(self, target: float) -> None:
        policy = only(metrics=(CustomMetric(name="lag", query="lag", target=target),))
        decision = self.decided(policy, 3, lag=2 * target)
        assert (decision.winner, decision.raw) == ("lag", 6)

    @pytest.mark.parametrize("values", [{}, {"queue": None}])
    def test_a_custom_metric_that_can_not_be_had_blocks_scaling_in(self, values: dict[str, float | None]) -> None:
        policy = only("rps", metrics=(self.QUEUE,))
        decision = recommend(policy, situation(3, AppLoad(rps=0, custom=values)), NOW)
        assert decision.target == 3
        assert "nothing is known of queue" in decision.reason


class TestCountsThatPeopleSet:
    def test_manual_scaling_asks_for_its_count_whatever_the_load(self) -> None:
        decision = decide(Scaling(mode="manual", replicas=7), 3, rps=0.0)
        assert (decision.target, decision.should_scale, decision.clamps) == (7, True, ())
        assert "manual" in decision.reason

    def test_manual_scaling_without_a_number_means_the_minimum(self) -> None:
        assert decide(Scaling(mode="manual", min_replicas=2), 3).target == 2

    def test_manual_scaling_to_zero_stops_the_app(self) -> None:
        assert decide(Scaling(mode="manual", replicas=0), 3).target == 0

    @pytest.mark.parametrize("policy", [Scaling(paused_at=2), Scaling(mode="manual", replicas=5, paused_at=2)])
    def test_paused_scaling_holds_its_count_through_any_load(self, policy: Scaling) -> None:
        decision = decide(policy, 3, rps=9.0)
        assert decision.target == 2
        assert "pausedAt" in decision.reason

    def test_paused_scaling_may_hold_a_count_outside_the_bounds(self) -> None:
        assert decide(Scaling(paused_at=9), 3).target == 9

    @pytest.mark.parametrize("policy", [Scaling(mode="manual", replicas=7), Scaling(paused_at=7)])
    def test_counts_that_people_set_wait_for_nothing(self, policy: Scaling) -> None:
        busy = situation(3, AppLoad(), scaled_at=NOW - 1, unsettled="the rollout to end")
        assert recommend(policy, busy, NOW).target == 7

    def test_an_app_begins_with_the_count_that_its_policy_gives(self) -> None:
        assert initial_count(Scaling(min_replicas=2)) == 2
        assert initial_count(Scaling(mode="manual", replicas=0)) == 0
        assert initial_count(Scaling(mode="manual", min_replicas=3)) == 3
        assert initial_count(Scaling(paused_at=4)) == 4
        assert initial_count(Scaling(min_replicas=2), Bounds(4, 9, "schedule")) == 4


def test_no_custom_metric_can_have_the_name_of_a_built_in_one() -> None:
    decision = recommend(DEFAULT, situation(1, AppLoad()), NOW)
    assert tuple(factor.metric for factor in decision.factors) == BUILT_IN_METRICS

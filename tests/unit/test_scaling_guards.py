"""What may keep a recommendation from becoming a change, one guard at a time, and what has to be remembered for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.scaling.recommend import recommend, remember
from reconciler.model.load import AppLoad
from reconciler.model.scaling import Bounds, Headroom, ScalingDecision, ScalingSituation, ScalingState, Throughput
from reconciler.model.spec import Scaling
from tests.support.scaling import NOW, decide, load_at, only, situation

RPS = only("rps")
BUSY = AppLoad(rps=10_000)
IDLE = AppLoad(rps=0)


def names(decision: ScalingDecision) -> list[str]:
    return [clamp.name for clamp in decision.clamps]


class TestBounds:
    def test_heavy_load_changes_nothing_at_max_replicas(self) -> None:
        decision = decide(RPS, 5, rps=2.0)
        assert (decision.raw, decision.target, names(decision)) == (8, 5, ["maxReplicas"])

    def test_no_load_changes_nothing_at_min_replicas(self) -> None:
        decision = decide(RPS, 1, rps=0.0)
        assert (decision.raw, decision.target, names(decision)) == (0, 1, ["minReplicas"])

    @pytest.mark.parametrize(("current", "target"), [(1, 3), (2, 3), (7, 5), (20, 5), (0, 3)])
    def test_a_count_outside_its_bounds_is_brought_inside_at_once(self, current: int, target: int) -> None:
        policy = only("rps", min_replicas=3)
        busy = situation(current, BUSY, scaled_at=NOW - 1, unsettled="the rollout to end", headroom=Headroom(0, "full"))
        decision = recommend(policy, busy, NOW)
        assert decision.target == target
        assert "bounds hold at once, whatever the load" in decision.reason

    def test_the_bounds_of_a_schedule_override_those_of_the_policy(self) -> None:
        nightly = replace(situation(3, BUSY), bounds=Bounds(1, 2, "schedule 0 20 * * * (UTC)"))
        decision = recommend(RPS, nightly, NOW)
        assert decision.target == 2
        assert "maxReplicas is 2 by schedule 0 20 * * * (UTC)" in decision.reason


class TestCooldown:
    @pytest.mark.parametrize(("elapsed", "target"), [(0, 3), (29.9, 3), (30, 5), (31, 5)])
    def test_a_cooldown_holds_the_count_until_the_very_moment_it_ends(self, elapsed: float, target: int) -> None:
        decision = recommend(RPS, situation(3, BUSY, scaled_at=NOW - elapsed), NOW)
        assert decision.target == target
        assert ("cooldown" in names(decision)) is (target == 3)

    def test_a_cooldown_says_how_long_it_still_is(self) -> None:
        decision = recommend(RPS, situation(3, BUSY, scaled_at=NOW - 18), NOW)
        assert "in the cooldown of 30 s for another 12 s" in decision.reason
        assert "ended, in 12 s" in decision.next_step

    def test_a_cooldown_is_told_although_nothing_was_due(self) -> None:
        decision = recommend(RPS, situation(3, AppLoad(rps=75), scaled_at=NOW - 18), NOW)
        assert decision.clamps == ()
        assert "cooldown has ended, in 12 s" in decision.next_step

    def test_there_is_no_cooldown_where_no_count_ever_changed_or_the_policy_has_none(self) -> None:
        assert recommend(RPS, situation(3, BUSY), NOW).target == 5
        assert recommend(only("rps", cooldown_seconds=0), situation(3, BUSY, scaled_at=NOW), NOW).target == 5

    def test_a_clock_set_forward_ends_a_cooldown_early(self) -> None:
        assert recommend(RPS, situation(3, BUSY, scaled_at=NOW), NOW + 1e9).target == 5


class TestSettling:
    @pytest.mark.parametrize("load", [BUSY, IDLE])
    def test_no_count_changes_until_the_last_change_is_ready(self, load: AppLoad) -> None:
        decision = recommend(RPS, situation(3, load, healthy=2, unsettled="web-3 to become ready"), NOW)
        assert (decision.target, names(decision)[-1]) == (3, "settling")
        assert "waiting for web-3 to become ready" in decision.reason
        assert "after waiting for web-3 to become ready" in decision.next_step


class TestStabilization:
    POLICY = only("rps", cooldown_seconds=0, stabilization_window_seconds=60)

    def run(self, loads: list[tuple[float, float]], state: ScalingState) -> list[int]:
        """The counts decided at these times with this load in requests per replica."""
        counts = []
        for at, per_replica in loads:
            now = ScalingSituation(state, state.count, AppLoad(rps=per_replica * state.count))
            state = remember(self.POLICY, now, recommend(self.POLICY, now, NOW + at))
            counts.append(state.count)
        return counts

    def test_scaling_in_takes_a_whole_stabilization_window_of_recommending_fewer(self) -> None:
        idle = [(at, 0.0) for at in (0, 30, 59, 60, 61, 120, 121)]
        assert self.run(idle, ScalingState(5)) == [5, 5, 5, 4, 4, 4, 3]

    def test_a_stabilization_window_is_over_though_nobody_looked_as_it_ended(self) -> None:
        assert self.run([(0, 0.0), (59, 0.0), (65, 0.0)], ScalingState(5)) == [5, 5, 4]

    def test_one_busy_moment_starts_the_stabilization_window_anew(self) -> None:
        loads = [(0, 0.0), (50, 25.0), (60, 0.0), (109, 0.0), (120, 0.0)]
        assert self.run(loads, ScalingState(5)) == [5, 5, 5, 5, 4]

    def test_stabilization_does_not_hold_up_scaling_out(self) -> None:
        assert self.run([(0, 0.0), (1, 45.0)], ScalingState(3)) == [3, 4]

    def test_scaling_in_goes_only_to_the_highest_count_of_the_stabilization_window(self) -> None:
        policy = only(
            "rps", strategy="proportional", cooldown_seconds=0, stabilization_window_seconds=60, max_scale_in_step=9
        )
        state = ScalingState(5, None, ((NOW - 80, 5), (NOW - 70, 3)))
        decision = recommend(policy, ScalingSituation(state, 5, AppLoad(rps=45)), NOW)
        assert (decision.raw, decision.target, names(decision)) == (1, 3, ["stabilization"])

    def test_stabilization_takes_an_unknown_past_for_the_present_count(self) -> None:
        assert recommend(self.POLICY, situation(5, IDLE), NOW).target == 5

    def test_steady_load_leaves_the_history_of_recommendations_as_it_is(self) -> None:
        state = ScalingState(5)
        for at in range(0, 1000, 7):
            now = ScalingSituation(state, 5, AppLoad(rps=125))
            decision = recommend(self.POLICY, now, NOW + at)
            before, state = state, remember(self.POLICY, now, decision)
            assert at == 0 or state == before

    def test_the_history_of_recommendations_holds_no_more_than_counts_that_differ(self) -> None:
        state = ScalingState(5)
        for at in range(500):
            now = ScalingSituation(state, 5, AppLoad(rps=0 if at % 3 else 125))
            state = remember(self.POLICY, now, recommend(self.POLICY, now, NOW + at / 10))
            assert len(state.recommendations) <= 2

    def test_of_recommendations_that_rise_again_only_those_above_the_last_are_kept(self) -> None:
        state = ScalingState(9, None, ((NOW - 30, 9), (NOW - 20, 3)))
        policy = self.POLICY.model_copy(update={"strategy": "proportional", "max_replicas": 20})
        now = ScalingSituation(state, 9, AppLoad(rps=250))
        decision = recommend(policy, now, NOW)
        assert decision.raw == 5
        assert remember(policy, now, decision).recommendations == ((NOW - 30, 9), (NOW - 20, 5))

    def test_bounds_that_moved_the_count_begin_a_new_history_of_recommendations(self) -> None:
        outside = ScalingSituation(ScalingState(9, None, ((NOW - 10, 9),)), 9, IDLE)
        kept = remember(self.POLICY, outside, recommend(self.POLICY, outside, NOW))
        assert (kept.count, kept.recommendations) == (5, ((NOW, 5),))

    @pytest.mark.parametrize("policy", [RPS, only("rps", stabilization_window_seconds=60, paused_at=3)])
    def test_no_recommendation_is_kept_where_it_is_of_no_use(self, policy: Scaling) -> None:
        now = ScalingSituation(ScalingState(3, None, ((NOW, 3),)), 3, IDLE)
        assert remember(policy, now, recommend(policy, now, NOW)).recommendations == ()


class TestDiminishingReturns:
    POLICY = only("latency", "rps", max_replicas=20)

    def decided(self, served: float, latency: float, before: Throughput | None, healthy: int = 4) -> ScalingDecision:
        load = replace(load_at(self.POLICY, healthy, latency=latency), rps=served)
        return recommend(self.POLICY, ScalingSituation(ScalingState(4, None, (), before), healthy, load), NOW)

    def test_scaling_out_ends_when_more_replicas_brought_nothing(self) -> None:
        decision = self.decided(62, 2.0, Throughput(2, 60, "latency", 2.0))
        assert (decision.target, names(decision)) == (4, ["throughput"])
        assert "not scaling any further: throughput per replica fell by 48.3 %" in decision.reason
        assert "(from 30 to 15.5 requests per second) with 4 replicas instead of 2" in decision.reason

    @pytest.mark.parametrize(
        ("served", "latency", "before", "healthy"),
        [
            (90, 2.0, Throughput(2, 60, "latency", 2.0), 4),  # half as much again was served
            (62, 1.6, Throughput(2, 60, "latency", 2.0), 4),  # latency got better
            (190, 0.5, Throughput(2, 190, "rps", 2.0), 4),  # less for each replica is what was asked for
            (190, 0.9, Throughput(2, 190, "rps", 2.0), 4),
            (62, 2.0, Throughput(4, 60, "latency", 2.0), 4),  # none were added yet
            (62, 2.0, None, 4),
        ],
    )
    def test_scaling_out_goes_on_when_replicas_helped_or_it_is_not_known(
        self, served: float, latency: float, before: Throughput | None, healthy: int
    ) -> None:
        assert self.decided(served, latency, before, healthy).target > 4

    def test_scaling_out_is_held_against_the_metric_that_asked_for_it_and_no_other(self) -> None:
        policy = only("cpu", "latency", max_replicas=20)
        load = replace(load_at(policy, 4, cpu=0.1, latency=2.0), rps=62)
        before = ScalingState(4, None, (), Throughput(2, 60, "latency", 2.0))
        assert names(recommend(policy, ScalingSituation(before, 4, load), NOW)) == ["throughput"]

    def test_throughput_is_remembered_from_one_scale_out_until_the_pressure_ends(self) -> None:
        load = replace(load_at(self.POLICY, 2, latency=2.0), rps=60)
        now = situation(2, load)
        kept = remember(self.POLICY, now, recommend(self.POLICY, now, NOW))
        assert kept == ScalingState(5, NOW, (), Throughput(2, 60, "latency", 2.0), scaled_from=2)
        waiting = ScalingSituation(kept, 2, load, "web-3 to become ready")
        assert remember(self.POLICY, waiting, recommend(self.POLICY, waiting, NOW + 1)) == kept
        relieved = ScalingSituation(kept, 5, replace(load_at(self.POLICY, 5, latency=0.5), rps=60))
        assert remember(self.POLICY, relieved, recommend(self.POLICY, relieved, NOW + 40)).before_scale_out is None

    def test_what_was_served_is_remembered_of_a_scale_out_that_fell_short_of_what_load_asked_for(self) -> None:
        policy = only("latency", "rps", max_replicas=20, max_scale_out_step=1)
        now = situation(2, replace(load_at(policy, 2, latency=2.0), rps=60))
        decision = recommend(policy, now, NOW)
        assert (decision.raw, decision.target) == (5, 3)
        assert remember(policy, now, decision).before_scale_out == Throughput(2, 60, "latency", 2.0)

    @pytest.mark.parametrize("rps", [None, 0.0])
    def test_throughput_is_not_remembered_without_requests(self, rps: float | None) -> None:
        now = situation(2, replace(load_at(self.POLICY, 2, latency=2.0), rps=rps))
        assert remember(self.POLICY, now, recommend(self.POLICY, now, NOW)).before_scale_out is None


class TestNextStep:
    @pytest.mark.parametrize(("rps", "step"), [(45, "rps is below 15 per replica (now 15)"), (44.9, "")])
    def test_a_metric_at_the_scale_in_threshold_is_what_keeps_the_count(self, rps: float, step: str) -> None:
        decision = recommend(RPS, situation(3, AppLoad(rps=rps), unsettled="nobody"), NOW)
        assert ("in when" in decision.next_step) is bool(step)
        assert step in decision.next_step


class TestHostGuard:
    @pytest.mark.parametrize(("replicas", "target"), [(0, 3), (1, 4), (2, 5), (9, 5), (-4, 3)])
    def test_scaling_out_goes_no_further_than_the_host_can_hold(self, replicas: int, target: int) -> None:
        reason = f"the host's memory holds {replicas} more of 512 MiB"
        decision = recommend(RPS, situation(3, BUSY, headroom=Headroom(replicas, reason)), NOW)
        assert decision.target == target
        assert (reason in decision.reason) is (target < 5)
        assert ("host" in names(decision)) is (target < 5)

    @pytest.mark.parametrize("replicas", [0, -4])
    def test_scaling_in_needs_no_headroom(self, replicas: int) -> None:
        assert recommend(RPS, situation(3, IDLE, headroom=Headroom(replicas, "full")), NOW).target == 2


class TestDryRun:
    def test_a_dry_run_is_recorded_and_not_done(self) -> None:
        policy = only("rps", dry_run=True)
        now = situation(3, BUSY)
        decision = recommend(policy, now, NOW)
        assert (decision.target, decision.acted, decision.should_scale) == (5, False, False)
        assert decision.reason.startswith("dry run, would scale out from 3 to 5")
        assert remember(policy, now, decision) == now.state


class TestRemembering:
    def test_a_change_of_the_count_is_dated(self) -> None:
        now = situation(3, BUSY)
        kept = remember(RPS, now, recommend(RPS, now, NOW))
        assert (kept.count, kept.scaled_at) == (5, NOW)

    def test_the_scaling_state_stays_as_it_is_where_nothing_happens(self) -> None:
        now = situation(3, AppLoad(rps=75), scaled_at=NOW - 500)
        assert remember(RPS, now, recommend(RPS, now, NOW)) == now.state

    def test_the_gist_of_decisions_is_the_same_while_only_measurements_move(self) -> None:
        one = recommend(RPS, situation(3, AppLoad(rps=75)), NOW)
        two = recommend(RPS, situation(3, AppLoad(rps=76)), NOW + 5)
        assert one != two
        assert one.gist == two.gist
        assert recommend(RPS, situation(3, BUSY), NOW).gist != one.gist


class TestClampsInOrder:
    def test_each_clamp_takes_over_where_the_one_before_left_off(self) -> None:
        policy = only("rps", strategy="proportional", max_replicas=6, max_scale_out_step=4)
        decision = recommend(policy, situation(3, BUSY, headroom=Headroom(1, "full")), NOW)
        assert names(decision) == ["maxScaleOutStep", "maxReplicas", "host"]
        assert [(c.before, c.after) for c in decision.clamps] == [(200, 7), (7, 6), (6, 4)]
        assert decision.raw == 200

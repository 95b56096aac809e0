"""Warnings about policies: which ones get one, and that its numbers and remedies are right."""

from __future__ import annotations

import re

import pytest

from reconciler.decide.scaling.lint import warnings
from reconciler.model.spec import CustomMetric, Scaling, ScheduledBounds
from tests.support.scaling import only


def test_the_default_policy_gets_no_warning() -> None:
    assert warnings(Scaling()) == []


@pytest.mark.parametrize(
    ("min_replicas", "scale_in", "scale_out", "warned"),
    [
        (1, 40, 80, False),  # two at just under 40 % leave one at just under 80 %
        (1, 41, 80, True),
        (2, 53, 80, False),
        (2, 54, 80, True),
        (4, 64, 80, False),
        (4, 65, 80, True),
        (10, 72, 80, False),
        (10, 73, 80, True),
    ],
)
def test_thresholds_too_near_for_the_fewest_replicas_get_a_warning(
    min_replicas: int, scale_in: int, scale_out: int, warned: bool
) -> None:
    policy = Scaling(
        min_replicas=min_replicas, max_replicas=20, scale_in_threshold_pct=scale_in, scale_out_threshold_pct=scale_out
    )
    assert bool(warnings(policy)) is warned


def test_a_warning_about_a_policy_has_the_numbers_and_the_way_out() -> None:
    (warning,) = warnings(Scaling(scale_in_threshold_pct=50))
    assert "must flap between 2 and 1 replicas" in warning
    assert "2 replicas at 50 % leave 1 at 100 %, which is above scaleOutThresholdPct (80)" in warning
    assert "scaleInThresholdPct of at most 40 or minReplicas of at least 2 would hold still" in warning


@pytest.mark.parametrize(("scale_in", "scale_out"), [(50, 80), (60, 80), (79, 80), (1, 1.5), (45.5, 70.25)])
def test_either_remedy_ends_a_warning_about_a_policy(scale_in: float, scale_out: float) -> None:
    thresholds = {"scale_in_threshold_pct": scale_in, "scale_out_threshold_pct": scale_out}
    (warning,) = warnings(Scaling(max_replicas=100, **thresholds))
    remedies = dict(re.findall(r"(\w+) of at (?:most|least) (\d+)", warning))
    assert remedies
    if "minReplicas" in remedies:
        assert not warnings(Scaling(min_replicas=int(remedies["minReplicas"]), max_replicas=100, **thresholds))
    if "scaleInThresholdPct" in remedies:
        lower = {**thresholds, "scale_in_threshold_pct": int(remedies["scaleInThresholdPct"])}
        assert not warnings(Scaling(max_replicas=100, **lower))


@pytest.mark.parametrize(
    ("scale_in", "scale_out", "remedy"),
    [
        (1.5, 2, "scaleInThresholdPct of at most 1 or minReplicas of at least 3"),
        (1.5, 1.9, "minReplicas of at least 4"),
        (1.5, 1.6, "a wider gap between the thresholds"),  # 15 replicas, where 10 are allowed
    ],
)
def test_no_remedy_is_named_that_a_policy_can_not_have(scale_in: float, scale_out: float, remedy: str) -> None:
    (warning,) = warnings(Scaling(max_replicas=10, scale_in_threshold_pct=scale_in, scale_out_threshold_pct=scale_out))
    assert f"so one is added again; {remedy} would hold still" in warning


def test_scheduled_bounds_are_warned_of_as_well() -> None:
    nights = ScheduledBounds(cron="0 20 * * *", min_replicas=1, max_replicas=4)
    policy = Scaling(min_replicas=5, max_replicas=10, scale_in_threshold_pct=60, schedule=(nights,))
    (warning,) = warnings(policy)
    assert "between 2 and 1 replicas (schedule 0 20 * * *)" in warning


@pytest.mark.parametrize(
    "policy",
    [
        Scaling(mode="manual", scale_in_threshold_pct=79),
        Scaling(min_replicas=3, max_replicas=3, scale_in_threshold_pct=79),
        Scaling(strategy="proportional", scale_in_threshold_pct=79),
    ],
)
def test_thresholds_are_warned_of_only_where_they_move_something(policy: Scaling) -> None:
    assert warnings(policy) == []


@pytest.mark.parametrize("strategy", ["step", "proportional"])
def test_latency_as_the_only_metric_gets_a_warning(strategy: str) -> None:
    (warning,) = warnings(only("latency", strategy=strategy))
    assert "maxP95LatencyMs is the only metric" in warning
    low, high = ("75 ms", "200 ms") if strategy == "step" else ("225 ms", "275 ms")
    assert low in warning
    assert high in warning


def test_latency_beside_another_metric_gets_no_warning() -> None:
    assert warnings(only("latency", "cpu")) == []
    assert warnings(only("latency", metrics=(CustomMetric(name="queue", query="q", target=1),))) == []


@pytest.mark.parametrize(("cooldown", "warned"), [(0, True), (19.5, True), (20, False), (30, False)])
def test_a_cooldown_shorter_than_the_window_gets_a_warning(cooldown: float, warned: bool) -> None:
    found = warnings(Scaling(cooldown_seconds=cooldown))
    assert bool(found) is warned
    assert not warned or f"for {20 - cooldown:g} s decisions rest on load from before" in found[0]


def test_a_tcp_app_can_only_grow_unless_what_cannot_be_measured_is_0() -> None:
    assert warnings(Scaling(), "worker") == []
    (warning,) = warnings(Scaling(max_replicas=7), "tcp")
    assert "grows to as many as 7 replicas and never shrinks" in warning
    assert "targetRPSPerReplica (50), maxP95LatencyMs (250) and maxConnPerReplica (80)" in warning
    (warning,) = warnings(Scaling(target_rps_per_replica=0, max_conn_per_replica=0), "tcp")
    assert "what maxP95LatencyMs (250) would be" in warning
    measured = Scaling(target_rps_per_replica=0, max_conn_per_replica=0, max_p95_latency_ms=0)
    assert warnings(measured, "tcp") == []
    assert warnings(Scaling(mode="manual"), "tcp") == []

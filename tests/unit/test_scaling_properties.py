"""What holds for scaling decisions whatever the policy and the load."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from reconciler.decide.scaling.lint import warnings
from reconciler.decide.scaling.metrics import Case
from reconciler.decide.scaling.recommend import initial_count, recommend, remember
from reconciler.decide.scaling.strategies import in_factor, out_factor
from reconciler.model.load import AppLoad
from reconciler.model.scaling import Bounds, Headroom, ScalingSituation, ScalingState
from reconciler.model.spec import CustomMetric, Scaling
from tests.support.scaling import METRIC_FIELDS, NOW

CUSTOM = (
    CustomMetric(name="queue", query="a", target=100),
    CustomMetric(name="jobs", query="b", target_per_replica=10),
    CustomMetric(name="lag", query="c", target=3),
)
TARGETS = {"target_rps_per_replica": 50, "max_p95_latency_ms": 250, "max_conn_per_replica": 80}
TARGETS |= {"max_cpu_percent": 70, "max_memory_percent": 75}
amounts = st.floats(0, 5000)


@st.composite
def policies(draw: st.DrawFn, max_replicas: int = 30) -> Scaling:
    min_replicas = draw(st.integers(1, max_replicas))
    scale_out = draw(st.integers(2, 100))
    off = draw(st.sets(st.sampled_from(sorted(METRIC_FIELDS.values())), max_size=4))
    return Scaling(
        min_replicas=min_replicas,
        max_replicas=draw(st.integers(min_replicas, max_replicas)),
        scale_out_threshold_pct=scale_out,
        scale_in_threshold_pct=draw(st.integers(1, scale_out - 1)),
        window_seconds=draw(st.integers(1, 60)),
        cooldown_seconds=draw(st.integers(0, 90)),
        stabilization_window_seconds=draw(st.sampled_from([0, 0, 30, 300])),
        max_scale_out_step=draw(st.integers(1, 5)),
        max_scale_in_step=draw(st.integers(1, 5)),
        strategy=draw(st.sampled_from(["step", "proportional"])),
        **{field: 0 if field in off else target for field, target in TARGETS.items()},
    )


@st.composite
def loads(draw: st.DrawFn) -> AppLoad:
    maybe = st.none() | amounts
    custom = {metric.name: draw(maybe) for metric in CUSTOM}
    return AppLoad(*(draw(maybe) for _ in range(5)), custom=custom)


@st.composite
def situations(draw: st.DrawFn) -> ScalingSituation:
    count = draw(st.integers(0, 40))
    past = st.floats(0, 2000).map(lambda ago: NOW - ago)
    recommendations = draw(st.lists(st.tuples(past, st.integers(0, 40)), max_size=4).map(sorted))
    state = ScalingState(count, draw(st.none() | past), tuple(recommendations))
    return ScalingSituation(
        state,
        healthy=draw(st.integers(0, count + 2)),
        load=draw(loads()),
        unsettled=draw(st.sampled_from(["", "", "", "the rollout to end"])),
        headroom=draw(st.none() | st.integers(0, 10).map(lambda replicas: Headroom(replicas, "that is all"))),
    )


@given(policies(), situations(), st.none() | st.integers(1, 20))
def test_a_scaling_decision_is_within_the_bounds(policy: Scaling, now: ScalingSituation, scheduled: int | None) -> None:
    bounds = None if scheduled is None else Bounds(scheduled, scheduled + 3, "schedule")
    min_replicas, max_replicas = (scheduled, scheduled + 3) if scheduled else (policy.min_replicas, policy.max_replicas)
    assert min_replicas <= recommend(policy, replace(now, bounds=bounds), NOW).target <= max_replicas


@given(policies(), situations(), st.data())
def test_more_load_never_gives_fewer_replicas(policy: Scaling, now: ScalingSituation, data: st.DataObject) -> None:
    policy = policy.model_copy(update={"metrics": CUSTOM})

    def more(value: float | None) -> float | None:
        return None if value is None else value + data.draw(amounts)

    names = ("cpu_percent", "memory_percent", "rps", "p95_latency_ms", "connections")
    grown: dict[str, Any] = {name: more(getattr(now.load, name)) for name in names}
    grown["custom"] = {name: more(value) for name, value in now.load.custom.items()}
    busier = replace(now, load=AppLoad(**grown))
    assert recommend(policy, busier, NOW).target >= recommend(policy, now, NOW).target


@given(policies(), situations(), st.permutations(CUSTOM))
def test_the_order_of_metrics_does_not_matter_to_a_scaling_decision(
    policy: Scaling, now: ScalingSituation, order: list[CustomMetric]
) -> None:
    one = recommend(policy.model_copy(update={"metrics": CUSTOM}), now, NOW)
    other = recommend(policy.model_copy(update={"metrics": tuple(order)}), now, NOW)
    assert one == other


@given(policies(), situations())
def test_a_metric_that_goes_missing_never_takes_replicas_away(policy: Scaling, now: ScalingSituation) -> None:
    policy = policy.model_copy(update={"target_rps_per_replica": 50})
    within = max(policy.min_replicas, min(now.current, policy.max_replicas))
    blind = replace(now, state=replace(now.state, count=within), load=replace(now.load, rps=None))
    assert recommend(policy, blind, NOW).target >= within


@given(policies(), situations())
def test_every_clamp_of_a_scaling_decision_begins_where_the_one_before_ended(
    policy: Scaling, now: ScalingSituation
) -> None:
    decision = recommend(policy, now, NOW)
    assert decision.reason
    assert decision.next_step
    number = decision.raw
    for clamp in decision.clamps:
        assert clamp.before == number != clamp.after
        number = clamp.after
    assert number == decision.target
    known = [factor.factor for factor in decision.factors if factor.factor is not None]
    winners = [factor.factor for factor in decision.factors if factor.metric == decision.winner]
    assert winners == ([max(known)] if known else [])


@given(policies(), situations())
def test_deciding_a_count_again_at_the_same_moment_changes_nothing(policy: Scaling, now: ScalingSituation) -> None:
    """A tick may come twice; with a cooldown the second one finds the first one's change in place."""
    assume(policy.cooldown_seconds > 0)
    state = remember(policy, now, recommend(policy, now, NOW))
    again = recommend(policy, replace(now, state=state), NOW)
    assert again.target == state.count or state.count == now.current


@dataclass(frozen=True)
class ConstantLoad:
    """Load that stays as it is: shared equally, on top of what each replica has of its own."""

    shared: dict[str, float]
    own: dict[str, float]

    def on(self, count: int) -> dict[str, float]:
        return {name: self.own.get(name, 0.0) + total / count for name, total in self.shared.items()}


constant_loads = st.builds(
    ConstantLoad,
    st.fixed_dictionaries(
        {
            "cpu": st.floats(0, 1500),
            "memory": st.floats(0, 500),
            "rps": st.floats(0, 1200),
            "latency": st.floats(0, 2000),
            "connections": st.floats(0, 2000),
        }
    ),
    st.fixed_dictionaries({"memory": st.floats(0, 60), "latency": st.floats(0, 200)}),
)


def driven(policy: Scaling, load: ConstantLoad, start: int, rounds: int) -> list[int]:
    """The counts under constant load, where cpu, memory and latency are means over the window, as they are measured."""
    period = max(1.0, policy.cooldown_seconds / 2, policy.stabilization_window_seconds / 4)
    state, samples, counts = ScalingState(start), [], []
    for step in range(rounds):
        now = NOW + step * period
        samples += [(now, load.on(state.count))]
        samples = [(at, sample) for at, sample in samples if at > now - policy.window_seconds]
        mean = {
            name: sum(sample[name] for _, sample in samples) / len(samples) for name in ("cpu", "memory", "latency")
        }
        measured = AppLoad(mean["cpu"], mean["memory"], load.shared["rps"], mean["latency"], load.shared["connections"])
        situation = ScalingSituation(state, state.count, measured)
        state = remember(policy, situation, recommend(policy, situation, now))
        counts.append(state.count)
    return counts


@st.composite
def nearly_calm(draw: st.DrawFn) -> Scaling:
    """Policies at the edge of what is warned of, most of them on its calm side."""
    policy = draw(policies(max_replicas=8))
    window = policy.window_seconds
    scale_out = int(policy.scale_out_threshold_pct)
    edge = min(scale_out - 1, scale_out * policy.min_replicas // (policy.min_replicas + 1) + 1)
    return policy.model_copy(
        update={
            "scale_in_threshold_pct": draw(st.integers(1, edge)),
            "cooldown_seconds": draw(st.integers(int(window) - 1, int(window) + 60)),
        }
    )


@given(nearly_calm(), constant_loads, st.data())
def test_a_policy_without_a_warning_settles_under_constant_load(
    policy: Scaling, load: ConstantLoad, data: st.DataObject
) -> None:
    assume(not warnings(policy))
    start = data.draw(st.integers(policy.min_replicas, policy.max_replicas))
    counts = driven(policy, load, start, rounds=100)
    moves = [after - before for before, after in pairwise(counts) if after != before]
    inward = next((place for place, move in enumerate(moves) if move < 0), len(moves))
    assert not any(move > 0 for move in moves[inward:]), counts
    assert len(set(counts[60:])) == 1, counts


@st.composite
def flapping_thresholds(draw: st.DrawFn) -> tuple[int, int, int]:
    min_replicas, scale_out = draw(st.integers(1, 20)), draw(st.integers(2, 100))
    too_near = int(scale_out * min_replicas / (min_replicas + 1)) + 1
    assume(too_near < scale_out)
    return min_replicas, draw(st.integers(too_near, scale_out - 1)), scale_out


@given(flapping_thresholds())
@example((1, 50, 80))
@example((1, 41, 80))
def test_a_policy_warned_of_does_flap(thresholds: tuple[int, int, int]) -> None:
    min_replicas, scale_in, scale_out = thresholds
    policy = Scaling(
        min_replicas=min_replicas,
        max_replicas=min_replicas + 4,
        scale_in_threshold_pct=scale_in,
        scale_out_threshold_pct=scale_out,
        **{field: 0 for field in TARGETS if field != "target_rps_per_replica"},
    )
    assert ["must flap" in warning for warning in warnings(policy)] == [True]
    just_under = ConstantLoad(dict.fromkeys(METRIC_FIELDS, 0.0), {})
    just_under.shared["rps"] = 50 * (min_replicas + 1) * (scale_in / 100) * (1 - 1e-9)
    counts = driven(policy, just_under, initial_count(policy), rounds=100)
    assert len(set(counts[50:])) > 1, counts


@given(policies(), st.integers(1, 30), st.integers(1, 30))
def test_the_thresholds_that_a_decision_shows_are_the_ones_in_force(
    policy: Scaling, current: int, healthy: int
) -> None:
    """What `explain` names as the next step is where the number really changes."""
    alone = dict.fromkeys(TARGETS, 0) | {"target_rps_per_replica": 50.0}
    alone |= {"min_replicas": 1, "max_replicas": 1000, "stabilization_window_seconds": 0}
    policy = policy.model_copy(update=alone)
    healthy = min(current, healthy)

    def count_at(factor: float) -> int:
        situation = ScalingSituation(ScalingState(current), healthy, AppLoad(rps=factor * 50 * healthy))
        return recommend(policy, situation, NOW).target

    case = Case.of(policy, ScalingSituation(ScalingState(current), healthy), NOW)
    out_at, in_at = out_factor(case), in_factor(case)
    assert count_at(out_at * 1.0001) > current >= count_at(out_at * 0.9999)
    if current > 1 and in_at > 0:
        assert count_at(in_at * 0.9999) < current <= count_at(in_at * 1.0001)

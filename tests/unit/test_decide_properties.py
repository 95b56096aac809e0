"""What holds of every decision, whatever has happened before: asked at each moment of random scenarios.

Here are the properties of deciding itself. What decisions must never lead to is asked of the world, by the scenarios'
own witness. ``EXAMPLES=2000`` tells others than the usual few, which stay the same.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from reconciler.decide.plan import Decision, conclude, decide
from reconciler.decide.reconcile import ReplicaSets
from reconciler.model.actions import Action
from reconciler.model.desired import Problem
from reconciler.model.observed import Observed
from reconciler.model.plan import DecisionSettings, Plan
from reconciler.model.routes import Publication
from reconciler.model.state import State
from tests.scenarios.scenario import Scenario

T = TypeVar("T")

SETTINGS = DecisionSettings()
FEW = settings(
    max_examples=int(os.environ.get("EXAMPLES", "15")),
    stateful_step_count=20,
    derandomize="EXAMPLES" not in os.environ,
)


def the_order_of_inputs_does_not_matter(observed: Observed, state: State, decision: Decision) -> None:
    chance = random.Random(0)
    again = decide(_shuffled_observed(observed, chance), _shuffled_state(state, chance), SETTINGS)
    assert again.plan == decision.plan


def a_look_at_which_nothing_has_changed_tells_nothing_and_remembers_the_same(
    observed: Observed, state: State, decision: Decision
) -> None:
    if decision.plan.routes != state.published.table:
        return  # What is published changes what is next.
    publication = Publication(decision.plan.routes, state.published.generation, "unchanged")
    first = conclude(decision, publication, observed.at)
    if first.state.replicas != decision.plan.state.replicas:
        return  # The edge was down before, and now proves what was only expected.
    if any(app_decision.view.unready_dependencies for app_decision in decision.apps.values()):
        return  # That another app became ready counts for those that depend on it from the next look.
    if any(event.type == "rollout" for event in decision.plan.events):
        return  # Where a rollout has begun, failed or moved on, the next step is for the next look.
    under_way = (*observed.in_flight, *decision.plan.actions)
    second = decide(replace(observed, samples=(), outcomes=(), in_flight=under_way), first.state, SETTINGS)
    assert second.plan.events == ()
    assert second.plan.actions == ()
    if not decision.plan.actions and not decision.plan.events:
        assert conclude(second, publication, observed.at) == replace(first, events=())


def a_spec_that_was_broken_is_as_if_it_had_not_been_touched(
    observed: Observed, state: State, decision: Decision
) -> None:
    apps = {name: app.version for name, app in state.apps.items()}
    untouched = replace(observed.desired, apps=apps, problems=())
    expected = decide(replace(observed, desired=untouched), state, SETTINGS).plan
    for name, app in state.apps.items():
        problem = Problem(app.version.path, 1, "", "a mess", "a spec", name)
        others = {other: version for other, version in untouched.apps.items() if other != name}
        broken = replace(untouched, apps=others, problems=(problem,))
        plan = decide(replace(observed, desired=broken), state, SETTINGS).plan
        assert _known(plan, state) == _known(expected, state)
        assert plan.routes == expected.routes


def whatever_is_not_as_asked_for_is_being_done_or_waited_for(
    observed: Observed, state: State, decision: Decision
) -> None:
    plan = decision.plan
    names = {told.app_name for told in (*plan.waits, *plan.actions, *observed.in_flight)}
    publication = Publication(plan.routes, state.published.generation, "unchanged")
    for name, status in conclude(decision, publication, observed.at).statuses.items():
        moving = any(c.type == "Progressing" and c.status for c in status.conditions)
        assert not moving or name in names or status.error, status


def each_replica_that_exists_is_in_exactly_one_set(_: Observed, __: State, decision: Decision) -> None:
    for app_decision in decision.apps.values():
        sets = ReplicaSets.of(app_decision.view)
        placed = Counter(replica.name for set_ in fields(sets) for replica in getattr(sets, set_.name))
        assert placed == Counter(replica.name for replica in app_decision.view.existing), sets


def the_counts_of_a_composition_add_up(_: Observed, __: State, decision: Decision) -> None:
    for app_decision in decision.apps.values():
        view, counts = app_decision.view, app_decision.view.composition.counts
        assert sum(counts.values()) == (len(view.existing) if view.suspended else view.count), counts
        assert all(count >= 0 for count in counts.values()), counts


PROPERTIES: tuple[Callable[[Observed, State, Decision], None], ...] = (
    the_order_of_inputs_does_not_matter,
    a_look_at_which_nothing_has_changed_tells_nothing_and_remembers_the_same,
    a_spec_that_was_broken_is_as_if_it_had_not_been_touched,
    whatever_is_not_as_asked_for_is_being_done_or_waited_for,
    each_replica_that_exists_is_in_exactly_one_set,
    the_counts_of_a_composition_add_up,
)


@pytest.mark.parametrize("property_", PROPERTIES, ids=lambda property_: property_.__name__)
def test_of_every_decision(property_: Callable[[Observed, State, Decision], None]) -> None:
    class Looking(Scenario):
        def look(self, observed: Observed, state: State, decision: Decision) -> None:
            property_(observed, state, decision)

    run_state_machine_as_test(Looking, settings=FEW)


def _known(plan: Plan, state: State) -> list[Action]:
    """The actions but for those on containers of unknown apps, which stay while any file is broken."""
    return [action for action in plan.actions if action.app_name in state.apps]


def _shuffled_observed(observed: Observed, chance: random.Random) -> Observed:
    def shuffle(values: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(chance.sample(values, len(values)))

    return replace(
        observed,
        desired=replace(observed.desired, apps=_shuffled(observed.desired.apps, chance)),
        inventory=replace(observed.inventory, containers=shuffle(observed.containers)),
        samples=shuffle(observed.samples),
        outcomes=shuffle(observed.outcomes),
        in_flight=shuffle(observed.in_flight),
    )


def _shuffled_state(state: State, chance: random.Random) -> State:
    return replace(state, apps=_shuffled(state.apps, chance), replicas=_shuffled(state.replicas, chance))


def _shuffled(mapping: Mapping[str, T], chance: random.Random) -> dict[str, T]:
    return dict(chance.sample(list(mapping.items()), len(mapping)))

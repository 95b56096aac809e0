"""What holds of every decision, whatever has happened before: properties over random lives of a few apps.

They are written against what the decisions lead to, with arithmetic of their own, and share nothing with
`decide.invariants`. ``EXAMPLES=2000`` looks further than the usual few.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.decide.plan import conclude, decide
from reconciler.model.actions import CheckCreation, CreateReplica, EnsureImage, RemoveReplica
from reconciler.model.desired import Problem
from reconciler.model.observed import Observed
from reconciler.model.plan import DecisionSettings, Plan
from reconciler.model.routes import Publication
from reconciler.model.state import AppState, State
from reconciler.model.version import Version
from tests.support.apps import desired
from tests.support.mishaps import Mishap, lives, peace
from tests.support.stage import Stage

T = TypeVar("T")

SETTINGS = DecisionSettings()
FEW = settings(max_examples=int(os.environ.get("EXAMPLES", "25")))


def lived(life: Sequence[Mishap]) -> Iterator[Stage]:
    """A stage before each tick of this life."""
    stage = Stage(desired(), settings=SETTINGS)
    for mishap in life:
        mishap.strike(stage)
        for _ in range(mishap.ticks):
            yield stage
            stage.tick(mishap.seconds)


def seen_by(stage: Stage) -> Observed:
    """What the next tick will see; the stage itself doesn't move on."""
    outcomes = list(stage.outcomes)
    observed = stage.observe()
    stage.outcomes = [*observed.outcomes] if observed.outcomes else outcomes
    return observed


def decided(stage: Stage, observed: Observed) -> Plan:
    return decide(observed, stage.state, SETTINGS).plan


@FEW
@given(lives(), st.randoms(use_true_random=False))
def test_the_order_of_inputs_does_not_matter(life: list[Mishap], chance: random.Random) -> None:
    for stage in lived(life):
        observed = seen_by(stage)
        assert (
            decided(stage, observed)
            == decide(_shuffled_observed(observed, chance), _shuffled_state(stage.state, chance), SETTINGS).plan
        )


@FEW
@given(lives())
def test_a_look_at_which_nothing_has_changed_tells_nothing_and_remembers_the_same(life: list[Mishap]) -> None:
    for stage in lived(life):
        observed = seen_by(stage)
        decision = decide(observed, stage.state, SETTINGS)
        if decision.plan.routes != stage.state.published.table:
            continue  # What is published changes what is next.
        publication = Publication(decision.plan.routes, stage.state.published.generation, "unchanged")
        first = conclude(decision, publication, stage.now)
        if first.state.replicas != decision.plan.state.replicas:
            continue  # The edge was down before, and now proves what was only expected.
        under_way = (*observed.in_flight, *decision.plan.actions)
        again = replace(observed, samples=(), outcomes=(), in_flight=under_way)
        second = decide(again, first.state, SETTINGS)
        assert second.plan.events == ()
        assert second.plan.actions == ()
        if not decision.plan.actions and not decision.plan.events:
            assert conclude(second, publication, stage.now) == replace(first, events=())


@FEW
@given(lives())
def test_never_more_than_replicas_and_surge_by_what_we_do(life: list[Mishap]) -> None:
    for stage in lived(life):
        observed = seen_by(stage)
        plan = decided(stage, observed)
        there = {c.name: c.app_name for c in observed.containers}
        there |= {a.name: a.app_name for a in observed.in_flight if isinstance(a, CreateReplica)}
        for name, app in plan.state.apps.items():
            created = {a.name for a in plan.actions if isinstance(a, CreateReplica) and a.app_name == name}
            existing = {one for one, app_name in there.items() if app_name == name}
            if created - existing:
                assert len(existing | created) <= app.count + surge_of(app)


@FEW
@given(lives())
def test_never_fewer_ready_and_routed_than_promised_by_what_we_do(life: list[Mishap]) -> None:
    for stage in lived(life):
        if stage.down or stage.refused:
            continue
        observed = seen_by(stage)
        plan = decided(stage, observed)
        ready = {name for name, replica in plan.state.replicas.items() if replica.ready_at is not None}
        before, after = stage.state.published.table.routed_names(), plan.routes.routed_names()
        for name, app in plan.state.apps.items():
            own = {one for one in ready if plan.state.replicas[one].app_name == name}
            if app.missing_since is None and app.version.app.spec.type == "http" and own & after < own & before:
                assert len(own & after) >= least_of(app), (name, sorted(own & before), sorted(own & after))


@FEW
@given(lives())
def test_nothing_that_is_published_is_stopped_and_nothing_foreign_is_named(life: list[Mishap]) -> None:
    for stage in lived(life):
        observed = seen_by(stage)
        plan = decided(stage, observed)
        ours = {container.id for container in observed.containers}
        routed = stage.state.published.table.routed_names()
        for action in plan.actions:
            if isinstance(action, EnsureImage | CheckCreation):
                continue
            assert action.name not in observed.inventory.foreign_names
            assert isinstance(action, CreateReplica) or action.container_id in ours
            assert not isinstance(action, RemoveReplica) or action.name not in routed
        assert not any("invariant" in wait.message for wait in plan.waits)


@FEW
@given(lives())
def test_addresses_are_never_given_twice(life: list[Mishap]) -> None:
    for stage in lived(life):
        observed = seen_by(stage)
        created = [a for a in decided(stage, observed).actions if isinstance(a, CreateReplica)]
        fresh = [action.address for action in created]
        others = [c.address for c in observed.containers if c.name not in {action.name for action in created}]
        assert len(set(fresh)) == len(fresh)
        assert not set(fresh) & {*others, *observed.inventory.foreign_addresses}


@FEW
@given(lives())
def test_a_spec_that_was_broken_is_as_if_it_had_not_been_touched(life: list[Mishap]) -> None:
    for stage in lived(life):
        observed = seen_by(stage)
        untouched = replace(stage.desired, apps={name: app.version for name, app in stage.state.apps.items()})
        for name, app in stage.state.apps.items():
            problem = Problem(app.version.path, 1, "", "a mess", "a spec", name)
            others = {other: version for other, version in untouched.apps.items() if other != name}
            broken = replace(untouched, apps=others, problems=(problem,))
            expected = decide(replace(observed, desired=untouched), stage.state, SETTINGS).plan
            plan = decide(replace(observed, desired=broken), stage.state, SETTINGS).plan
            assert plan.actions == expected.actions
            assert plan.routes == expected.routes


@FEW
@given(lives())
def test_whatever_is_not_as_asked_for_is_being_done_or_waited_for(life: list[Mishap]) -> None:
    for stage in lived(life):
        if stage.plan is None:
            continue
        said = {wait.app_name for wait in stage.plan.waits} | {a.app_name for a in stage.in_flight.values()}
        said |= {action.app_name for action in stage.plan.actions}
        for name, status in stage.statuses.items():
            moving = any(c.type == "Progressing" and c.status for c in status.conditions)
            assert not moving or name in said or status.error, status


@FEW
@given(lives(most=20))
def test_once_nothing_goes_wrong_any_more_everything_becomes_as_asked_for(life: list[Mishap]) -> None:
    *_, stage = lived(life)
    peace(stage)
    for _ in range(80):
        stage.tick(10.0)
    assert stage.plan is not None
    assert stage.plan.actions == ()
    for name, status in stage.statuses.items():
        app = stage.state.apps[name]
        if app.pacing.creation and app.pacing.creation.until_changed:
            continue  # Rejected: only another spec can help.
        states = {condition.type: condition.status for condition in status.conditions}
        assert not states["Progressing"], status
        if not app.version.app.spec.suspend and not app.failed:
            assert status.ready == status.desired == len(status.replicas), status


def surge_of(app: AppState) -> int:
    """The larger one of the two versions that may be aimed at."""
    return max(amount(version.app.max_surge, app.count, math.ceil) for version in _possible_targets(app))


def least_of(app: AppState) -> int:
    """How many have to serve, by the more generous one of the two versions that may be aimed at."""
    return app.count - max(unavailable_of(version, app.count) for version in _possible_targets(app))


def unavailable_of(version: Version, count: int) -> int:
    allowed = amount(version.app.max_unavailable, count, math.floor)
    return allowed or (0 if amount(version.app.max_surge, count, math.ceil) else 1)


def _possible_targets(app: AppState) -> list[Version]:
    return [version for version in (app.version, app.stable) if version is not None]


def amount(given: int | str, count: int, rounding: Callable[[float], int]) -> int:
    return given if isinstance(given, int) else rounding(int(given.removesuffix("%")) * count / 100)


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

"""The last check before anything is done: every way a plan could break a promise is seen, and nothing else is.

No plan breaks one, as the properties show; so the actions here are made up.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.app_view import AppView
from reconciler.decide.invariants import violations
from reconciler.decide.plan import decide
from reconciler.model.actions import Action, CreateReplica, EnsureImage, RemoveReplica, StartReplica, StopReplica
from reconciler.model.observed import ContainerState, Observed
from tests.support.apps import desired, version
from tests.support.stage import Stage


@pytest.fixture
def stage() -> Stage:
    """Two replicas serve."""
    stage = Stage(desired(version()))
    stage.settle()
    return stage


def stop(stage: Stage, name: str) -> StopReplica:
    return StopReplica("web", name, stage.containers[name].id, "made up", 10)


def remove(stage: Stage, name: str) -> RemoveReplica:
    return RemoveReplica("web", name, stage.containers[name].id, "made up")


def create(stage: Stage, slot: int, address: str) -> CreateReplica:
    target = stage.state.apps["web"].version
    return CreateReplica("web", target, slot, f"web-{slot}", address, 2, "made up")


def broken(
    stage: Stage, *actions: Action, routed: frozenset[str] = frozenset(), in_flight: tuple[Action, ...] = ()
) -> list[str]:
    """What is said of these actions."""
    observed, view = seen(stage)
    found = violations(actions, {"web": view}, replace(observed, in_flight=in_flight), routed)
    assert all(violation.app_name == "web" for violation in found)
    return [violation.message for violation in found]


def seen(stage: Stage) -> tuple[Observed, AppView]:
    observed = stage.observe()
    decision = decide(observed, stage.state, stage.settings)
    return observed, decision.apps["web"].view


def test_a_start_and_a_pull_break_no_invariant(stage: Stage) -> None:
    target = stage.state.apps["web"].version
    start = StartReplica("web", "web-1", stage.containers["web-1"].id, "made up")
    assert broken(stage, start, EnsureImage("web", target, "made up")) == []


def test_removing_a_routed_replica_breaks_an_invariant(stage: Stage) -> None:
    (message,) = broken(stage, remove(stage, "web-1"), routed=frozenset({"web-1"}))[:1]
    assert message == "would remove web-1, which the published table routes to"


def test_leaving_fewer_ready_than_promised_breaks_an_invariant(stage: Stage) -> None:
    assert broken(stage, stop(stage, "web-1")) == ["would leave 1 ready replicas, at least 2 are promised"]


def test_killing_a_replica_that_was_not_asked_to_end_breaks_an_invariant(stage: Stage) -> None:
    (_, message) = broken(stage, remove(stage, "web-1"))
    assert message == "would kill web-1, which was not asked to end or has grace left"


def test_stopping_a_routed_replica_breaks_an_invariant(stage: Stage) -> None:
    message, _ = broken(stage, stop(stage, "web-1"), routed=frozenset({"web-1"}))
    assert message == "would stop web-1, which the published table routes to"


def test_removing_a_replica_that_is_not_ready_breaks_no_invariant(stage: Stage) -> None:
    stage.crash("web-1")
    assert broken(stage, remove(stage, "web-1")) == []


def test_creating_more_than_count_and_surge_breaks_an_invariant(stage: Stage) -> None:
    one, two = create(stage, 3, "10.0.0.8"), create(stage, 4, "10.0.0.9")
    assert broken(stage, one) == []
    assert broken(stage, one, two) == ["would have 4 replicas, 2 + 1 allowed"]


def test_touching_what_was_not_seen_as_ours_breaks_an_invariant(stage: Stage) -> None:
    stranger = StartReplica("web", "web-1", "another id", "made up")
    assert broken(stage, stranger) == ["would start web-1, which was not seen as ours"]


def test_creating_under_the_name_of_a_foreign_container_breaks_an_invariant(stage: Stage) -> None:
    stage.foreign_names = frozenset({"web-3"})
    message = "would create web-3, the name of a container that is not ours"
    assert broken(stage, create(stage, 3, "10.0.0.8")) == [message]


def test_giving_an_address_twice_breaks_an_invariant(stage: Stage) -> None:
    stage.foreign_addresses = frozenset({"10.0.0.7"})
    for address in ("10.0.0.7", stage.containers["web-1"].address or ""):
        assert broken(stage, create(stage, 3, address)) == [f"would give {address} to web-3, and it is taken"]
    two = broken(stage, create(stage, 3, "10.0.0.8"), create(stage, 4, "10.0.0.8"))
    assert "would give 10.0.0.8 to web-4, and it is taken" in two


def test_creating_a_replica_that_is_there_breaks_an_invariant(stage: Stage) -> None:
    again = create(stage, 1, stage.containers["web-1"].address or "")
    assert broken(stage, again) == ["would create web-1, which is there already"]
    stage.containers["web-1"] = replace(stage.containers["web-1"], state=ContainerState.CREATED)
    assert broken(stage, again) == [], "what was cut off is done again"


def test_acting_on_a_replica_twice_at_a_time_breaks_an_invariant(stage: Stage) -> None:
    start = StartReplica("web", "web-1", stage.containers["web-1"].id, "made up")
    assert "would act twice on web-1" in broken(stage, start, start)
    assert broken(stage, start, in_flight=(start,)) == ["would act twice on web-1"]


def test_an_app_whose_actions_break_an_invariant_is_left_alone_and_says_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.desired = desired(version(replicas=3), version("other", revision="r2"), revision="r2")
    monkeypatch.setattr("reconciler.decide.actions.free_slots", lambda *_: [1])
    plan = stage.tick()
    assert {action.app_name for action in plan.actions} == {"other"}
    assert any("refused by an invariant, which is a bug" in wait.message for wait in plan.waits)


def test_creating_a_writer_beside_one_on_its_way_out_breaks_an_invariant() -> None:
    volumes = [{"name": "data", "mountPath": "/data"}]
    stage = Stage(desired(version("old", replicas=1, volumes=volumes)))
    stage.settle()
    stage.desired = desired(version(volumes=volumes, revision="r2"), revision="r2")
    stage.tick()
    message = "would create web-1 beside old-1, and both write to volume data"
    assert broken(stage, create(stage, 1, "10.0.0.8")) == [message]

"""Apps that write to a volume: one program writes to a directory at a time, unless a spec says that several may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.lint import warnings
from reconciler.model.actions import CreateReplica
from reconciler.model.load import AppLoad
from reconciler.model.observed import ContainerState
from reconciler.model.plan import Plan
from reconciler.model.scaling import ScalingState
from reconciler.model.state import State
from reconciler.model.version import Version
from tests.support.apps import app, desired, version
from tests.support.stage import Stage

NAMED = {"name": "data", "mountPath": "/data"}
ON_HOST = {"hostPath": "/srv/data", "mountPath": "/data"}
READ_ONLY = {**NAMED, "readOnly": True}
BUSY = AppLoad(rps=1000.0)


def writer(scaling: dict[str, Any] | None = None, volume: dict[str, Any] = NAMED, **spec: Any) -> Version:
    return version(replicas=None, scaling=scaling or {}, volumes=[volume], **spec)


def started(of: Version) -> Stage:
    stage = Stage(desired(of), loads={"web": BUSY})
    stage.settle()
    return stage


def minutes(stage: Stage, several: int = 10) -> None:
    for _ in range(several * 12):
        stage.tick(5)


def reason(stage: Stage) -> str:
    decision = stage.state.apps["web"].decision
    assert decision is not None
    return decision.reason


# How many


@pytest.mark.parametrize(
    ("scaling", "count"),
    [
        ({}, 1),
        ({"minReplicas": 1}, 1),
        ({"targetRPSPerReplica": 10}, 1),
        ({"minReplicas": 3}, 3),
        ({"mode": "manual"}, 1),
        ({"mode": "manual", "replicas": 2}, 2),
        ({"pausedAt": 2}, 2),
        ({"maxReplicas": 5}, 5),
        ({"minReplicas": 2, "maxReplicas": 4}, 4),
    ],
)
@pytest.mark.parametrize("volume", [NAMED, ON_HOST])
def test_an_app_that_writes_to_a_volume_has_one_replica_unless_its_spec_gives_a_count(
    scaling: dict[str, Any], count: int, volume: dict[str, Any]
) -> None:
    stage = started(writer(scaling, volume))
    minutes(stage)
    assert len(stage.names()) == count


def test_bounds_of_a_schedule_are_a_count_that_is_given() -> None:
    schedule = [{"cron": "* * * * *", "minReplicas": 1, "maxReplicas": 4}]
    stage = started(writer({"schedule": schedule}))
    minutes(stage)
    assert len(stage.names()) > 1


def test_an_app_that_only_reads_a_volume_is_scaled_by_load() -> None:
    stage = started(writer({}, READ_ONLY))
    minutes(stage)
    assert len(stage.names()) == 5


def test_the_decision_says_why_an_app_that_writes_to_a_volume_has_one_replica() -> None:
    stage = started(writer())
    assert reason(stage) == "keep 1: it writes to volume data, and its spec gives no count"
    decision = stage.state.apps["web"].decision
    assert decision is not None
    assert decision.next_step == "a commit with scaling.replicas or scaling.maxReplicas"
    stage = started(writer({"minReplicas": 3}, ON_HOST))
    assert reason(stage) == "keep 3: it writes to hostPath /srv/data, and its spec gives no more than minReplicas (3)"


def test_a_dry_run_does_not_keep_several_writers_alive() -> None:
    stage = started(writer({"dryRun": True}, READ_ONLY))
    minutes(stage)
    stage.state = replace(
        stage.state, apps={"web": replace(stage.state.apps["web"], scaling=ScalingState(3, kept_writers=0))}
    )
    stage.settle()
    stage.desired = desired(writer({"dryRun": True}))
    stage.settle()
    assert len(stage.names()) == 1


# Never two at once


def change(stage: Stage, volume: dict[str, Any]) -> None:
    stage.desired = desired(writer({}, volume, image="demo:2"))


def crash_and_change(stage: Stage, volume: dict[str, Any]) -> None:
    stage.crash("web-1")
    change(stage, volume)


def turn_unhealthy(stage: Stage, volume: dict[str, Any]) -> None:
    stage.sicken("web-1")


def change_to_what_is_rolled_back(stage: Stage, volume: dict[str, Any]) -> None:
    stage.broken.add("demo:2")
    stage.desired = desired(writer({}, volume, image="demo:2", strategy={"progressDeadlineSeconds": 5}))


def change_to_what_is_paused(stage: Stage, volume: dict[str, Any]) -> None:
    stage.broken.add("demo:2")
    strategy = {"progressDeadlineSeconds": 5, "onFailure": "pause"}
    stage.desired = desired(writer({}, volume, image="demo:2", strategy=strategy))


def change_to_what_writes_nothing_and_is_paused(stage: Stage, volume: dict[str, Any]) -> None:
    stage.broken.add("demo:2")
    strategy = {"progressDeadlineSeconds": 5, "onFailure": "pause"}
    stage.desired = desired(version(replicas=1, image="demo:2", strategy=strategy))


def begin_to_remove(stage: Stage, volume: dict[str, Any]) -> None:
    stage.begin_removal("web-1")


def die(stage: Stage, volume: dict[str, Any]) -> None:
    stage.containers["web-1"] = replace(stage.containers["web-1"], state=ContainerState.DEAD)


def lose_the_database(stage: Stage, volume: dict[str, Any]) -> None:
    stage.state, stage.plan = State(), None
    change(stage, volume)


HAPPENINGS = [
    change,
    crash_and_change,
    turn_unhealthy,
    change_to_what_is_rolled_back,
    change_to_what_is_paused,
    begin_to_remove,
    die,
    lose_the_database,
]


def created(plan: Plan) -> list[str]:
    return [action.name for action in plan.actions if isinstance(action, CreateReplica)]


@pytest.mark.parametrize("happening", HAPPENINGS)
@pytest.mark.parametrize("volume", [NAMED, ON_HOST])
def test_no_replica_that_writes_is_created_before_the_one_before_has_ended(
    happening: Callable[[Stage, dict[str, Any]], None], volume: dict[str, Any]
) -> None:
    stage = started(writer({}, volume))
    happening(stage, volume)
    stage.held.add("web-1")  # it takes its time to end
    for _ in range(30):
        assert created(stage.tick()) == []
    stage.held.clear()
    was_created = 0
    for _ in range(60):
        plan = stage.tick()
        was_created += len(created(plan))
        assert len(stage.containers) <= 1
        assert not created(plan) or len(plan.actions) == 1, "nothing else is under way then"
        if happening is begin_to_remove and "web-1" in stage.containers:
            stage.containers = {n: c for n, c in stage.containers.items() if c.state is not ContainerState.REMOVING}
    assert was_created
    assert len(stage.containers) == 1


def test_a_writer_that_gives_a_surge_is_replaced_start_first() -> None:
    stage = started(writer(strategy={"maxSurge": 1}))
    stage.desired = desired(writer(strategy={"maxSurge": 1}, image="demo:2"))
    stage.until(lambda: len(stage.names()) == 2)


def test_an_unhealthy_stable_writer_is_replaced_stop_first_beside_a_paused_version_that_writes_nothing() -> None:
    stage = started(writer(volume=NAMED))
    change_to_what_writes_nothing_and_is_paused(stage, NAMED)
    stage.until(lambda: "rollout paused" in stage.text() and stage.state.apps["web"].count == 1)
    stable = stage.state.apps["web"].stable
    assert stable is not None
    for _ in range(60):
        stage.tick()
        writers = [c for c in stage.containers.values() if c.spec_hash == stable.spec_hash]
        assert len(writers) <= 1
        if stage.now % 20 == 0 and writers:
            stage.sicken(writers[0].name)


# What ran before that was the rule


def before(count: int, of: Version) -> Stage:
    """So many replicas of an app, as an earlier version of the controller has recorded it."""
    given = replace(of, app=app(replicas=count, volumes=[NAMED]))
    stage = started(given)
    known = replace(stage.state.apps["web"], version=of, stable=of, scaling=ScalingState(count))
    stage.state = replace(stage.state, apps={"web": known})
    stage.desired = desired(of)
    return stage


def notices(stage: Stage) -> list[str]:
    assert stage.plan is not None
    return [notice for notice in stage.plan.notices if "web keeps" in notice]


def test_several_writers_that_ran_before_one_was_the_rule_stay_and_are_told_of() -> None:
    stage = before(3, writer())
    kept = {container.id for container in stage.containers.values()}
    minutes(stage)
    assert {container.id for container in stage.containers.values()} == kept
    assert notices(stage) == [
        "web keeps 3 replicas, which write to volume data together: one is the rule for a spec that gives no count. "
        "To go on so, write `scaling: {mode: manual, replicas: 3}` or a maxReplicas; to have one, "
        "`scaling: {mode: manual, replicas: 1}`"
    ]
    assert reason(stage) == (
        "keep 3: they wrote to volume data together before one replica was the rule for a spec without a count"
    )


def test_several_writers_are_kept_through_a_rollout() -> None:
    stage = before(3, writer())
    stage.tick()
    stage.desired = desired(writer(image="demo:2"))
    stage.settle()
    assert (len(stage.names()), len(notices(stage))) == (3, 1)


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (writer(volume=ON_HOST), 1),
        (writer(volume=ON_HOST, strategy={"maxSurge": 1}), 0),
        (writer(volume=NAMED), 0),  # replaced stop-first ever since
        (writer(volume={**ON_HOST, "readOnly": True}), 0),
    ],
)
def test_that_an_app_is_replaced_stop_first_by_now_is_told_once(of: Version, told: int) -> None:
    stage = before(1, of)
    minutes(stage, 1)
    events = [event.message for event in stage.events if "stop-first from this version" in event.message]
    assert len(events) == told
    assert all("it writes to hostPath /srv/data; strategy.maxSurge: 1 lets" in message for message in events)


def test_one_writer_that_ran_before_is_none_that_is_kept() -> None:
    stage = before(1, writer())
    minutes(stage)
    assert (len(stage.names()), notices(stage)) == (1, [])


@pytest.mark.parametrize(
    ("scaling", "count"),
    [
        ({"mode": "manual", "replicas": 3}, 3),
        ({"mode": "manual", "replicas": 1}, 1),
        ({"maxReplicas": 5}, 5),
        ({"minReplicas": 1}, 1),
        ({"minReplicas": 2}, 2),
        ({"cooldownSeconds": 60}, 1),
    ],
)
def test_several_writers_are_kept_until_their_scaling_changes(scaling: dict[str, Any], count: int) -> None:
    stage = before(3, writer())
    stage.tick()
    stage.desired = desired(writer(scaling))
    minutes(stage)
    assert (len(stage.names()), notices(stage)) == (count, [])
    stage.desired = desired(writer())
    minutes(stage)
    assert (len(stage.names()), notices(stage)) == (1, [])


def test_an_app_that_begins_to_write_has_one_replica() -> None:
    stage = started(version(replicas=None, scaling={}))
    minutes(stage)
    assert len(stage.names()) == 5
    stage.desired = desired(writer())
    minutes(stage)
    assert (len(stage.names()), notices(stage)) == (1, [])


def test_an_app_on_record_by_an_earlier_version_that_begins_to_write_has_one_replica() -> None:
    stage = before(3, version(replicas=None, scaling={}))
    stage.desired = desired(writer())
    minutes(stage)
    assert (len(stage.names()), notices(stage)) == (1, [])


def test_several_writers_are_kept_after_the_database_is_lost() -> None:
    stage = before(3, writer())
    stage.state = State()
    minutes(stage)
    assert (len(stage.names()), len(notices(stage))) == (3, 1)


def test_a_version_that_writes_is_rolled_back_to_as_one_replica() -> None:
    """The policy is the newest's, which need not write: the version that runs does."""
    stage = started(writer(health_check={"path": "/healthz"}))
    stage.broken.add("demo:2")
    stage.desired = desired(version(replicas=None, scaling={}, image="demo:2", strategy={"progressDeadlineSeconds": 5}))
    minutes(stage)
    assert stage.state.apps["web"].failed
    assert len(stage.names()) == 1
    assert "it writes to volume data" in reason(stage)


# What authors are warned of


def warned(*apps: Any) -> list[tuple[str, str]]:
    return [(name, message) for name, messages in warnings(apps).items() for message in messages]


def writing(scaling: dict[str, Any] | None = None, *volumes: dict[str, Any], name: str = "web", **spec: Any) -> Any:
    return app(name, replicas=None, scaling=scaling or {}, volumes=list(volumes or [NAMED]), **spec)


@pytest.mark.parametrize(
    ("scaling", "most"),
    [
        ({}, None),
        ({"mode": "manual", "replicas": 1}, None),
        ({"pausedAt": 1}, None),
        ({"maxReplicas": 1}, None),
        ({"minReplicas": 2}, 2),
        ({"mode": "manual", "replicas": 3}, 3),
        ({"pausedAt": 4}, 4),
        ({"maxReplicas": 6}, 6),
        ({"schedule": [{"cron": "* * * * *", "minReplicas": 1, "maxReplicas": 7}]}, 7),
        ({"schedule": [{"cron": "* * * * *", "minReplicas": 1, "maxReplicas": 1}]}, None),
    ],
)
def test_more_than_one_writer_gets_a_warning(scaling: dict[str, Any], most: int | None) -> None:
    expected = [] if most is None else [f"up to {most} replicas write to volume data together"]
    assert [message.partition(";")[0] for _, message in warned(writing(scaling))] == expected


def test_an_app_that_only_reads_gets_no_warning_of_writers() -> None:
    assert warned(writing({"maxReplicas": 6}, READ_ONLY, strategy={"maxSurge": 1, "canary": {}})) == []


def test_a_policy_that_decides_nothing_gets_no_warning_of_its_thresholds() -> None:
    flapping = {"scaleInThresholdPct": 50}
    assert warned(writing(flapping)) == []
    assert len(warned(writing(flapping, READ_ONLY))) == 1


def test_a_writer_that_starts_beside_the_one_before_gets_a_warning() -> None:
    ((_, message),) = warned(writing(strategy={"maxSurge": "25%"}))
    assert message == (
        "a new replica starts before the old one has ended, since strategy.maxSurge is 25%, and both write to volume "
        "data; without maxSurge the old one ends first"
    )
    assert warned(writing(strategy={"maxSurge": 0})) == []


def test_a_canary_of_a_writer_gets_a_warning() -> None:
    ((_, alone),) = warned(writing(strategy={"canary": {}}))
    assert alone == (
        "strategy.canary is passed over: the one replica that writes to volume data leaves no room for another"
    )
    _, (_, together) = warned(writing({"mode": "manual", "replicas": 2}, strategy={"canary": {}}))
    assert together == "both versions write to volume data while strategy.canary compares them"


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (NAMED, NAMED, True),
        (NAMED, {**NAMED, "name": "other"}, False),
        (NAMED, READ_ONLY, False),
        (NAMED, ON_HOST, False),
        (ON_HOST, ON_HOST, True),
        (ON_HOST, {**ON_HOST, "hostPath": "/srv/data/sub"}, True),
        (ON_HOST, {**ON_HOST, "hostPath": "/srv"}, True),
        (ON_HOST, {**ON_HOST, "hostPath": "/srv/database"}, False),
    ],
)
def test_two_apps_that_write_to_one_directory_get_a_warning(
    one: dict[str, Any], other: dict[str, Any], told: bool
) -> None:
    messages = warned(writing({}, one, name="a"), writing({}, other, name="b"))
    assert [name for name, _ in messages] == (["a", "b"] if told else [])
    if told:
        assert messages[0][1].startswith("app b writes to ")
        assert messages[1][1].startswith("app a writes to ")


def test_a_warning_of_two_apps_in_one_directory_names_both_places() -> None:
    (_, message), _ = warned(writing(name="a"), writing(name="b"))
    assert message == "app b writes to volume data as well"
    inner = {**ON_HOST, "hostPath": "/srv/data/sub"}
    (_, message), _ = warned(writing({}, ON_HOST, name="a"), writing({}, inner, name="b"))
    assert message == (
        "app b writes to hostPath /srv/data/sub and this one to hostPath /srv/data, of which one lies inside the other"
    )

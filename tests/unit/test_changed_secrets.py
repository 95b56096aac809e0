"""Secrets that change: which apps are rolled out for them, when, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.model.actions import CreateReplica
from reconciler.model.observed import SecretsSeen
from reconciler.model.state import State
from reconciler.model.version import Version
from tests.support.apps import desired, version
from tests.support.stage import Stage, try_later

PASSWORD = [{"name": "DB", "source": "secret", "key": "database", "field": "password"}]


def user(name: str = "web", **spec: Any) -> Version:
    return version(name, **{"environment": PASSWORD, **spec})


def put(stage: Stage, value: str, *names: str, agreed: bool = True) -> None:
    """The secret is this by now. Four letters name the key of a digest."""
    stage.secrets = {name: SecretsSeen({"database.password": value}, agreed) for name in names or ("web",)}


def running(*versions: Version) -> Stage:
    stage = Stage(desired(*(versions or (user(),))))
    put(stage, "key1first", *stage.desired.apps)
    stage.settle()
    return stage


def ids(stage: Stage, name: str = "web") -> set[str]:
    return {container.id for container in stage.containers.values() if container.app_name == name}


def told(stage: Stage, name: str = "web") -> list[str]:
    return [event.message for event in stage.events if event.app_name == name]


def created(stage: Stage) -> list[CreateReplica]:
    actions = stage.plan.actions if stage.plan else ()
    return [action for action in actions if isinstance(action, CreateReplica)]


def test_a_changed_secret_replaces_every_replica_with_its_cause() -> None:
    stage = running()
    before, spec_hash = ids(stage), stage.hashes()
    put(stage, "key1second")
    stage.until(lambda: created(stage))
    (create,) = created(stage)
    assert create.cause == "changed at revision r1: secret database.password: (changed)"
    stage.settle()
    assert not ids(stage) & before
    assert not stage.hashes() & spec_hash
    assert "secrets changed: database.password" in told(stage)
    stage.run_for(60)
    assert told(stage).count("secrets changed: database.password") == 1


def test_a_change_that_only_one_look_has_seen_changes_nothing() -> None:
    stage = running()
    put(stage, "key1half", agreed=False)
    assert not stage.tick().actions
    put(stage, "key1first")
    assert not stage.tick().actions


def test_a_secret_that_is_gone_rolls_nobody() -> None:
    stage = running()
    stage.secrets = {}
    stage.run_for(10)
    put(stage, "key1first")
    stage.run_for(10)
    assert not any("secrets changed" in message for message in told(stage))
    assert ids(stage) == {"id1", "id2"}


def test_containers_from_before_anything_was_known_of_secrets_count_as_current() -> None:
    stage = Stage(desired(user()))
    stage.settle()
    before = ids(stage)
    put(stage, "key1first")
    stage.run_for(10)
    assert ids(stage) == before
    put(stage, "key1second")
    stage.settle()
    assert not ids(stage) & before


def test_another_key_is_no_other_secret() -> None:
    stage = running()
    before = ids(stage)
    put(stage, "key2first")
    stage.run_for(10)
    assert ids(stage) == before
    put(stage, "key2second")
    stage.settle()
    assert not ids(stage) & before


def test_a_replica_made_before_the_change_has_been_noticed_waits_for_that() -> None:
    stage = running()
    put(stage, "key1second", agreed=False)
    stage.remove("web-2")
    stage.run_for(5)
    assert stage.names() == ["web-1"]
    assert any("failed to create web-2" in message for message in told(stage))
    put(stage, "key1second")
    stage.settle()
    assert len(stage.names()) == 2
    assert stage.hashes() == {stage.state.apps["web"].version.spec_hash}


def test_one_app_after_the_other_takes_a_changed_secret() -> None:
    names = ("one", "two", "three")
    stage = running(*(user(name) for name in names))
    before = {name: stage.hashes(name) for name in names}
    put(stage, "key1second", *names)
    order = []
    for _ in range(150):
        stage.tick()
        under_way = [name for name, app in stage.state.apps.items() if app.rollout]
        assert len(under_way) <= 1
        order += [name for name in under_way if name not in order]
    assert order == sorted(names)
    assert all(not stage.hashes(name) & before[name] for name in names)


def test_an_app_held_up_from_outside_keeps_no_other_from_a_changed_secret() -> None:
    stage = running(user("one"), user("two"))
    put(stage, "key1second", "one", "two")
    stage.failing = {f"one-{slot}": try_later("VolumeForeign", "not ours") for slot in range(1, 5)}
    before = stage.hashes("two")
    stage.until(lambda: not stage.hashes("two") & before)


def test_an_app_that_lacks_a_replica_takes_a_changed_secret_out_of_turn() -> None:
    stage = running(user("one", image="slow:1"), user("two"))
    stage.broken = {"slow:1"}
    put(stage, "key1second", "one", "two")
    stage.tick()
    assert stage.state.apps["one"].rollout
    stage.remove("two-1")
    stage.run_for(20)
    assert stage.state.apps["one"].rollout
    assert len(stage.names("two")) == 2


def test_a_suspended_app_takes_a_changed_secret_when_it_goes_on() -> None:
    stage = running()
    before = ids(stage)
    stage.desired = desired(user(suspend=True, revision="r2"), revision="r2")
    put(stage, "key1second")
    stage.run_for(10)
    assert ids(stage) == before
    stage.desired = desired(user(revision="r3"), revision="r3")
    stage.settle()
    assert not ids(stage) & before


def test_a_changed_secret_that_breaks_an_app_is_rolled_back_and_one_put_back_rolls_nobody() -> None:
    stage = running(user(strategy={"progressDeadlineSeconds": 5}))
    kept, spec_hash = ids(stage), stage.hashes()
    stage.broken = {"demo:1"}
    put(stage, "key1wrong")
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.broken = set()
    stage.run_for(20)
    assert stage.hashes() == spec_hash
    assert ids(stage) & kept
    after = ids(stage)
    put(stage, "key1first")
    stage.run_for(10)
    assert (ids(stage), stage.hashes()) == (after, spec_hash)
    assert stage.state.apps["web"].failed is None


def test_a_version_that_was_rolled_back_to_is_healed_with_the_secrets_of_now() -> None:
    stage = running(user(strategy={"progressDeadlineSeconds": 5}))
    stage.broken = {"demo:1"}
    put(stage, "key1wrong")
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.broken = set()
    stage.run_for(20)
    stage.remove("web-1")
    stage.run_for(10)
    assert len(stage.routed()) == 2


def test_a_commit_that_touches_no_container_keeps_what_a_secret_has_changed() -> None:
    stage = running()
    put(stage, "key1second")
    stage.settle()
    before = ids(stage)
    stage.desired = desired(user(revision="r2", replicas=3), revision="r2")
    stage.settle()
    assert before < ids(stage)
    assert len(stage.hashes()) == 1


def test_a_commit_in_a_secrets_rollout_is_rolled_out_with_the_secret() -> None:
    stage = running()
    put(stage, "key1second")
    stage.tick()
    stage.desired = desired(user(revision="r2", image="demo:2"), revision="r2")
    stage.settle()
    assert stage.hashes() == {user(image="demo:2").spec_hash}
    assert not any("secrets changed" in message for message in told(stage)[-3:])


def test_a_lost_record_recreates_no_container_whose_secret_had_changed() -> None:
    stage = running()
    put(stage, "key1second")
    stage.settle()
    before = ids(stage)
    stage.state = State()
    stage.settle()
    stage.run_for(10)
    assert ids(stage) == before
    put(stage, "key1third")
    stage.settle()
    assert not ids(stage) & before


def test_a_label_that_does_not_fit_its_spec_hash_says_nothing() -> None:
    stage = running()
    stage.containers = {
        name: replace(container, spec_hash="another", secrets="key1") for name, container in stage.containers.items()
    }
    stage.state = State()
    stage.settle()
    assert stage.hashes() == {user().spec_hash}

"""What a container gets where its spec says nothing belongs to its version: siblings are alike, whoever makes them.

A later release is one that knows a second edition of defaults.
"""

from __future__ import annotations

import pytest

from reconciler.model import defaults
from reconciler.model.actions import CreateReplica
from reconciler.model.defaults import ContainerDefaults, LogBounds
from reconciler.model.spec import Volume
from reconciler.model.state import State
from reconciler.model.version import _FIRST_FIELDS, Version, _hashed, container_fields
from tests.support.apps import desired, version
from tests.support.stage import Stage


class VolumeOfALaterRelease(Volume):
    """A volume with a field that the first release did not have."""

    no_copy: bool = False


FIRST = ContainerDefaults(init=False)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Two replicas that the first release has made."""
    monkeypatch.setattr(defaults, "EDITIONS", {1: FIRST})
    stage = Stage(desired(version(replicas=2, image="demo:1")))
    stage.settle()
    return stage


@pytest.fixture
def later_release(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The same, found by a release with other defaults: the source is read anew, the state is as it was."""
    monkeypatch.setattr(defaults, "EDITIONS", {1: FIRST, 2: ContainerDefaults(init=True)})
    commit(stage, replicas=2)
    stage.tick()
    return stage


def commit(stage: Stage, **spec: object) -> None:
    revision = f"r{int(stage.desired.revision[1:]) + 1}"
    new = version(revision=revision, **{"image": "demo:1", **spec})  # type: ignore[arg-type]
    stage.desired = desired(new, revision=revision)


def editions(stage: Stage) -> list[int]:
    """Of the containers that are there, in order of their names."""
    return [container.defaults for _, container in sorted(stage.containers.items())]


def test_a_release_with_other_defaults_recreates_nothing(later_release: Stage) -> None:
    assert later_release.plan is not None
    assert later_release.plan.actions == ()
    later_release.settle()
    assert editions(later_release) == [1, 1]


def test_a_replica_that_is_scaled_out_later_is_like_its_siblings(later_release: Stage) -> None:
    commit(later_release, replicas=3)
    later_release.settle()
    assert editions(later_release) == [1, 1, 1]


def test_a_replica_that_is_healed_later_is_like_its_siblings(later_release: Stage) -> None:
    later_release.remove("web-1")
    later_release.settle()
    assert editions(later_release) == [1, 1]


def test_a_changed_spec_brings_the_new_defaults(later_release: Stage) -> None:
    commit(later_release, replicas=2, image="demo:2")
    later_release.settle()
    assert editions(later_release) == [2, 2]
    assert later_release.state.apps["web"].version.container_defaults.init


def test_a_rollback_brings_back_the_defaults_of_the_version_it_returns_to(later_release: Stage) -> None:
    later_release.broken.add("demo:2")
    commit(later_release, replicas=2, image="demo:2", strategy={"progressDeadlineSeconds": 5, "maxSurge": 0})
    later_release.until(lambda: later_release.state.apps["web"].failed)
    later_release.until(lambda: later_release.statuses["web"].ready == 2)
    assert editions(later_release) == [1, 1]


def test_a_commit_that_takes_a_change_back_makes_no_third_kind_of_replica(later_release: Stage) -> None:
    commit(later_release, replicas=2, image="demo:2")
    later_release.until(lambda: 2 in editions(later_release))
    commit(later_release, replicas=2)
    later_release.settle()
    assert editions(later_release) == [1, 1]


def test_after_the_loss_of_the_database_the_containers_tell_their_defaults(later_release: Stage) -> None:
    later_release.state = State()
    commit(later_release, replicas=3)
    later_release.settle()
    assert editions(later_release) == [1, 1, 1]


def test_what_is_created_is_told_to_the_runtime_with_its_defaults(later_release: Stage) -> None:
    later_release.remove("web-2")
    created = [action for action in later_release.tick().actions if isinstance(action, CreateReplica)]
    assert [action.version.defaults for action in created] == [1]


@pytest.mark.parametrize(("label", "edition"), [("", 1), ("1", 1), ("2", 2), ("9", 1), ("none", 1), ("-1", 1)])
def test_a_label_that_is_missing_or_unknown_means_the_first_edition(label: str, edition: int) -> None:
    assert defaults.edition_of(label) == edition


def test_a_field_of_a_later_release_enters_a_hash_only_where_a_spec_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first = {**_FIRST_FIELDS, VolumeOfALaterRelease: _FIRST_FIELDS[Volume]}
    monkeypatch.setattr("reconciler.model.version._FIRST_FIELDS", first)
    given = {"name": "data", "mountPath": "/data"}
    before = _hashed(Volume.model_validate(given))
    assert _hashed(VolumeOfALaterRelease.model_validate(given)) == before
    assert _hashed(VolumeOfALaterRelease.model_validate({**given, "noCopy": True})) == {**before, "noCopy": True}
    assert _hashed(VolumeOfALaterRelease.model_validate({**given, "noCopy": False})) == {**before, "noCopy": False}


def test_a_version_that_was_recorded_without_defaults_has_the_first() -> None:
    recorded = version()
    assert Version(recorded.app, recorded.revision, recorded.path, {}, recorded.spec_hash).defaults == 1


def test_a_version_that_is_read_has_the_latest_defaults() -> None:
    assert version().defaults == max(defaults.EDITIONS)


def test_no_edition_of_container_defaults_is_ever_changed() -> None:
    assert {1: FIRST, 2: ContainerDefaults(init=None, log=LogBounds("10m", 3))} == defaults.EDITIONS


@pytest.mark.parametrize("given", [{"init": True}, {"init": False}, {"logging": {}}, {"logging": {"maxFiles": 2}}])
def test_what_a_spec_says_of_init_and_log_is_in_its_hash_and_nothing_else_is(given: dict[str, object]) -> None:
    assert version(**given).spec_hash != version().spec_hash  # type: ignore[arg-type]
    assert "init" not in container_fields(version().app)
    assert "logging" not in container_fields(version().app)

"""Which build a version is made from: resolved once, by whatever the tag means later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.state.images import noted
from reconciler.model.actions import CreateReplica, EnsureImage, FailureKind
from reconciler.model.app_state import AppState, Pacing
from reconciler.model.backoff import Backoff
from reconciler.model.image import Image, ResolvedImage, familiar, resolved
from reconciler.model.observed import Observed
from reconciler.model.reasons import Reason
from reconciler.model.version import Version
from tests.support.apps import desired, version
from tests.support.records import NOW, app_state
from tests.support.stage import Stage, try_later

FIRST = Image("sha256:first", ("demo@sha256:one",))
SECOND = Image("sha256:second", ("demo@sha256:two",))
HOST = {"demo:1": FIRST, FIRST.id: FIRST, "demo@sha256:one": FIRST}
MOVED = {"demo:1": SECOND, SECOND.id: SECOND, "demo@sha256:two": SECOND, FIRST.id: FIRST, "demo@sha256:one": FIRST}


def running(*versions: Version, images: dict[str, Image] = HOST) -> Stage:
    stage = Stage(desired(*(versions or (version(),))), images=images)
    stage.settle()
    return stage


def commit(stage: Stage, revision: str, **spec: object) -> None:
    stage.desired = desired(version(revision=revision, **spec), revision=revision)  # type: ignore[arg-type]


def builds(stage: Stage) -> dict[str, str]:
    return {container.name: container.image_id for container in stage.containers.values()}


def seen(stage_images: dict[str, Image]) -> Observed:
    return Stage(desired(), images=stage_images, now=NOW).observe()


def alone(app: AppState, images: dict[str, Image]) -> AppState:
    return noted({"web": app}, seen(images))["web"]


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("web", "web:latest"),
        ("docker.io/library/web:1", "web:1"),
        ("host:5000/team/web", "host:5000/team/web:latest"),
        ("host:5000/web:2@sha256:abc", "host:5000/web@sha256:abc"),
        ("web@sha256:abc", "web@sha256:abc"),
    ],
)
def test_an_image_is_known_by_its_familiar_name(reference: str, name: str) -> None:
    assert familiar(reference) == name


def test_an_image_is_pulled_again_by_the_digest_that_its_own_repository_gave_it() -> None:
    image = Image("sha256:first", ("mirror/demo@sha256:other", "demo@sha256:one"))
    assert resolved("demo:1", {"demo:1": image}) == ResolvedImage("sha256:first", "demo@sha256:one")
    assert resolved("local:1", {"local:1": image}) == ResolvedImage("sha256:first")


def test_replicas_made_after_a_tag_was_moved_are_of_the_build_that_was_applied() -> None:
    stage = running()
    stage.images = MOVED
    commit(stage, "r2", replicas=4)
    stage.settle()
    assert set(builds(stage).values()) == {FIRST.id}
    stage.remove("web-1")
    stage.settle()
    assert set(builds(stage).values()) == {FIRST.id}


def test_a_moved_tag_is_told_of_as_long_as_it_means_something_else() -> None:
    stage = running()
    assert not stage.tick().notices
    stage.images = MOVED
    (notice,) = stage.tick().notices
    assert notice == (
        "app web: demo:1 means sha256:two by now; it stays with sha256:one, which it was applied with, until its spec "
        "or restartToken changes"
    )
    commit(stage, "r2", restartToken="again")
    stage.settle()
    assert not stage.tick().notices


def test_a_changed_spec_takes_what_the_tag_means_by_then() -> None:
    stage = running()
    stage.images = MOVED
    commit(stage, "r2", restartToken="again")
    stage.settle()
    assert set(builds(stage).values()) == {SECOND.id}


def test_a_rollback_returns_to_the_build_that_ran_before_under_the_same_tag() -> None:
    stage = running(version(strategy={"progressDeadlineSeconds": 5}))
    stage.images, stage.broken = MOVED, {"demo:1"}
    commit(stage, "r2", restartToken="again", strategy={"progressDeadlineSeconds": 5})
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.broken = set()
    stage.until(lambda: stage.state.apps["web"].rollout is None)
    assert set(builds(stage).values()) == {FIRST.id}


def test_a_build_that_is_gone_from_the_host_is_ensured_before_anything_is_created_from_it() -> None:
    stage = running()
    stage.images = {"demo:1": SECOND, SECOND.id: SECOND}
    stage.remove("web-1")
    plan = stage.tick()
    (ensure,) = plan.actions
    assert isinstance(ensure, EnsureImage)
    assert ensure.version.image == ResolvedImage(FIRST.id, "demo@sha256:one")


def test_an_image_that_must_always_be_pulled_is_resolved_only_after_that() -> None:
    stage = Stage(desired(version(imagePullPolicy="Always")), images=HOST)
    assert [type(action) for action in stage.tick().actions] == [EnsureImage]
    stage.images = MOVED  # by that pull
    stage.settle()
    assert set(builds(stage).values()) == {SECOND.id}


def test_replicas_that_nothing_is_recorded_of_tell_what_their_version_is_made_from() -> None:
    """They were made by a release that recorded nothing, or the record is lost."""
    stage = running()
    stage.state = replace(stage.state, apps={n: _unresolved(app) for n, app in stage.state.apps.items()})
    stage.images = MOVED
    assert not stage.tick().actions
    commit(stage, "r2", replicas=3)
    stage.settle()
    assert set(builds(stage).values()) == {FIRST.id}


def _unresolved(app: AppState) -> AppState:
    stable = app.stable and replace(app.stable, image=None)
    return replace(app, version=replace(app.version, image=None), stable=stable)


def test_replicas_of_different_builds_under_one_tag_are_all_kept_at_an_upgrade() -> None:
    stage = running()
    other = stage.containers["web-2"]
    stage.containers["web-2"] = replace(other, image_id=SECOND.id)
    stage.state = replace(stage.state, apps={n: _unresolved(app) for n, app in stage.state.apps.items()})
    stage.images = MOVED
    assert not stage.tick().actions
    assert stage.state.apps["web"].version.image == ResolvedImage(FIRST.id, "demo@sha256:one")


@pytest.mark.parametrize("ready", [None, "abc"])
def test_an_image_that_was_seen_needs_no_pull(ready: str | None) -> None:
    before = app_state(image_ready=ready)
    assert alone(before, HOST).image_ready == before.version.spec_hash
    assert alone(before, {"demo:2": SECOND}) == before


@pytest.mark.parametrize(
    ("reason", "goes_on"),
    [
        (Reason.IMAGE_NOT_FOUND, True),
        (Reason.IMAGE_PULL_FAILED, True),
        (Reason.CREATE_REFUSED, False),
    ],
)
def test_an_image_that_turns_up_ends_the_back_off_of_its_lack_and_no_other(reason: Reason, goes_on: bool) -> None:
    before = app_state(pacing=Pacing(creation=Backoff(3, NOW, reason, "not to be had")))
    assert (alone(before, HOST).pacing.creation is None) is goes_on


# -- causes outside the spec ----------------------------------------------------------------------------------------

STRATEGY = {"progressDeadlineSeconds": 5}


def test_an_image_that_is_pushed_after_the_deadline_is_rolled_out_once_it_is_there() -> None:
    stage = running(version(strategy=STRATEGY))
    key = "image demo:2 of web"
    stage.failing[key] = try_later("ImagePullFailed", "pull demo:2: manifest unknown")
    commit(stage, "r2", image="demo:2", strategy=STRATEGY)
    stage.until(lambda: stage.now > 1100)
    assert stage.state.apps["web"].failed is None
    assert "manifest unknown" in stage.statuses["web"].error
    assert stage.names() == ["web-1", "web-2"]
    del stage.failing[key]
    stage.settle(most_ticks=400)
    assert stage.hashes() == {version(image="demo:2").spec_hash}


def test_attempts_at_an_image_that_is_not_to_be_had_are_at_most_five_minutes_apart() -> None:
    stage = running()
    stage.failing["image demo:2 of web"] = try_later("ImagePullFailed", "pull demo:2: manifest unknown")
    commit(stage, "r2", image="demo:2")
    attempts = []
    for _ in range(4000):
        if any(isinstance(action, EnsureImage) for action in stage.tick().actions):
            attempts.append(stage.now)
    gaps = [later - earlier for earlier, later in zip(attempts, attempts[1:], strict=False)]
    assert max(gaps) <= 301
    assert len(attempts) > 12


def test_a_refusal_that_a_setting_can_mend_is_tried_again_though_an_earlier_version_gave_it_up() -> None:
    given_up = Backoff(3, NOW, Reason.HOST_PATH_REFUSED, "not allowed", until_changed=True)
    assert given_up.blocks(NOW + 3)
    assert not given_up.blocks(NOW + 5)
    assert Backoff(3, NOW, Reason.CREATE_REFUSED, "no such user", until_changed=True).blocks(NOW + 5)


def test_a_pull_under_way_holds_the_deadline_back() -> None:
    stage = running(version(strategy=STRATEGY))
    stage.held.add("image demo:2 of web")
    commit(stage, "r2", image="demo:2", strategy=STRATEGY)
    stage.until(lambda: stage.now > 1100)
    stage.held.clear()
    stage.settle()
    assert stage.state.apps["web"].failed is None
    assert stage.hashes() == {version(image="demo:2").spec_hash}


def test_a_version_has_its_time_from_when_its_image_is_there() -> None:
    stage = running(version(strategy=STRATEGY))
    stage.held.add("image demo:2 of web")
    stage.broken = {"demo:2"}
    commit(stage, "r2", image="demo:2", strategy=STRATEGY)
    stage.until(lambda: stage.now > 1100)
    stage.held.clear()
    pulled_at = stage.now
    stage.until(lambda: stage.state.apps["web"].failed)
    assert stage.now >= pulled_at + 5


# -- before anything ends for it ------------------------------------------------------------------------------------

STOP_FIRST = {"maxSurge": 0}


@pytest.mark.parametrize("cause", ["changed", "unhealthy"])
def test_nothing_ends_for_a_replica_that_could_not_be_created(cause: str) -> None:
    stage = running(version(replicas=1, strategy=STOP_FIRST))
    stage.failing["check of web"] = try_later("VolumeForeign", "volume data is not ours")
    if cause == "changed":
        commit(stage, "r2", replicas=1, strategy=STOP_FIRST, restartToken="again")
    else:
        stage.sicken("web-1")
    before = stage.containers["web-1"].id
    stage.until(lambda: "volume data is not ours" in stage.statuses["web"].error or stage.now > 1200)
    for _ in range(30):
        stage.tick()
        assert stage.containers["web-1"].id == before
    stage.failing.clear()
    stage.settle(most_ticks=600)
    assert stage.containers["web-1"].id != before


def test_a_version_that_is_refused_for_good_fails_before_the_old_one_has_ended() -> None:
    stage = running(version(replicas=1, strategy=STOP_FIRST))
    stage.failing["check of web"] = replace(try_later("CreateRefused", "no such mount"), kind=FailureKind.REJECTED)
    before = stage.containers["web-1"].id
    commit(stage, "r2", replicas=1, strategy=STOP_FIRST, restartToken="again")
    stage.until(lambda: stage.state.apps["web"].failed)
    assert stage.containers["web-1"].id == before


def test_no_replica_ends_for_a_version_of_which_none_was_created_yet() -> None:
    strategy = {"maxSurge": 1, "maxUnavailable": 1}
    stage = running(version(replicas=3, strategy=strategy))
    for slot in range(1, 9):
        stage.failing[f"web-{slot}"] = try_later("HostPathMissing", "create it on the host")
    commit(stage, "r2", replicas=3, strategy=strategy, restartToken="again")
    for _ in range(30):
        stage.tick()
    assert stage.names() == ["web-1", "web-2", "web-3"]


def test_what_would_be_created_is_asked_before_each_replica_that_ends_for_another() -> None:
    stage = running(version(replicas=1, strategy=STOP_FIRST))
    commit(stage, "r2", replicas=1, strategy=STOP_FIRST, restartToken="again")
    verbs: list[str] = []
    while "create" not in verbs:
        verbs += [action.verb for action in stage.tick().actions]
    assert verbs == ["check", "stop", "remove", "create"]
    assert not any(isinstance(action, CreateReplica) for action in stage.tick().actions)

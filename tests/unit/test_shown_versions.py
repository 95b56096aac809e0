"""What runs is what is shown: of each replica the version that it is of, also where several run side by side."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

from reconciler.model.change import Change
from reconciler.model.desired import Desired
from reconciler.model.image import Image
from reconciler.model.load import VersionLoad
from reconciler.model.recorded import AppRecord, Controller, Recorded
from reconciler.model.version import Version
from reconciler.ports import Record
from reconciler.report.contract import App
from reconciler.report.dump import status_of
from tests.scenarios.host import Host
from tests.support.apps import desired, version
from tests.support.stage import Stage

BUILDS = [Image(f"sha256:{number}", (f"demo@sha256:d{number}",)) for number in (1, 2)]
IMAGES = {
    name: build for number, build in enumerate(BUILDS, 1) for name in (f"demo:{number}", build.id, *build.digests)
}
ANN = Change("a" * 40, "Ann", 900.0, "Release 1")
BOB = Change("b" * 40, "Bob", 990.0, "Release 2")


def staged(first: Version, second: Version, *broken: str) -> Stage:
    """The first version runs, and the second one is asked for."""
    stage = Stage(desired(first, revision=first.revision), images=IMAGES)
    stage.settle()
    stage.broken |= set(broken)
    stage.desired = desired(second, revision=second.revision)
    return stage


def release(number: int, **spec: object) -> Version:
    made = version(image=f"demo:{number}", revision=f"r{number}", **spec)  # type: ignore[arg-type]
    return replace(made, change=(ANN, BOB)[number - 1])


def shown(stage: Stage, name: str = "web") -> App:
    """The app as the status shows it."""
    controller = Controller("default", "1", "host", 7, 0, stage.now, revision=stage.state.revision)
    record = AppRecord(name, stage.statuses.get(name), stage.state.apps.get(name), stage.state.replicas)
    (app,) = status_of(Recorded(controller, {name: record}), now=stage.now).apps
    return app


def versions_of(app: App) -> set[tuple[str, str | None, str | None, str | None]]:
    return {(one.revision, one.image, one.image_reference, one.image_digest) for one in app.instances}


FIRST = ("r1", "demo:1", "demo@sha256:d1", "sha256:d1")
SECOND = ("r2", "demo:2", "demo@sha256:d2", "sha256:d2")


def test_each_replica_of_a_rollout_is_shown_with_its_own_version() -> None:
    stage = staged(release(1), release(2))
    stage.until(lambda: len(versions_of(shown(stage))) == 2)
    app = shown(stage)
    assert versions_of(app) == {FIRST, SECOND}
    assert (app.revision, app.image) == ("r2", "demo:2"), "what it converges to"
    stage.settle()
    assert versions_of(shown(stage)) == {SECOND}


def test_an_app_that_was_rolled_back_is_shown_as_it_runs_and_not_as_it_failed() -> None:
    strategy = {"progressDeadlineSeconds": 5}
    stage = staged(release(1, strategy=strategy), release(2, strategy=strategy), "demo:2")
    stage.until(lambda: stage.state.apps["web"].failed and stage.state.apps["web"].rollout is None)
    stage.run_for(5)
    app = shown(stage)
    assert (app.revision, app.image, app.image_reference, app.image_digest) == FIRST
    assert versions_of(app) == {FIRST}
    assert app.failed_version
    assert app.failed_version.revision == "r2"
    assert app.last_change
    assert app.last_change.author == "Bob", "who asked for what failed"


def test_replicas_beside_a_paused_failure_are_shown_with_their_own_version() -> None:
    strategy = {"progressDeadlineSeconds": 5, "onFailure": "pause"}
    stage = staged(release(1, strategy=strategy), release(2, strategy=strategy), "demo:2")
    stage.until(lambda: stage.state.apps["web"].failed)
    stage.run_for(5)
    serving = {one.name for one in shown(stage).instances if one.revision == "r1"}
    assert serving == set(stage.routed())
    assert versions_of(shown(stage)) == {FIRST, SECOND}


def test_a_canary_is_shown_with_its_own_version() -> None:
    strategy = {"canary": {"weight": 20, "holdSeconds": 60}}
    stage = staged(release(1, strategy=strategy), release(2, strategy=strategy))
    stage.version_loads = {("web", stage.state.apps["web"].version.spec_hash): VersionLoad(100, 0.0, 1.0, 60.0)}
    stage.until(lambda: (rollout := stage.state.apps["web"].rollout) and rollout.canary_at)
    assert versions_of(shown(stage)) == {FIRST, SECOND}


def test_a_commit_that_changes_no_container_makes_replicas_of_its_revision() -> None:
    stage = staged(release(1), replace(release(1, replicas=3), revision="r3"))
    stage.settle()
    assert {one.revision for one in shown(stage).instances} == {"r3"}


def test_a_replica_of_a_version_that_nobody_remembers_is_shown_by_its_container() -> None:
    stage = staged(release(1), release(1))
    unknown = replace(
        stage.containers["web-1"], spec_hash="unknown", revision="r0", image_id="sha256:0", created_at=990.0
    )
    stage.containers["web-1"] = unknown
    stage.state = replace(stage.state, replicas={})
    stage.tick(0)
    (one,) = (one for one in shown(stage).instances if one.name == "web-1")
    assert (one.revision, one.image, one.image_reference, one.image_digest) == ("r0", None, "sha256:0", "sha256:0")
    assert one.age_seconds == stage.now - 990.0


def told(stage: Stage, now: Desired) -> Change | None:
    """The last change of the app once this was read."""
    stage.desired = now
    stage.tick()
    return shown(stage).last_change and stage.state.apps["web"].version.change


def test_what_is_known_of_a_change_is_kept_until_more_is_or_the_spec_changes() -> None:
    stage = staged(release(1), release(1))
    spec = version(image="demo:1", revision="r2")
    assert told(stage, desired(spec, revision="r2")) == ANN, "the source's history begins later"
    assert told(stage, desired(replace(spec, change=replace(BOB, of_file=True)), revision="r2")) == ANN
    assert told(stage, desired(replace(spec, change=BOB), revision="r2")) == BOB, "another way to write the same"
    assert told(stage, desired(version(image="demo:2", revision="r3"), revision="r3")) is None
    late = replace(version(image="demo:2", revision="r3"), change=replace(ANN, of_file=True))
    assert told(stage, desired(late, revision="r3")) == late.change, "that history has arrived"


def test_the_branch_stays_on_record_while_the_source_can_not_be_read() -> None:
    host = Host(lambda _: None, lambda *_: None)
    recorded: list[str | None] = []
    save = host.store.save

    def noted(record: Record, *, checkpoint: bool = False) -> None:
        recorded.append(record.branch)
        save(record, checkpoint=checkpoint)

    with patch.object(host.store, "save", noted):
        host.source.desired = Desired("r1", {}, branch="main")
        host.pass_time()
        host.faults.gone.add("source")
        host.pass_time()
        assert recorded[-1] == "main"
        host.faults.gone.clear()
        host.source.desired = Desired("r1", {})
        host.pass_time()
        assert recorded[-1] is None, "it is on no branch any more"

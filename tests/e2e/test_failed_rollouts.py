"""Versions that fail: the old one keeps serving, all of it, and nobody has to go looking for why.

One site is set up once: several apps get bad versions at the same time, and each test looks at what came of one thing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.engine import client, demo_image
from tests.support.load import Load
from tests.support.site import Site, web
from tests.support.site import site as make_site
from tests.support.undisturbed import everybody, undisturbed

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

DEADLINE = "  strategy: {progressDeadlineSeconds: 2}"
STOP_FIRST = "  strategy: {maxSurge: 0, progressDeadlineSeconds: 2}"
PAUSE = "  strategy: {progressDeadlineSeconds: 2, onFailure: pause}"
# A server that dies a moment after its first good answer must not have cost an old replica by then.
PATIENT = "  strategy: {progressDeadlineSeconds: 2, minReadySeconds: 1}"
LATE_IMAGE = "orchestry-demo:is-there-only-later"
UNWELL = {"image": "orchestry-demo:2", "HEALTH": "fail"}

ROLLED_BACK = ("never-ready", "crashing")
NAMES = (*ROLLED_BACK, "paused")
GOOD = {
    "never-ready": web("never-ready", extra=DEADLINE),
    "crashing": web("crashing", extra=PATIENT),
    "paused": web("paused", extra=PAUSE),
    "retried": web("retried", extra=DEADLINE),
    "waiting": web("waiting", extra=DEADLINE),
    "alone": web("alone", replicas=1, extra=STOP_FIRST),
}
BAD = {
    "never-ready": web("never-ready", extra=DEADLINE, **UNWELL),
    "crashing": web("crashing", extra=PATIENT, image="orchestry-demo:2", EXIT_AFTER_MS="50", EXIT_CODE="7"),
    "paused": web("paused", extra=PAUSE, **UNWELL),
    "retried": web("retried", extra=DEADLINE, **UNWELL),
}


@dataclass
class Failed:
    """A site on which every app of BAD has failed. ``before`` are the containers of each from before."""

    site: Site
    revision: str
    before: dict[str, dict[str, str]]
    clients: Load

    def revision_failed(self, name: str, revision: str) -> None:
        """Wait until this revision of the app has failed, and nothing is going on any more."""

        def so() -> bool:
            app = self.site.app(name)
            failed = app["failed_version"]
            going_on = any(one["type"] == "Progressing" and one["status"] for one in app["conditions"])
            return bool(failed and failed["revision"] == revision and not going_on)

        self.site.wait(so)

    def event(self, name: str) -> str:
        """The event of the failure, as the command for machines prints it."""
        found = [e for e in self.site.events(name, "rollout") if "failed" in e.message]
        assert len(found) == 1, [e.message for e in found]
        return f"{found[0].message}\n{json.dumps(dict(found[0].details))}"


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failed]:
    demo_image("2")
    with make_site(tmp_path_factory.mktemp("site")) as site:
        site.start()
        site.deploy({f"{name}.yaml": spec for name, spec in GOOD.items()}, *GOOD)
        before = {name: site.ids(name) for name in GOOD}
        with everybody(site, *GOOD) as clients:
            revision = site.commit({f"{name}.yaml": spec for name, spec in BAD.items()})
            found = Failed(site, revision, before, clients)
            for name in BAD:
                found.revision_failed(name, revision)
        yield found


@pytest.mark.parametrize("name", NAMES)
def test_the_old_version_keeps_serving_while_a_rollout_fails(failed: Failed, name: str) -> None:
    assert failed.before[name].items() <= failed.site.ids(name).items()
    assert failed.clients.failed == {}
    assert failed.site.app(name)["replicas"]["routed"] == 2
    assert {failed.site.get(f"/{name}/version").text for _ in range(6)} == {"1\n"}


@pytest.mark.parametrize("name", NAMES)
def test_a_failed_rollout_is_never_reported_as_success(failed: Failed, name: str) -> None:
    assert failed.site.condition("Degraded", name)["reason"] == "RolloutFailed"
    assert failed.site.app(name)["converged"] is False
    assert failed.site.app(name)["failed_version"]["revision"] == failed.revision
    assert failed.site.command("status", name, "--exit-code").returncode == 1
    completed = [e for e in failed.site.events(name, "rollout") if "complete" in e.message]
    assert len(completed) == 1, "only the first deploy"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("never-ready", ["within 2 s", "503", "unwell, as asked", "listening on port 8080"]),
        ("crashing", ["code 7", "exiting with code 7"]),
        ("paused", ["within 2 s", "503"]),
    ],
)
def test_nobody_has_to_look_for_the_reason_of_a_failed_rollout(failed: Failed, name: str, said: list[str]) -> None:
    status = failed.site.command("status", name).stdout
    for words in said:
        assert words in failed.event(name)
        assert words in status


def test_a_rollback_leaves_nothing_of_the_bad_version(failed: Failed) -> None:
    for name in ROLLED_BACK:
        assert failed.site.ids(name) == failed.before[name]
        app = failed.site.app(name)
        shown = {(one["image"], one["image_digest"], one["revision"]) for one in app["instances"]}
        assert shown == {(app["image"], app["image_digest"], app["revision"])}
        assert app["image"] != "orchestry-demo:2"


def test_a_paused_rollout_stops_where_it_is(failed: Failed) -> None:
    instances = failed.site.app("paused")["instances"]
    assert len(instances) == 3
    new = [one for one in instances if one["container_id"] not in failed.before["paused"].values()]
    assert [(one["state"], one["health"]) for one in new] == [("down", "unknown")]
    assert "paused" in failed.site.condition("Progressing", "paused")["message"]


def test_a_failed_version_is_not_tried_again_by_itself(failed: Failed) -> None:
    before = len(failed.site.events("crashing", "action"))
    failed.site.commit({"README": "an unrelated change\n"})
    failed.site.wait(lambda: failed.site.status()["revision"] == failed.site.git("rev-parse", "HEAD"))
    failed.site.stop()
    failed.site.start()
    failed.site.wait(lambda: failed.site.status()["controller"]["pid"] == failed.site.controller.pid)
    assert len(failed.site.events("crashing", "action")) == before


def test_a_restart_token_tries_a_failed_version_again(failed: Failed) -> None:
    with undisturbed(failed.site, "retried"):
        again = BAD["retried"].replace("spec:\n", "spec:\n  restartToken: again\n")
        revision = failed.site.commit({"retried.yaml": again})
        failed.revision_failed("retried", revision)
    assert failed.site.ids("retried") == failed.before["retried"]


def test_a_broken_release_does_not_block_its_fix(failed: Failed) -> None:
    with undisturbed(failed.site, "retried"):
        broken = failed.site.commit(
            {"retried.yaml": BAD["retried"].replace("spec:\n", "spec:\n  restartToken: more\n")}
        )
        failed.revision_failed("retried", broken)
        failed.site.deploy({"retried.yaml": web("retried", extra=DEADLINE, image="orchestry-demo:2")}, "retried")
        assert {failed.site.get("/retried/version").text for _ in range(6)} == {"2\n"}
        failed.site.deploy({"retried.yaml": GOOD["retried"]}, "retried")
    failed.before["retried"] = failed.site.ids("retried")


# -- causes outside the spec ----------------------------------------------------------------------------------------


def waited_for(site: Site, name: str, reason: str) -> None:
    """Wait until the app is Degraded for this reason, and for longer than its progress deadline."""
    site.wait(lambda: site.condition("Degraded", name)["reason"] == reason)
    since = time.monotonic()
    site.wait(lambda: time.monotonic() - since > 4)
    assert site.condition("Degraded", name)["reason"] == reason
    assert site.app(name)["failed_version"] is None


def test_an_image_that_is_there_only_after_the_deadline_is_rolled_out_then(failed: Failed) -> None:
    site = failed.site
    with undisturbed(site, "waiting"):
        site.commit({"waiting.yaml": web("waiting", extra=DEADLINE, image=LATE_IMAGE)})
        waited_for(site, "waiting", "ImageNotFound")
        assert site.ids("waiting") == failed.before["waiting"]
        client().tag(demo_image("2"), *LATE_IMAGE.split(":"))
        try:
            site.wait(lambda: site.get("/waiting/version").text == "2\n" and site.app("waiting")["converged"])
        finally:
            client().remove_image(LATE_IMAGE)


def test_what_serves_does_not_end_for_a_version_that_can_not_be_created(failed: Failed) -> None:
    site = failed.site
    foreign = f"{site.place.instance}-not-ours"
    client().create_volume(foreign)
    try:
        with undisturbed(site, "alone"):
            mount = "\n  volumes: [{name: not-ours, mountPath: /data, readOnly: true}]"
            site.commit({"alone.yaml": web("alone", replicas=1, extra=STOP_FIRST + mount)})
            waited_for(site, "alone", "VolumeForeign")
            missing = "\n    - {name: TOKEN, source: secret, key: later}"
            spec = web("alone", replicas=1, extra=STOP_FIRST, SOME="thing")
            site.commit({"alone.yaml": spec.replace("  environment:", f"  environment:{missing}", 1)})
            waited_for(site, "alone", "SecretMissing")
        assert site.ids("alone") == failed.before["alone"]
        (site.secrets_dir / "later").write_text("by now")
        site.wait(lambda: site.app("alone")["converged"] and site.ids("alone") != failed.before["alone"])
    finally:
        client().remove_volume(foreign)

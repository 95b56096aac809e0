"""How apps change while people use them: updates, reverts, drains, order. None of it may drop a request."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from docker.errors import NotFound

from tests.support.engine import demo_image
from tests.support.site import Site, web
from tests.support.undisturbed import undisturbed

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

V1, V2, V3 = (f"orchestry-demo:{version}" for version in "123")


def test_requests_in_flight_finish_in_a_rollout_when_scaling_in_and_when_the_app_goes(shared: Site) -> None:
    names = ("rolled", "scaled", "removed")
    shared.deploy({f"{name}.yaml": web(name, grace=8) for name in names}, *names)
    with ThreadPoolExecutor(12) as clients:
        # Four requests of each app, two on each replica, most of which have to go.
        urls = [f"/{name}/slow?ms=5000" for name in names for _ in range(4)]
        answers = [clients.submit(shared.get, url) for url in urls]
        time.sleep(0.5)
        shared.commit(
            {
                "rolled.yaml": web("rolled", grace=8, image=V2),
                "scaled.yaml": web("scaled", grace=8, replicas=1),
                "removed.yaml": None,
            }
        )
        shared.wait(lambda: shared.get("/removed/").status_code == 404)
        assert not any(answer.done() for answer in answers), "they were in flight when their replicas left the routes"
        assert {answer.result().status_code for answer in answers} == {200}
    shared.wait(lambda: (shared.images("rolled"), len(shared.ids("scaled")), shared.ids("removed")) == ({V2}, 1, {}))


def test_a_revert_in_mid_rollout_recreates_no_old_replica(shared: Site) -> None:
    shared.deploy({"revert.yaml": web("revert", replicas=4, grace=0)}, "revert")
    before = shared.ids("revert")
    with undisturbed(shared, "revert"):
        slow = web("revert", replicas=4, grace=0, image=V2, START_DELAY_MS="1500")
        shared.commit({"revert.yaml": slow})
        shared.wait(lambda: not before.items() <= shared.ids("revert").items())
        shared.deploy({"revert.yaml": web("revert", replicas=4, grace=0)}, "revert")
    after = shared.ids("revert")
    assert len(set(before.values()) & set(after.values())) >= 2, "those that were still there stayed"
    assert shared.images("revert") == {V1}


def test_a_commit_in_mid_rollout_retargets_it_at_once(shared: Site) -> None:
    demo_image("3")
    shared.deploy({"retarget.yaml": web("retarget", replicas=3, grace=0)}, "retarget")
    with undisturbed(shared, "retarget"):
        shared.commit({"retarget.yaml": web("retarget", replicas=3, grace=0, image=V2, START_DELAY_MS="60000")})
        shared.wait(lambda: V2 in shared.images("retarget"))
        shared.deploy({"retarget.yaml": web("retarget", replicas=3, grace=0, image=V3)}, "retarget")
    assert shared.images("retarget") == {V3}
    done = [event.message for event in shared.events("retarget", "rollout") if "complete" in event.message]
    assert [V1 in done[0], V3 in done[1], len(done)] == [True, True, 2], "the one in between never counted"


def test_an_app_that_ignores_sigterm_is_killed_after_its_grace(shared: Site) -> None:
    shared.deploy({"stubborn.yaml": web("stubborn", grace=1, IGNORE_TERM="1")}, "stubborn")
    before = shared.ids("stubborn")
    with undisturbed(shared, "stubborn"):
        shared.deploy({"stubborn.yaml": web("stubborn", grace=1, image=V2, IGNORE_TERM="1")}, "stubborn")
    assert not set(before.values()) & set(shared.ids("stubborn").values())
    shared.commit({"stubborn.yaml": None})  # at the site's end it would have to be waited for


def test_a_changed_file_is_rolled_out(shared: Site) -> None:
    extra = "  files: [{path: conf/message.txt, mountPath: /etc/message}]"
    spec = web("filed", extra=extra, MESSAGE_FILE="/etc/message")
    shared.deploy({"filed.yaml": spec, "conf/message.txt": "first\n"}, "filed")
    assert shared.get("/filed/message").text == "first\n"
    before = shared.ids("filed")
    with undisturbed(shared, "filed"):
        shared.deploy({"conf/message.txt": "second\n"}, "filed")
    assert {shared.get("/filed/message").text for _ in range(6)} == {"second\n"}
    assert not set(before.values()) & set(shared.ids("filed").values())
    changes = [event.message for event in shared.events("filed", "rollout")]
    assert any("spec.files[/etc/message]: (changed)" in message for message in changes), changes


def test_a_changed_restart_token_restarts_every_replica(shared: Site) -> None:
    shared.deploy({"token.yaml": web("token", extra="  restartToken: 1")}, "token")
    before = shared.ids("token")
    with undisturbed(shared, "token"):
        shared.deploy({"token.yaml": web("token", extra="  restartToken: 2")}, "token")
    assert not set(before.values()) & set(shared.ids("token").values())


def test_a_changed_secret_rolls_the_apps_that_use_it_one_after_the_other(shared: Site) -> None:
    names, secret = ("cashier", "porter"), shared.secrets_dir / "till"
    secret.write_text("first-code\n")
    variable = "    - {name: CODE, source: secret, key: till}"
    shared.deploy({f"{name}.yaml": web(name, grace=0, extra=variable) for name in names}, *names)
    with undisturbed(shared, *names):
        secret.write_text("second-code\n")
        for name in names:
            shared.wait(lambda name=name: set(codes(shared, name)) == {"CODE=second-code"}, within_seconds=30)
        shared.wait(lambda: not any(shared.condition("Progressing", name).get("status") for name in names))
    told = [(e.message.split()[0], e.app_name) for e in shared.events(type="rollout") if e.app_name in names][-4:]
    assert told == [(word, name) for name in names for word in ("rolling", "rollout")], (
        "one was done before the other began"
    )
    for name in names:
        events = [event.message for event in shared.events(name)]
        assert "secrets changed: till" in events
        assert any(event.startswith("create") and "secret till: (changed)" in event for event in events), events
        assert not any("second-code" in event for event in events)


def codes(site: Site, name: str) -> list[str]:
    """The secret, as each replica of an app was given it that is still there when it is asked."""
    environment: list[str] = []
    for container_id in site.ids(name).values():
        with suppress(NotFound):
            environment += site.api.inspect_container(container_id)["Config"]["Env"]
    return [variable for variable in environment if variable.startswith("CODE=")]


def test_the_first_start_waits_for_what_it_depends_on(shared: Site) -> None:
    files = {
        "first.yaml": web("first", START_DELAY_MS="1500"),
        "second.yaml": web("second", extra="  dependsOn: [first]"),
    }
    revision = shared.commit(files)
    shared.wait(lambda: "waiting for first to be ready" in shared.condition("Ready", "second").get("message", ""))
    assert shared.ids("second") == {}
    shared.wait_converged(revision, "first", "second")
    ready = shared.condition("Ready", "first")["since"]
    to_the_second = len("2026-11-24T15:12:03")  # as the Engine tells when a container was made
    assert all(one["created_at"][:to_the_second] >= ready[:to_the_second] for one in shared.app("second")["instances"])


def test_a_suspended_app_is_left_exactly_as_it_is(shared: Site) -> None:
    shared.deploy({"still.yaml": web("still")}, "still")
    before = shared.ids("still")
    changed = web("still", image=V2, replicas=3)
    revision = shared.commit({"still.yaml": changed.replace("  type: http", "  type: http\n  suspend: true")})
    shared.wait(lambda: shared.condition("Progressing", "still").get("reason") == "Suspended")
    shared.wait(lambda: shared.app("still")["revision"] == revision)
    time.sleep(1.5)
    assert shared.ids("still") == before
    assert shared.get("/still/version").text == "1\n"
    shared.deploy({"still.yaml": changed}, "still")
    assert len(shared.ids("still")) == 3
    assert shared.images("still") == {V2}


def test_an_app_that_writes_to_a_volume_is_replaced_stop_first(shared: Site) -> None:
    volume = "  volumes: [{name: data, mountPath: /data}]"
    shared.deploy({"writer.yaml": web("writer", replicas=1, grace=0, extra=volume)}, "writer")
    shared.deploy({"writer.yaml": web("writer", replicas=1, grace=0, extra=volume, image=V2)}, "writer")
    verbs = [event.message.split()[0] for event in shared.events("writer", "action")]
    assert shared.images("writer") == {V2}
    assert verbs.index("remove") < len(verbs) - 1 - verbs[::-1].index("create"), verbs


def test_replicas_added_after_a_tag_was_moved_are_of_the_build_that_was_applied(shared: Site) -> None:
    repository, tag = "orchestry-demo", "moves"
    shared.api.tag(demo_image("1"), repository, tag)
    try:
        shared.deploy({"tagged.yaml": web("tagged", replicas=1, image=f"{repository}:{tag}")}, "tagged")
        shared.api.tag(demo_image("2"), repository, tag)
        shared.deploy({"tagged.yaml": web("tagged", replicas=3, image=f"{repository}:{tag}")}, "tagged")
        assert shared.images("tagged") == {V1}
        shared.wait(lambda: any("means" in notice and "tagged" in notice for notice in shared.status()["notices"]))
        again = web("tagged", replicas=3, image=f"{repository}:{tag}", extra="  restartToken: again")
        shared.deploy({"tagged.yaml": again}, "tagged")
        assert shared.images("tagged") == {V2}
    finally:
        shared.api.remove_image(f"{repository}:{tag}", force=True)

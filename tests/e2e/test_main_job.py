"""The main job on real parts: a commit becomes running, healthy, routed replicas, and stays so."""

from __future__ import annotations

import itertools
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.engine import client, demo_image, run_foreign
from tests.support.site import Site, web

pytestmark = [pytest.mark.engine, pytest.mark.nginx]


def answers(site: Site, path: str = "/web/", tries: int = 12) -> set[str]:
    """The distinct bodies of a few requests, each of which must have been answered well."""
    found = [site.get(path) for _ in range(tries)]
    assert {answer.status_code for answer in found} == {200}, [answer.text for answer in found]
    return {answer.text for answer in found}


def ids(site: Site) -> dict[str, str]:
    return {name: container["Id"] for name, container in site.containers().items()}


@contextmanager
def clients(site: Site, path: str = "/web/") -> Iterator[list[str]]:
    """A client that asks all the time, on a new connection each; what went wrong is in the list."""
    failures: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answer = site.get(path, headers={"Connection": "close"})
                if answer.status_code != 200:
                    failures.append(f"{answer.status_code}: {answer.text[:200]}")
            except requests.RequestException as error:
                failures.append(str(error))
            time.sleep(0.005)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield failures
    finally:
        done.set()
        thread.join()


def test_first_deploy_serves_what_was_committed(site: Site) -> None:
    revision = site.commit({"web.yaml": web()})
    site.converge()
    app = site.app()
    assert app["revision"] == revision
    assert app["replicas"] == {"desired": 2, "current": 2, "ready": 2, "routed": 2}
    assert sorted(site.containers()) == ["web-1", "web-2"]
    labels = site.containers()["web-1"]["Labels"]
    assert labels["orchestry.app"] == "web"
    assert labels["orchestry.replica"] == "1"
    assert labels["orchestry.managed"] == "true"
    assert labels["orchestry.revision"] == revision
    assert len(answers(site)) == 2, "both replicas answer"
    assert site.get("/elsewhere").status_code == 404


def test_second_run_changes_nothing(site: Site) -> None:
    site.commit({"web.yaml": web()})
    site.converge()
    before = ids(site)
    site.converge()
    assert ids(site) == before
    assert site.command("plan").returncode == 0, site.command("plan").stdout
    shown = site.command("status", "--exit-code")
    assert (shown.returncode, "the controller is not running: it was stopped" in shown.stdout) == (1, True)


def test_scaling_by_commit_recreates_nothing(site: Site) -> None:
    site.commit({"web.yaml": web(replicas=2)})
    site.start()
    site.wait_converged(site.git("rev-parse", "HEAD"))
    before = ids(site)
    with clients(site) as failures:
        site.wait_converged(site.commit({"web.yaml": web(replicas=4)}))
        assert len(ids(site)) == 4
        assert before.items() <= ids(site).items()
        site.wait_converged(site.commit({"web.yaml": web(replicas=1)}))
        assert list(ids(site).items()) == [("web-1", before["web-1"])]
    assert failures == []


def test_changed_image_is_rolled_out_without_an_error(site: Site) -> None:
    demo_image("2")
    site.commit({"web.yaml": web()})
    site.start()
    site.wait_converged(site.git("rev-parse", "HEAD"))
    assert all("1 from" in text for text in answers(site))
    revision = site.commit({"web.yaml": web(image="orchestry-demo:2")})
    with clients(site) as failures:
        site.wait_converged(revision)
    assert all("2 from" in text for text in answers(site))
    assert failures == []
    assert "orchestry-demo:1 → orchestry-demo:2" in site.command("events", "--type", "rollout").stdout


def test_plan_tells_what_the_next_tick_does_and_touches_nothing(site: Site) -> None:
    site.commit({"web.yaml": web()})
    first = site.command("plan")
    assert first.returncode == 2, first.stderr
    assert f"create {site.place.name_prefix}web-1" in first.stdout
    assert site.containers() == {}
    site.converge()
    site.commit({"web.yaml": web(replicas=3)})
    second = site.command("plan")
    assert second.returncode == 2
    assert f"create {site.place.name_prefix}web-3" in second.stdout
    assert "3 replicas wanted by manual scaling" in second.stdout
    assert len(site.containers()) == 2


def test_removed_app_goes_and_the_others_stay(site: Site) -> None:
    site.commit({"web.yaml": web(), "other.yaml": web("other", replicas=1)})
    site.start()
    site.wait_converged(site.git("rev-parse", "HEAD"), "web", "other")
    before = ids(site)
    revision = site.commit({"other.yaml": None})
    site.wait(lambda: "other-1" not in ids(site))
    site.wait_converged(revision)
    site.wait(lambda: [app["name"] for app in site.status()["apps"]] == ["web"])
    assert site.get("/other/").status_code == 404
    assert ids(site) == {name: id_ for name, id_ in before.items() if name != "other-1"}


def test_broken_spec_keeps_its_last_good_version_and_hinders_nobody(site: Site) -> None:
    site.commit({"web.yaml": web(), "other.yaml": web("other", replicas=1)})
    site.start()
    site.wait_converged(site.git("rev-parse", "HEAD"), "web", "other")
    before = ids(site)
    broken = web().replace("replicas: 2", 'replicas: "3"')
    revision = site.commit({"web.yaml": broken, "other.yaml": web("other", replicas=2)})
    site.wait_converged(revision, "other")
    assert {"web-1", "web-2", "other-2"} <= ids(site).keys()
    assert before.items() <= ids(site).items()
    error = site.app()["error"]
    assert "web.yaml" in error
    assert "scaling.replicas" in error
    assert site.command("status", "--exit-code").returncode == 1
    refused = site.command("teardown", "--yes")
    assert (refused.returncode, before.items() <= ids(site).items()) == (1, True)
    assert "another controller" in refused.stderr
    site.stop()
    left = site.command("run", "--until-converged")
    assert left.returncode == 1, "all that is left needs a commit"
    assert "the source needs a commit: web.yaml" in left.stderr
    site.start()
    site.wait_converged(site.commit({"web.yaml": web(replicas=3)}))


def test_empty_specs_directory_deletes_nothing(site: Site) -> None:
    site.commit({"web.yaml": web(), "other.yaml": web("other", replicas=1)})
    site.start("--tick", "0.3")
    site.wait_converged(site.git("rev-parse", "HEAD"), "web", "other")
    before = ids(site)
    revision = site.commit({"web.yaml": None, "other.yaml": None, "README": "no specs here\n"})
    site.wait(lambda: any("--confirm-deletions" in notice for notice in site.status().get("notices", ())))
    time.sleep(1)
    assert ids(site) == before
    assert answers(site)
    site.stop()
    site.start("--confirm-deletions", revision)
    site.wait(lambda: not ids(site))


def test_unhealthy_replica_is_replaced_once_and_start_first(site: Site) -> None:
    site.commit({"web.yaml": web()})
    site.start()
    site.wait_converged(site.git("rev-parse", "HEAD"))
    before = ids(site)
    address = site.app()["instances"][0]["address"]
    name = site.app()["instances"][0]["name"].removeprefix(site.place.name_prefix)
    with clients(site) as failures:
        requests.get(f"http://{address}:8080/fail-health", timeout=5)
        site.wait(lambda: ids(site).get(name) != before[name])
        site.wait(lambda: site.condition("Ready").get("status") and len(ids(site)) == 2)
    assert failures == []
    after = ids(site)
    other = next(n for n in before if n != name)
    assert after[other] == before[other]
    assert before[name] not in after.values()
    verdicts = site.command("events", "--type", "health").stdout
    assert "unhealthy" in verdicts
    assert "503" in verdicts


@pytest.mark.parametrize("how", ["kill", "remove"])
def test_lost_container_comes_back_at_its_own_address_without_a_reload(site: Site, how: str) -> None:
    site.commit({"web.yaml": web()})
    site.start()
    site.wait_converged(site.git("rev-parse", "HEAD"))
    before = {i["name"]: (i["address"], i["container_id"]) for i in site.app()["instances"]}
    table = site.command("events", "--type", "routes").stdout
    victim, (address, container_id) = next(iter(before.items()))
    if how == "kill":
        client().kill(container_id)
    else:
        client().remove_container(container_id, force=True)

    def healed() -> bool:
        now = {i["name"]: i for i in site.app()["instances"]}
        return victim in now and now[victim]["state"] == "ready" and _answers(address)

    site.wait(healed)
    now = {i["name"]: (i["address"], i["container_id"]) for i in site.app()["instances"]}
    assert now[victim][0] == address
    assert (now[victim][1] == container_id) == (how == "kill")
    assert site.command("events", "--type", "routes").stdout == table, "the route table did not change"


def _answers(address: str) -> bool:
    try:
        return requests.get(f"http://{address}:8080/healthz", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def test_controller_killed_in_mid_change_goes_on_where_it_was(site: Site) -> None:
    demo_image("2")
    site.commit({"web.yaml": web(replicas=3)})
    site.start()
    site.wait_converged(site.git("rev-parse", "HEAD"))
    revision = site.commit({"web.yaml": web(replicas=3, image="orchestry-demo:2")})
    with clients(site) as failures:
        site.wait(lambda: "orchestry-demo:2" in site.images())
        site.stop(signal.SIGKILL)
        time.sleep(0.5)
        assert answers(site), "nginx and the apps go on without a controller"
        site.start()
        site.wait_converged(revision)
    assert failures == []
    assert site.images() == {"orchestry-demo:2"}
    assert len(site.containers()) == 3


def test_stopped_controller_leaves_the_apps_running_and_status_readable(site: Site) -> None:
    site.commit({"web.yaml": web()})
    site.start()
    site.wait_converged(site.git("rev-parse", "HEAD"))
    before = ids(site)
    assert site.stop() == 0
    assert ids(site) == before
    assert answers(site)
    assert site.command("status").returncode == 0
    started_at = site.status()["controller"]["started_at"]
    site.start()
    site.wait(lambda: site.status()["controller"]["started_at"] != started_at)
    assert ids(site) == before
    assert site.stop() == 0


def test_second_controller_of_the_same_instance_refuses(site: Site, tmp_path: Path) -> None:
    site.commit({"web.yaml": web(replicas=1)})
    site.start()
    site.wait_converged(site.git("rev-parse", "HEAD"))
    for flags in ((), ("--state-dir", str(tmp_path / "elsewhere"))):
        second = site.command("run", "--once", *flags)
        assert second.returncode == 1
        assert "Traceback" not in second.stderr
        assert "another controller" in second.stderr or "already" in second.stderr, second.stderr


def test_lost_database_is_rebuilt_without_recreating_anything(site: Site) -> None:
    site.commit({"web.yaml": web()})
    site.converge()
    before = ids(site)
    for path in site.state_dir.rglob("orchestry.db*"):
        path.unlink()
    site.start()
    with clients(site) as failures:
        site.wait_converged(site.git("rev-parse", "HEAD"))
    assert ids(site) == before
    assert failures == []
    assert "adopted" in site.command("events").stdout


def test_foreign_container_of_the_same_name_is_left_alone(site: Site) -> None:
    foreign = run_foreign(f"{site.place.name_prefix}web-1")
    site.commit({"web.yaml": web()})
    site.converge()
    assert sorted(site.containers()) == ["web-2", "web-3"]
    assert client().inspect_container(foreign)["State"]["Running"]
    site.command("teardown", "--yes")
    assert client().inspect_container(foreign)["State"]["Running"]
    assert site.containers() == {}


@pytest.mark.parametrize("source", ["away", "empty"])
def test_an_instance_that_was_torn_down_stays_so_until_the_source_asks_for_it(site: Site, source: str) -> None:
    site.commit({"web.yaml": web()})
    site.converge()
    assert site.command("teardown", "--yes").returncode == 0
    specs, away = site.repository, site.repository.with_name("away")
    specs.rename(away)
    if source == "empty":
        (specs / "specs").mkdir(parents=True)
    assert site.command("run", "--once").returncode == (1 if source == "away" else 0)
    assert site.containers() == {}
    assert "torn down; nothing is made anew" in site.command("events").stdout
    if source == "empty":
        shutil.rmtree(specs)
    away.rename(specs)
    site.converge()
    assert sorted(site.containers()) == ["web-1", "web-2"]


def test_refused_routes_leave_the_other_apps_served(site: Site) -> None:
    site.commit({"web.yaml": web()})
    site.start()
    site.wait_converged(site.git("rev-parse", "HEAD"))
    broken = site.secrets_dir / "broken"
    broken.mkdir()
    for name in ("tls.crt", "tls.key"):
        (broken / name).write_text("no certificate at all\n")
    tls = web("secure", replicas=1).replace(
        "routes: [{path: /secure, stripPrefix: true}]",
        "routes: [{host: s.example.com, path: /, tls: {secret: broken}}]",
    )
    revision = site.commit({"secure.yaml": tls, "web.yaml": web(replicas=3)})
    site.wait_converged(revision)
    site.wait(lambda: site.condition("Degraded", "secure").get("status"))
    assert "broken" in site.app("secure")["error"] or "certificate" in site.app("secure")["error"]
    assert len(answers(site, tries=24)) == 3


def test_uncommitted_changes_are_reported_and_ignored(site: Site) -> None:
    site.commit({"web.yaml": web(replicas=1)})
    (site.repository / "specs" / "web.yaml").write_text(web(replicas=3))
    site.converge()
    assert sorted(site.containers()) == ["web-1"]
    assert any("uncommitted" in notice for notice in site.status()["notices"])


def test_commits_are_followed_in_a_row(site: Site) -> None:
    site.commit({"web.yaml": web(replicas=1)})
    site.start()
    for replicas in itertools.chain((3, 1, 2)):
        revision = site.commit({"web.yaml": web(replicas=replicas, grace=0)})
    site.wait_converged(revision)
    assert len(site.containers()) == 2

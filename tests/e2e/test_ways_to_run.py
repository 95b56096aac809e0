"""The same job with another database, another nginx, other settings, and beside another instance."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import requests

from reconciler import __version__
from reconciler.edge import edge_container_name
from reconciler.ports import CHECKPOINT_SECONDS
from tests.support.nginx import nginx_image
from tests.support.postgres import postgres_server, postgres_url
from tests.support.site import Site, web
from tests.support.site import site as make_site

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

__all__ = ["postgres_server", "postgres_url"]


@pytest.mark.postgres
def test_an_installation_runs_on_postgresql(site: Site, postgres_url: str) -> None:
    site.environment = {**os.environ, "ORCHESTRY_DATABASE": postgres_url}
    revision = site.commit({"web.yaml": web()})
    site.converge()
    before = {name: c["Id"] for name, c in site.containers().items()}
    site.converge()
    assert {name: c["Id"] for name, c in site.containers().items()} == before
    shown = json.loads(site.command("status", "-o", "json").stdout)
    assert shown["apps"][0]["revision"] == revision
    assert shown["controller"]["trouble"].startswith("the controller is not running: it was stopped ")
    assert "registered" in site.command("events", "--app", "web").stdout
    assert not list(site.state_dir.rglob("*.db"))
    assert postgres_url.split("@")[0].split(":")[-1] not in site.command("status", "-o", "json").stdout


def test_an_installation_runs_behind_an_nginx_in_a_container(site: Site) -> None:
    site.environment = {**os.environ, "ORCHESTRY_EDGE_IMAGE": nginx_image()}
    site.commit({"web.yaml": web()})
    site.start("--edge", "container")
    site.wait_converged(site.git("rev-parse", "HEAD"))
    assert site.get("/web/").status_code == 200
    site.wait_converged(site.commit({"web.yaml": web(replicas=3)}))
    assert len({site.get("/web/").text for _ in range(24)}) == 3
    for _ in range(2):  # somebody kills it: the second time right after everybody has looked
        killed_at = time.monotonic()
        site.api.kill(edge_container_name(site.place.instance))
        site.wait(lambda: site.answers("/web/"))
        assert time.monotonic() - killed_at < CHECKPOINT_SECONDS / 2
    site.stop()
    assert site.get("/web/").status_code == 200, "it goes on without the controller"
    done = site.command("teardown", "--yes", "--edge", "container")
    assert done.returncode == 0, done.stderr
    with pytest.raises(requests.ConnectionError):
        site.get("/web/")


def test_a_teardown_is_told_before_it_is_done_and_removes_the_rest_where_nginx_can_not_be_told(
    site: Site, tmp_path: Path
) -> None:
    site.commit({"web.yaml": web(replicas=1)})
    site.converge("--edge", "none")
    prefix = site.place.name_prefix
    site.environment |= {
        "ORCHESTRY_EDGE": "external",
        "ORCHESTRY_EDGE_DIRECTORY": str(tmp_path / "edge"),
        "ORCHESTRY_EDGE_TEST_COMMAND": '["true"]',
        "ORCHESTRY_EDGE_RELOAD_COMMAND": '["sh", "-c", "echo nobody answers; exit 3"]',
    }
    asked = site.command("teardown")
    assert (asked.returncode, sorted(site.containers())) == (1, ["web-1"])
    assert asked.stdout.splitlines() == [
        f"would remove container {prefix}web-1",
        "would take the routes out of nginx (external)",
        f"would remove network {site.place.network}",
    ]
    assert "say --yes to go ahead" in asked.stderr
    done = site.command("teardown", "--yes")
    assert (done.returncode, site.containers()) == (1, {})
    assert done.stdout.splitlines() == [f"removed container {prefix}web-1", f"removed network {site.place.network}"]
    assert (
        "could not take the routes out of nginx (external): the reload command failed with exit code 3" in done.stderr
    )
    assert "nobody answers; all else is done" in done.stderr
    site.environment["ORCHESTRY_EDGE_RELOAD_COMMAND"] = '["true"]'
    assert site.command("teardown", "--yes").stdout.splitlines() == ["took the routes out of nginx"]


def test_an_installation_runs_without_an_edge(site: Site) -> None:
    site.commit({"web.yaml": web()})
    site.converge("--edge", "none")
    addresses = [instance["address"] for instance in site.app()["instances"]]
    assert {requests.get(f"http://{a}:8080/", timeout=5).status_code for a in addresses} == {200}
    assert "ROUTED" not in site.command("status").stdout


def test_who_changed_an_app_and_what_it_was_made_from_is_told(site: Site) -> None:
    revision = site.commit({"web.yaml": web()}, "Begin with web")
    site.converge("--edge", "none")
    author, branch = site.git("show", "--no-patch", "--format=%an"), site.git("branch", "--show-current")
    change = site.app()["last_change"]
    assert (change["commit"], change["author"], change["subject"]) == (revision, author, "Begin with web")
    (digest,) = {instance["image_digest"] for instance in site.app()["instances"]}
    assert {instance["revision"] for instance in site.app()["instances"]} == {revision}
    text = site.command("status", "web").stdout
    assert f"changed by {author} " in text
    assert f" ago in {revision[:12]}: Begin with web" in text
    assert digest.startswith("sha256:")
    assert digest[:19] in text
    assert f"source {site.repository / 'specs'} · branch {branch}" in text


def test_two_instances_share_a_host(site: Site, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with make_site(tmp_path / "second") as other:
        site.commit({"web.yaml": web(replicas=1)})
        other.commit({"web.yaml": web(replicas=2)})
        site.converge()
        other.converge()
        assert len(site.containers()) == 1
        assert len(other.containers()) == 2
        assert site.get("/web/").text not in {other.get("/web/").text for _ in range(6)}
    assert site.get("/web/").status_code == 200, "tearing down the other one touched nothing of this"


def test_settings_come_from_flags_then_variables_then_the_file(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'concurrency = 3\nstate_dir = "{site.state_dir}"\ninstance = "in-the-file"\n')
    site.environment = {**os.environ, "ORCHESTRY_SETTINGS": str(file), "ORCHESTRY_INSTANCE": "in-a-variable"}
    site.commit({"web.yaml": web(replicas=1)})
    site.converge()
    assert len(site.containers()) == 1, "the flag's instance is the one that counts"
    file.write_text("concurency = 3\n")
    wrong = site.command("status")
    assert wrong.returncode == 1
    assert "is concurrency meant?" in wrong.stderr
    site.environment = None
    assert "Traceback" not in wrong.stderr


def test_secrets_reach_the_program_and_nothing_else(site: Site) -> None:
    (site.secrets_dir / "database").mkdir()
    (site.secrets_dir / "database" / "password").write_text("hunter2-very-secret")
    spec = web(replicas=1).replace(
        "  environment:\n",
        "  environment:\n    - {name: DB_PASSWORD, source: secret, key: database, field: password}\n",
    )
    site.commit({"web.yaml": spec})
    site.converge()
    environment = site.api.inspect_container(site.containers()["web-1"]["Id"])["Config"]["Env"]
    assert "DB_PASSWORD=hunter2-very-secret" in environment
    for command in (
        ["status", "-o", "json"],
        ["status", "web"],
        ["events"],
        ["explain", "web"],
        ["plan"],
        ["history", "web"],
        ["history", "--actions"],
        ["history", "--revisions"],
        ["settings"],
    ):
        assert "hunter2" not in site.command(*command).stdout
    assert b"hunter2" not in (site.state_dir / site.place.instance / "orchestry.db").read_bytes()


def test_hangup_looks_at_the_source_at_once(site: Site) -> None:
    """A fetch that only an hour would bring comes with SIGHUP."""
    site.commit({"web.yaml": web(replicas=1)})
    remote = f"file://{site.repository}"
    site.start("--source", remote, "--path", "specs", "--allow-file-urls", "--fetch-interval", "3600")
    site.wait_converged(site.git("rev-parse", "HEAD"))
    revision = site.commit({"web.yaml": web(replicas=2)})
    assert site.controller is not None
    site.controller.send_signal(signal.SIGHUP)
    site.wait_converged(revision)
    assert len(site.containers()) == 2


def test_deletions_are_confirmed_in_the_settings_file_without_a_restart(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("")
    site.commit({"web.yaml": web(replicas=1)})
    site.start("--settings", str(file), "--edge", "none", "--tick", "3600")
    site.wait_converged(site.git("rev-parse", "HEAD"))
    revision = site.commit({"web.yaml": None, "README": "no specs here\n"})
    held_back = f'set confirm_deletions = "{revision[:8]}'
    site.wait(lambda: any(held_back in notice for notice in site.status()["notices"]))
    assert site.controller is not None
    file.write_text("confirm_deletions = 7\n")
    site.controller.send_signal(signal.SIGHUP)
    site.wait(lambda: "the settings were not read again" in site.log.read_text())
    assert sorted(site.containers()) == ["web-1"]
    file.write_text(f'confirm_deletions = "{revision}"\nlog_format = "json"\n')
    site.controller.send_signal(signal.SIGHUP)
    site.wait(lambda: site.containers() == {})
    first, *others = site.log.read_text().splitlines()
    assert f"orchestry {__version__}, instance {site.place.instance}: source {site.repository}/specs; no edge" in first
    assert not any(line.startswith("{") for line in others), "no other setting was read again"

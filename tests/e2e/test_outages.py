"""A controller that is dead, blind, mute or hangs is said to be so, within 15 seconds, by every way of asking."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer, serving
from tests.support.relay import relay
from tests.support.site import Site, web
from tests.support.tcp import unused_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

# The product promises 15; the rest is for a loaded machine.
PATIENCE_SECONDS = 25.0


def told(site: Site, sentence: str, *, within_seconds: float = PATIENCE_SECONDS) -> dict[str, object]:
    """The status once it says so, of which every way of asking has to agree that nothing is known."""

    def look() -> dict[str, object] | None:
        asked = site.command("status", "--exit-code", "-o", "json")
        return dict(json.loads(asked.stdout)) if asked.returncode == 1 and sentence in asked.stdout else None

    try:
        status = eventually(look, within_seconds=within_seconds, every_seconds=0.2)
    except AssertionError as error:
        raise AssertionError(f"{sentence!r} is not said: {error}\n{site.evidence()}") from None
    assert not status["converged"]
    table = site.command("status", "--exit-code")
    assert (table.returncode, sentence in table.stdout) == (1, True), table.stdout
    assert "  Ready" not in table.stdout
    return status


def running(site: Site) -> Site:
    site.deploy({"web.yaml": web(replicas=1)})
    assert site.command("status", "--exit-code").returncode == 0, site.evidence()
    return site


def messages(site: Site) -> list[str]:
    return [event.message for event in site.events() if event.type in ("controller", "source")]


def test_a_killed_a_stopped_and_a_torn_down_controller_are_told_apart(site: Site) -> None:
    site.start()
    running(site).stop(signal.SIGKILL)
    status = told(site, "the controller seems not to be running")
    assert status["controller"]["stopped_at"] is None
    explained = site.command("explain", "web").stdout
    assert "the controller seems not to be running" in explained.splitlines()[0]

    site.start()
    running(site).stop()
    status = told(site, "the controller is not running: it was stopped", within_seconds=0)
    assert (status["controller"]["running"], status["apps"][0]["known"]) == (False, False)
    assert status["controller"]["stopped_at"] is not None
    assert "Unknown" in site.command("status").stdout

    assert site.command("teardown", "--yes").returncode == 0
    told(site, "everything of this instance was removed", within_seconds=0)
    assert "web" not in site.command("status").stdout


def test_an_engine_that_freezes_is_said_to_be_out_of_sight_and_then_to_be_back(site: Site, tmp_path: Path) -> None:
    with relay(str(tmp_path / "docker.sock"), "/var/run/docker.sock") as line:
        site.environment["DOCKER_HOST"] = f"unix://{tmp_path}/docker.sock"
        site.start()
        running(site)
        line.flowing.clear()
        told(site, "the Docker Engine can't be seen: ")
        line.flowing.set()
        eventually(lambda: site.command("status", "--exit-code").returncode == 0, within_seconds=60)
        [begun, ended] = [message for message in messages(site) if message.startswith("the Docker Engine can")]
        assert begun.startswith("the Docker Engine can't be seen: the Docker Engine at unix://")
        assert ended.startswith("the Docker Engine can be seen again, which was not so from ")
        site.stop()
        del site.environment["DOCKER_HOST"]


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(file: Path) -> None:
    """Let the file take all the room there is."""
    with suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


def test_a_full_state_disk_is_said_and_told_of_once_there_is_room(site: Site) -> None:
    with small_disk(site.state_dir):
        site.start()
        running(site)
        ballast = site.state_dir / "ballast"
        before = len(site.log.read_text().splitlines())
        fill(ballast)
        told(site, "the database can't be written: ")
        for name in ("web", "more", "web"):  # of which it could tell a lot
            site.commit({f"{name}.yaml": web(name, replicas=2)})
        eventually(lambda: "make room on its disk (for 2" in site.command("status").stdout)  # after many a try
        logged = [line for line in site.log.read_text().splitlines()[before:] if "make room" in line]
        site.stop()
        site.start()
        told(site, "the database can't be written: ")
        ballast.unlink()
        eventually(lambda: site.command("status", "--exit-code").returncode == 0, within_seconds=60)
        assert len(logged) == 1, logged
        [begun, ended] = [message for message in messages(site) if message.startswith("the database can")]
        assert "the database can be written again, which was not so from " in ended
        assert "make room" in begun
        site.stop(signal.SIGTERM)
        assert site.command("teardown", "--yes").returncode == 0


@pytest.mark.postgres
def test_a_postgresql_that_is_stopped_is_said(site: Site) -> None:
    with serving() as server:
        site.environment = {**os.environ, "ORCHESTRY_DATABASE": server.create_database()}
        site.start()
        site.commit({"web.yaml": web(replicas=1)})
        eventually(lambda: site.command("status", "--exit-code").returncode == 0, within_seconds=60)
        server.process.send_signal(signal.SIGINT)
        server.process.wait(timeout=30)
        asked = site.command("status", "--exit-code")
        assert asked.returncode == 1
        assert "check that the server runs" in asked.stderr
        sign = site.state_dir / site.place.instance / "alive"
        eventually(lambda: "the database can't be written" in sign.read_text(), within_seconds=PATIENCE_SECONDS)
        site.stop()
    site.environment = dict(os.environ)


@pytest.mark.postgres
def test_a_start_without_postgresql_waits_for_it_and_does_nothing_before(site: Site) -> None:
    port = unused_port()
    site.environment |= {"ORCHESTRY_DATABASE": PostgresServer.url_at(port, "postgres")}
    site.commit({"web.yaml": web(replicas=1)})
    once = site.command("run", "--once")
    assert (once.returncode, once.stderr.count("nothing is done until it can be")) == (1, 1)
    site.start()
    sign = site.state_dir / site.place.instance / "alive"
    eventually(lambda: "the database can't be written" in sign.read_text(), within_seconds=PATIENCE_SECONDS)
    assert not site.api.networks(names=[site.place.network])
    with serving(port) as server:
        eventually(lambda: site.command("status", "--exit-code").returncode == 0, within_seconds=60)
        told_of = site.command("events").stdout
        assert told_of.count("the database can't be written") == 1
        assert told_of.count("the database can be written again, which was not so from ") == 1
        assert site.log.read_text().count("nothing is done until it can be") == 1

        server.set_read_only(server.url("postgres"), read_only=True)
        told(site, "the database can't be written: ")
        assert "it takes no writes at this time" in sign.read_text()
        assert site.log.read_text().count("takes no writes at this time") <= 1, "once a minute"
        server.set_read_only(server.url("postgres"), read_only=False)
        eventually(lambda: site.command("status", "--exit-code").returncode == 0, within_seconds=60)
        site.stop()
        assert site.command("teardown", "--yes").returncode == 0
    site.environment.pop("ORCHESTRY_DATABASE")


@pytest.mark.postgres
def test_what_is_recorded_while_no_commit_is_answered_is_told_once(site: Site) -> None:
    port = unused_port()
    with serving() as server, relay(("127.0.0.1", port), ("127.0.0.1", server.port)) as line:
        direct = server.create_database()
        site.environment |= {"ORCHESTRY_DATABASE": direct.replace(str(server.port), str(port))}
        site.start()
        running(site)
        line.unanswered = b"COMMIT"
        revision = site.commit({"web.yaml": web(replicas=2)})
        sign = site.state_dir / site.place.instance / "alive"
        eventually(lambda: "the database can't be written" in sign.read_text(), within_seconds=PATIENCE_SECONDS)
        line.unanswered = b""
        site.wait_converged(revision)
        told_of = Counter((event.app_name, event.message) for event in site.events())
        repeated = {what: count for what, count in told_of.items() if count > 1}
        assert repeated == {}
        assert any("1 → 2" in message for _, message in told_of)
        site.stop()
        assert site.command("teardown", "--yes").returncode == 0
    site.environment.pop("ORCHESTRY_DATABASE")


_SQUATTER = """
import os, socket, sys, time
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
squatted = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
squatted.bind("\\0" + sys.argv[1])
print("held", flush=True)
time.sleep(600)
"""


def test_another_user_who_takes_the_socket_of_earlier_versions_keeps_nobody_out(site: Site) -> None:
    name = f"orchestry/{site.api.info()['ID']}/{site.place.instance}"
    command = [sys.executable, "-c", _SQUATTER, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as squatter:
        try:
            assert squatter.stdout is not None
            assert squatter.stdout.readline() == "held\n"
            site.commit({"web.yaml": web(replicas=1)})
            site.converge()
            site.start()
            site.deploy({"web.yaml": web(replicas=2)})
            second = site.command("run", "--once", "--state-dir", str(site.state_dir / "elsewhere"))
            assert (second.returncode, "another controller runs instance" in second.stderr) == (1, True), second.stderr
            site.stop()
            assert site.command("teardown", "--yes").returncode == 0
            assert site.containers() == {}
        finally:
            squatter.kill()

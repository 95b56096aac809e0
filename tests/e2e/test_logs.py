"""`orchestry logs` of real replicas: in order, marked, redacted, followed over what comes and goes."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.runtime.engine import Engine
from reconciler.runtime.logs import MAX_LINE_BYTES, ContainerLogs, LogLine, Selection
from tests.support.engine import Playground, client, playground
from tests.support.shell import shell_image
from tests.support.site import INTERRUPTIBLE, ORCHESTRY, Site
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine

SPEC = """apiVersion: v1
kind: App
metadata: {name: talk}
spec:
  type: worker
  image: %(image)s
  imagePullPolicy: Never
  command: [sh, -c, "%(program)s"]
  terminationGracePeriodSeconds: 1
  environment:
    - {name: TOKEN, source: secret, key: token}
scaling: {mode: manual, replicas: %(replicas)d}
"""
TALKS = "echo start of %s; echo token=$TOKEN >&2; while true; do sleep 0.2; done"


@pytest.fixture
def place() -> Iterator[Playground]:
    with playground() as place:
        yield place


def started(place: Playground, slot: int, program: str, *, env: tuple[str, ...] = (), **options: Any) -> str:
    """A replica of `web` whose shell runs a program; its id."""
    labels = {
        "orchestry.managed": "true",
        "orchestry.instance": place.instance,
        "orchestry.app": "web",
        "orchestry.replica": str(slot),
        "orchestry.spec-hash": "0" * 12,
        "orchestry.revision": "r1",
        "orchestry.secrets": "TOKEN",
    }
    tty = options.pop("Tty", False)
    body = {"Image": shell_image(), "Cmd": ["sh", "-c", program], "Labels": labels, "Env": list(env), "Tty": tty}
    body["HostConfig"] = {"NetworkMode": "none", **options}
    container_id = str(client().create_container_from_config(body, f"{place.name_prefix}web-{slot}")["Id"])
    client().start(container_id)
    return container_id


@contextmanager
def logs_of(place: Playground) -> Iterator[ContainerLogs]:
    with closing(Engine(2)) as engine:
        yield ContainerLogs(engine, place.instance, place.network)


def written(place: Playground, **selection: Any) -> list[tuple[str, str]]:
    """Slot and text of the lines so far."""
    with logs_of(place) as logs:
        return [(line.replica[-1], line.text) for line in logs.written(Selection("web", **selection))]


def ended(container_id: str) -> None:
    client().wait(container_id, timeout=60)


def test_lines_of_all_replicas_come_in_order_of_time_from_both_streams(place: Playground) -> None:
    for slot, text in ((2, "first"), (1, "second"), (3, "third")):
        ended(started(place, slot, f"echo {text}; sleep 0.01; echo {text} error >&2"))
    assert written(place) == [
        ("2", "first"),
        ("2", "first error"),
        ("1", "second"),
        ("1", "second error"),
        ("3", "third"),
        ("3", "third error"),
    ]
    assert written(place, slot=1) == [("1", "second"), ("1", "second error")]
    assert written(place, tail=1) == [("2", "first error"), ("1", "second error"), ("3", "third error")]
    assert written(place, since=time.time() + 60) == []


def test_secrets_in_lines_are_unreadable_also_in_one_that_is_cut_off(place: Playground) -> None:
    secret = "hunter2-" + "x" * 60
    double = "a=$TOKEN; for i in 1 2 3 4 5 6 7 8 9 10; do a=$a$a; done; echo $a$a"
    ended(started(place, 1, f"echo pw=$TOKEN; {double}; echo end", env=(f"TOKEN={secret}",)))
    first, long, last = written(place)
    assert (first, last) == (("1", "pw=***"), ("1", "end"))
    assert "hunter" not in long[1]
    assert long[1].startswith("******")
    assert long[1].endswith("…")
    assert len(long[1]) <= MAX_LINE_BYTES


def test_a_long_line_that_the_engine_keeps_in_parts_is_one_line(place: Playground) -> None:
    ended(started(place, 1, "a=0123456789abcdef; for i in 1 2 3 4 5 6 7 8 9 10 11; do a=$a$a; done; echo $a"))
    assert written(place) == [("1", "0123456789abcdef" * 2048)]


def test_lines_of_a_terminal_are_lines(place: Playground) -> None:
    ended(started(place, 1, "echo one; echo two >&2", Tty=True))
    assert written(place) == [("1", "one"), ("1", "two")]


def test_a_log_that_cannot_be_read_is_said_so_and_the_others_are_read(place: Playground) -> None:
    ended(started(place, 1, "echo lost", LogConfig={"Type": "none"}))
    ended(started(place, 2, "echo kept"))
    (unreadable, kept) = written(place)
    assert unreadable[0] == "1"
    assert unreadable[1].startswith("(its log can't be read: ")
    assert kept == ("2", "kept")


def test_containers_of_another_instance_are_not_read(place: Playground) -> None:
    with playground() as other:
        ended(started(other, 1, "echo foreign"))
        ended(started(place, 1, "echo ours"))
        assert written(place) == [("1", "ours")]


def test_following_shows_each_line_once_also_of_replicas_that_come_later_or_come_back(place: Playground) -> None:
    first = started(place, 1, "echo before; while true; do sleep 0.1; done")
    eventually(lambda: written(place) == [("1", "before")])
    with logs_of(place) as logs:
        lines = logs.followed(Selection("web"))

        def next_line() -> tuple[str, str]:
            line: LogLine = next(lines)
            return line.replica[-1], line.text

        assert next_line() == ("1", "before")
        second = started(place, 2, "echo later; while true; do sleep 0.1; done")
        assert next_line() == ("2", "later")
        client().restart(first, timeout=0)
        assert next_line() == ("1", "before")
        client().remove_container(second, force=True)
        started(place, 3, "echo last; while true; do sleep 0.1; done")
        assert next_line() == ("3", "last")


@pytest.mark.nginx
def test_logs_are_followed_over_a_rollout_and_kept_of_what_crashed(site: Site, tmp_path: Path) -> None:
    (site.secrets_dir / "token").write_text("hunter2\n")

    def spec(word: str, program: str = TALKS, replicas: int = 2) -> str:
        return SPEC % {"image": shell_image(), "program": program.replace("%s", word), "replicas": replicas}

    site.commit({"talk.yaml": spec("one")})
    site.start()
    site.wait(lambda: site.app("talk").get("replicas", {}).get("ready") == 2)
    first = f"{site.place.name_prefix}talk-1"
    shown = site.command("logs", "talk", "--tail", "5")
    assert shown.returncode == 0, shown.stderr
    assert f"{first} | start of one" in shown.stdout
    assert f"{first} | token=***" in shown.stdout
    assert "\x1b" not in shown.stdout
    with (tmp_path / "followed").open("w+") as output:
        argv = [*INTERRUPTIBLE, str(ORCHESTRY), "logs", *site.flags("logs"), "talk", "-f"]
        follower = subprocess.Popen(argv, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=site.environment)
        text = (tmp_path / "followed").read_text
        site.wait(lambda: text().count("token=***") == 2)
        site.commit({"talk.yaml": spec("two")})
        site.wait(lambda: text().count("token=***") == 4)
        assert (text().count("start of one"), text().count("start of two")) == (2, 2), text()
        follower.send_signal(signal.SIGINT)
        assert follower.wait(timeout=60) == 130
    assert "Traceback" not in text()
    assert "hunter2" not in text()
    site.commit({"talk.yaml": spec("three", "echo broken %s $TOKEN; exit 3", replicas=1)})
    site.wait(lambda: any(event.details.get("log") for event in site.events("talk")))
    recorded = site.command("logs", "talk", "--previous")
    assert "broken three ***" in recorded.stdout
    assert "on record" in recorded.stdout
    site.stop()
    site.command("teardown", "--yes")
    gone = site.command("logs", "talk")
    assert gone.returncode == 0, gone.stderr
    assert "no container of talk is there; what is on record" in gone.stdout
    assert "broken three ***" in gone.stdout
    unknown = site.command("logs", "nobody")
    assert unknown.returncode == 1
    assert len(unknown.stderr.strip().splitlines()) == 1
    site.environment["DOCKER_HOST"] = "unix:///nowhere.sock"
    away = site.command("logs", "talk")
    del site.environment["DOCKER_HOST"]
    assert away.returncode == 1
    assert len(away.stderr.strip().splitlines()) == 1

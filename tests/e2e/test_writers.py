"""An app that writes to a volume: whatever happens to it, the program before has ended when the next one starts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.support.site import Site
from tests.support.site import site as make_site

pytestmark = pytest.mark.engine

SOURCE = Path(__file__).parents[1] / "support" / "writer.c"
STOP_MS = 700


class Writer:
    """The app ``log``, one replica of which writes who it is into a directory of the host, also while it stops."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site = site
        self.directory = directory
        self._deployed = 0

    def spec(self, *args: str) -> str:
        """The app, in another version each time."""
        self._deployed += 1
        given = [str(STOP_MS + self._deployed), *args]
        return f"""apiVersion: v1
kind: App
metadata: {{name: log}}
spec:
  type: tcp
  image: orchestry-demo:1
  imagePullPolicy: Never
  ports: [{{containerPort: 8080}}]
  command: [/bin/writer, /data]
  args: {json.dumps(given)}
  files: [{{path: writer, mountPath: /bin/writer, mode: "0555"}}]
  volumes: [{{hostPath: {self.directory}, mountPath: /data}}]
  terminationGracePeriodSeconds: 10
healthCheck: {{protocol: TCP, periodSeconds: 0.2, timeoutSeconds: 1, failureThreshold: 2}}
"""

    def deploy(self, *args: str) -> None:
        self.site.deploy({"log.yaml": self.spec(*args)}, "log")

    @property
    def turns(self) -> list[str]:
        """Who wrote, in the order in which they did, each once for as long as nobody else did."""
        return [name for name, _ in groupby((self.directory / "journal").read_text("ascii").split())]

    @property
    def id(self) -> str:
        """The container of the one replica."""
        (container_id,) = self.site.ids("log").values()
        return container_id

    def wait_for_another_than(self, before: str) -> None:
        """Wait until another container runs, and is in order."""

        def follows() -> bool:
            ids = list(self.site.ids("log").values())
            return len(ids) == 1 and ids[0] != before and self.site.condition("Ready", "log")["status"]

        self.site.wait(follows)
        self.site.wait(lambda: self.turns[-1] == self.id[:12])
        assert len(set(self.turns)) == len(self.turns), "nobody wrote after another one had begun"


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writer]:
    root = tmp_path_factory.mktemp("site")
    directory = root / "data"
    directory.mkdir()
    directory.chmod(0o777)
    with make_site(root) as site:
        site.environment["ORCHESTRY_ALLOW_HOST_PATHS"] = json.dumps([str(directory)])
        program = site.repository / "specs" / "writer"
        subprocess.run(
            ["gcc", "-std=c11", "-Wall", "-Werror", "-Os", "-static", "-s", "-o", program, SOURCE], check=True
        )
        site.start("--edge", "none")
        here = Writer(site, directory)
        here.deploy()
        yield here


def test_two_never_write_at_once_in_a_rollout(writer: Writer) -> None:
    before = writer.id
    writer.deploy()
    writer.wait_for_another_than(before)


def test_two_never_write_at_once_when_an_unhealthy_replica_is_replaced(writer: Writer) -> None:
    before = writer.id
    (writer.directory / f"sick-{before[:12]}").touch()
    writer.wait_for_another_than(before)


def test_two_never_write_at_once_in_a_rollback(writer: Writer) -> None:
    before, turns = writer.id, len(writer.turns)
    writer.site.commit({"log.yaml": writer.spec("100")})  # which ends after a tenth of a second, again and again
    writer.site.wait(lambda: writer.site.condition("Degraded", "log").get("reason") == "RolloutFailed")
    writer.wait_for_another_than(before)
    assert len(writer.turns) == turns + 2


def test_two_never_write_at_once_when_somebody_removes_the_container(writer: Writer) -> None:
    before = writer.id
    writer.site.api.remove_container(before, force=True)
    writer.wait_for_another_than(before)


def test_two_never_write_at_once_after_the_database_is_lost(writer: Writer) -> None:
    before = writer.id
    writer.site.stop()
    for path in writer.site.state_dir.rglob("orchestry.db*"):
        path.unlink()
    writer.site.commit({"log.yaml": writer.spec()})
    writer.site.start("--edge", "none")
    writer.wait_for_another_than(before)

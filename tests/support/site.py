"""A whole installation for end-to-end tests: a git repository of specs, a controller process, an Engine, an nginx.

Everything carries a random instance name and lives in a temporary directory; `close` removes it with the product's own
teardown, and whatever that should have left behind with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from reconciler.model.events import Event, EventType
from reconciler.ports import NothingRecorded, StatusReader
from reconciler.report.status import status as report_status
from reconciler.store import open_reader
from tests.support.dockerd import PrivateEngine
from tests.support.engine import Playground, client, demo_image, playground
from tests.support.tcp import unused_port
from tests.support.waiting import eventually

# By default the tests' apps are asked twenty times as often as other people's, so that tests are quick. What neither
# floor nor peer does must not be measured, so benchmarks ask at the product's own default.
DEFAULT_CHECK = "{path: /healthz}"
ORCHESTRY = Path(sys.executable).with_name("orchestry")
# A program that is started in the background inherits that it ignores interrupts, and so would what these tests start.
INTERRUPTIBLE = ("env", "--default-signal=INT")


class Site:
    """``commit`` specs, ``start`` the controller, look at ``status``, ``get`` through nginx."""

    def __init__(self, root: Path, place: Playground, engine: PrivateEngine | None = None) -> None:
        self.place = place
        self.api = engine.client() if engine else client()
        self.environment = dict(engine.environment if engine else os.environ)
        self.repository = root / "repository"
        self.state_dir = root / "state"
        self.secrets_dir = root / "secrets"
        self.port = unused_port()
        self.tls_port = unused_port()
        self.environment["ORCHESTRY_EDGE_TLS_PORT"] = str(self.tls_port)
        self.launcher: list[str] = []  # what the controller is started through
        self.log = root / "controller.log"
        self.controller: subprocess.Popen[bytes] | None = None
        (self.repository / "specs").mkdir(parents=True)
        self.secrets_dir.mkdir()
        self.git("init", "--quiet")

    # -- git

    def git(self, *args: str) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.repository, check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | None], message: str = "change") -> str:
        """Write, or with None remove, files under ``specs/`` and commit them; the commit's id."""
        for name, content in files.items():
            path = self.repository / "specs" / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    # -- the controller

    def flags(self, command: str) -> list[str]:
        common = ["--state-dir", str(self.state_dir), "--instance", self.place.instance]
        if command in ("run", "plan"):
            common += ["--source", str(self.repository / "specs"), "--network", self.place.network]
        if command == "run":
            common += ["--edge-port", str(self.port), "--tick", "1", "--secrets-dir", str(self.secrets_dir)]
        if command == "teardown":
            common += ["--network", self.place.network]
        return common

    def command(self, command: str, *args: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """One orchestry command, to its end."""
        argv = [str(ORCHESTRY), command, *self.flags(command), *args]
        quiet = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
        return subprocess.run(argv, timeout=timeout, env=self.environment, **quiet)

    def converge(self, *args: str, timeout: int = 60) -> None:
        """Run the controller until everything serves, in the foreground."""
        done = self.command("run", "--until-converged", "--timeout", str(timeout), *args, timeout=timeout + 60)
        assert done.returncode == 0, f"{done.stderr[-6000:]}\n{done.stdout[-2000:]}"

    def start(self, *args: str) -> None:
        """Start the controller in the background, its log appended to ``log``."""
        argv = [*self.launcher, str(ORCHESTRY), "run", *self.flags("run"), *args]
        with self.log.open("ab") as log:
            self.controller = subprocess.Popen(
                argv, stderr=log, stdout=log, stdin=subprocess.DEVNULL, env=self.environment
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the controller and wait for its end; its exit code."""
        assert self.controller is not None
        self.controller.send_signal(number)
        code = self.controller.wait(timeout=60)
        self.controller = None
        return code

    # -- looking

    def status(self) -> dict[str, Any]:
        """The status dump, read as `orchestry status -o json` reads it, without the cost of a process."""
        try:
            with closing(self._reader()) as reader:
                return dict(json.loads(report_status(reader, None, "json", now=time.time())[0]))
        except NothingRecorded:
            return {"apps": []}

    def events(self, app_name: str | None = None, type: EventType | None = None) -> list[Event]:
        """What happened, oldest first."""
        with closing(self._reader()) as reader:
            return list(reader.events(app_name=app_name, type=type, limit=10_000))[::-1]

    def reloads(self) -> int:
        """How often the route table was changed by a reload of nginx."""
        reloaded = (event for event in self.events(type="routes") if event.message.startswith("routes reloaded"))
        return len({event.details["generation"] for event in reloaded})

    def servers(self, name: str = "web") -> int:
        """How many servers the app has in the configuration nginx was given last. Costs next to nothing."""
        manifest = self.state_dir / self.place.instance / "edge" / "current" / "manifest.json"
        table = json.loads(manifest.read_bytes())["table"] if manifest.exists() else {"apps": []}
        return sum(len(app["servers"]) for app in table["apps"] if app["app_name"] == name)

    def _reader(self) -> StatusReader:
        url = self.environment.get("ORCHESTRY_DATABASE")
        return open_reader(url, state_dir=self.state_dir / self.place.instance, instance=self.place.instance)

    def app(self, name: str = "web") -> dict[str, Any]:
        return next((app for app in self.status()["apps"] if app["name"] == name), {})

    def condition(self, kind: str, name: str = "web") -> dict[str, Any]:
        return next((c for c in self.app(name).get("conditions", ()) if c["type"] == kind), {})

    def ids(self, name: str = "web") -> dict[str, str]:
        """The app's containers: their ids by name, without the instance's prefix."""
        mine = {n: c for n, c in self.containers().items() if c["Labels"]["orchestry.app"] == name}
        return {n: str(container["Id"]) for n, container in mine.items()}

    def images(self, name: str = "web") -> set[str]:
        """The images that the app's containers are of, by their tags: they are made from ids, which don't move."""
        named = {image["Id"]: sorted(image["RepoTags"]) for image in self.api.images() if image["RepoTags"]}
        ours = {id: next((tag for tag in tags if tag.startswith("orchestry-")), "") for id, tags in named.items()}
        tags = {id: ours[id] or tags[0] for id, tags in named.items()}  # others may tag the same image meanwhile
        mine = self.ids(name)
        return {tags.get(c["ImageID"], c["ImageID"]) for n, c in self.containers().items() if n in mine}

    def deploy(self, files: Mapping[str, str | None], *names: str, within_seconds: float = 60) -> str:
        """Commit, and wait until these apps are at that revision and in order; the commit's id."""
        revision = self.commit(files)
        self.wait_converged(revision, *names, within_seconds=within_seconds)
        return revision

    def wait_converged(self, revision: str, *names: str, within_seconds: float = 60) -> None:
        """Wait until these apps are at the revision and in order."""

        def converged() -> bool:
            apps = {app["name"]: app for app in self.status()["apps"]}
            return all(n in apps and apps[n]["revision"] == revision and _in_order(apps[n]) for n in names or ("web",))

        self.wait(converged, within_seconds=within_seconds)

    def wait(self, look: Any, *, within_seconds: float = 60) -> Any:
        def seen() -> Any:
            assert self.controller is None or self.controller.poll() is None, "the controller has ended"
            return look()

        try:
            return eventually(seen, within_seconds=within_seconds, every_seconds=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.evidence()}") from None

    def evidence(self) -> str:
        """What a person would look at when something went wrong."""
        log = self.log.read_text(encoding="utf-8")[-6000:] if self.log.exists() else ""
        return f"{self.command('status', '-o', 'wide').stdout}\n{log}"

    def get(self, path: str, **options: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"http://127.0.0.1:{self.port}{path}", timeout=10, **options)

    def answers(self, path: str) -> bool:
        """Whether nginx is there, and answers this well."""
        with suppress(requests.ConnectionError):
            return self.get(path).status_code == 200
        return False

    def containers(self) -> dict[str, dict[str, Any]]:
        """The instance's replicas as the Engine lists them, by name without the instance's prefix."""
        labels = [f"orchestry.instance={self.place.instance}", "orchestry.app"]
        found = self.api.containers(all=True, filters={"label": labels})
        return {c["Names"][0].lstrip("/").removeprefix(self.place.name_prefix): c for c in found}

    def close(self) -> None:
        if self.controller is not None:
            self.stop(signal.SIGKILL)
        done = self.command("teardown", "--yes")
        assert done.returncode == 0, done.stderr


def _in_order(app: Mapping[str, Any]) -> bool:
    conditions = {c["type"]: c["status"] for c in app["conditions"]}
    return bool(conditions.get("Ready") and not conditions.get("Progressing"))


@contextmanager
def site(root: Path) -> Iterator[Site]:
    """A site under ``root``, gone afterwards."""
    demo_image("1")
    with playground() as place:
        here = Site(root, place)
        try:
            yield here
        finally:
            here.close()


def stubborn_worker(
    name: str, replicas: int, *, image: str = "orchestry-demo:1", policy: str = "Never", grace: float = 40
) -> str:
    """The spec of a worker that doesn't end when it is asked to."""
    return f"""apiVersion: v1
kind: App
metadata: {{name: {name}}}
spec:
  type: worker
  image: {image}
  imagePullPolicy: {policy}
  args: [--worker]
  terminationGracePeriodSeconds: {grace:g}
  environment: [{{name: IGNORE_TERM, value: "1"}}]
scaling: {{mode: manual, replicas: {replicas}}}
"""


def web(
    name: str = "web",
    *,
    image: str = "orchestry-demo:1",
    replicas: int = 2,
    grace: float = 2,
    routes: str = "",
    check: str = "{path: /healthz, periodSeconds: 0.5, timeoutSeconds: 1}",
    scaling: str = "",
    extra: str = "",
    **env: str,
) -> str:
    """The spec of a demo app as YAML, by default at ``/NAME`` with so many replicas. ``extra`` goes under ``spec``,
    indented by two; ``env`` into the environment."""
    environment = "".join(f"\n    - {{name: {key}, value: {json.dumps(value)}}}" for key, value in env.items())
    return f"""apiVersion: v1
kind: App
metadata: {{name: {name}}}
spec:
  type: http
  image: {image}
  imagePullPolicy: Never
  ports: [{{name: web, containerPort: 8080, protocol: HTTP}}]
  routes: [{routes or f"{{path: /{name}, stripPrefix: true}}"}]
  terminationGracePeriodSeconds: {grace}
  environment:
    - {{name: INSTANCE_IP, source: sdk, key: instance.ip}}{environment}
{extra}
scaling: {scaling or f"{{mode: manual, replicas: {replicas}}}"}
healthCheck: {check}
"""

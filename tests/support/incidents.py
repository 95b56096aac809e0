"""Incidents that wake people at night, acted out on a real installation, and what has to be readable of them.

What people must find is in ``tests/golden/incidents``: for each command sentences, without what differs each time.
Cause and remedy of each incident are to be read there by somebody who knows no more than the README.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import requests

from reconciler.loud_thread import LoudThread
from tests.support.golden import GOLDEN
from tests.support.nginx import make_certificate
from tests.support.runtimes import fill_memory
from tests.support.site import Site, web

# As people set it who want to know soon.
_CHECK = "{path: /healthz, periodSeconds: 2, timeoutSeconds: 1}"
# There the demo program wants a websocket, and answers 400.
_WRONG_CHECK = "{path: /ws, periodSeconds: 2, timeoutSeconds: 1}"
_TLS = "{host: shop.example.com, path: /, tls: {secret: shop-tls}}"


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that goes wrong with one app. ``spec`` is what it was; ``later`` the spec that is committed as it goes
    wrong, where one is; ``strike`` is what happens to it then, every second. ``begins_well``: it served before."""

    spec: str
    strike: Callable[[Site], None] = lambda _: None
    later: str | None = None
    begins_well: bool = True


def _crash(site: Site) -> None:
    with suppress(requests.RequestException):
        site.get("/crashing/crash")


def _hang(site: Site) -> None:
    """One of the replicas that serve stops answering, as long as all do."""
    ready = [replica for replica in site.app("hanging").get("instances", ()) if replica["state"] == "ready"]
    if len(ready) == 2:
        with suppress(Exception):
            site.api.kill(ready[0]["container_id"], "STOP")


def _fill(site: Site) -> None:
    for replica in site.app("hungry").get("instances", ()):
        if replica["state"] == "ready" and not replica["restarts"]:
            fill_memory(replica["address"])


def _fail_some(site: Site) -> None:
    for number in range(20):
        with suppress(requests.RequestException):
            site.get(f"/failing/status?code={500 if number % 10 == 0 else 200}")


INCIDENTS: Mapping[str, Incident] = {
    "crashing": Incident(web("crashing", replicas=1, check=_CHECK), _crash),
    "hungry": Incident(web("hungry", replicas=1, check=_CHECK, extra="  resources: {memory: 32Mi}"), _fill),
    "hanging": Incident(web("hanging", check=_CHECK), _hang),
    "failing": Incident(web("failing", check=_CHECK), _fail_some),
    "broken-check": Incident(web("broken-check", check=_CHECK), later=web("broken-check", check=_WRONG_CHECK)),
    "wrong-path": Incident(web("wrong-path", check=_WRONG_CHECK), begins_well=False),
    "wrong-port": Incident(
        web("wrong-port", check=_CHECK).replace("containerPort: 8080", "containerPort: 9090"), begins_well=False
    ),
    "expired": Incident(web("expired", check=_CHECK, routes=_TLS), begins_well=False),
}


def begin(site: Site) -> None:
    """Deploy all of them, let serve what ever does, and commit what breaks some."""
    make_certificate(site.secrets_dir / "shop-tls", "shop.example.com", age=timedelta(days=90), left=-timedelta(days=1))
    site.start()
    site.commit({f"{name}.yaml": incident.spec for name, incident in INCIDENTS.items()}, "Deploy the apps")
    good = [name for name, incident in INCIDENTS.items() if incident.begins_well]
    site.wait(lambda: all(site.app(name).get("converged") for name in good), within_seconds=90)
    later = {f"{name}.yaml": incident.later for name, incident in INCIDENTS.items() if incident.later}
    site.commit(later, "Ask somewhere else")


@contextmanager
def going_on(site: Site) -> Iterator[None]:
    """All of them go on, until the end."""
    over = threading.Event()

    def strike() -> None:
        while not over.wait(1.0):
            for incident in INCIDENTS.values():
                incident.strike(site)

    thread = LoudThread(strike, "incidents")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    thread.check()


def unread(site: Site, name: str, moment: str) -> list[str]:
    """What people should be able to read of an incident at this moment, and can't. That of a dead controller is of no
    one app's."""
    texts: dict[str, str] = {}
    missing = []
    for command, sentence in _sentences(name, moment):
        if command not in texts:
            texts[command] = _gist(site, command, name if name in INCIDENTS else next(iter(INCIDENTS)))
        if sentence not in texts[command]:
            missing.append(f"{name}: {command} says nowhere: {sentence}\nbut:\n{texts[command]}")
    return missing


def _sentences(name: str, moment: str) -> Iterator[tuple[str, str]]:
    """The sentences of the golden text for a moment, each with the command that has to say it."""
    command, wanted = "", False
    for line in (GOLDEN / "incidents" / f"{name}.txt").read_text("utf-8").splitlines():
        if line.startswith("  "):
            if wanted:
                yield command, line.strip()
        elif line:
            command, _, when = line.rstrip(":").partition(", after ")
            wanted = when == moment


def _gist(site: Site, command: str, name: str) -> str:
    """What a command says of an app, without what differs each time: names of instance and commits, addresses,
    numbers, alignment."""
    arguments: Mapping[str, Sequence[str]] = {
        "status": ("status",),
        "status APP": ("status", name),
        "explain APP": ("explain", name),
        "events --app APP": ("events", "--app", name, "--limit", "1000"),
    }
    text = site.command(*arguments[command]).stdout.replace(site.place.name_prefix, "")
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "ID", text)
    return re.sub(r" +", " ", re.sub(r"[0-9]+(\.[0-9]+)*", "#", text))

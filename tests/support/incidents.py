"""Incidents that wake people at night, acted out on a real installation, and what may be read of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import requests

from tests.support.runtimes import fill_memory
from tests.support.site import Site, web

# As people set it who want to know soon.
_CHECK = "{path: /healthz, periodSeconds: 2, timeoutSeconds: 1}"
_WRONG_CHECK = "{path: /ws, periodSeconds: 2, timeoutSeconds: 1}"


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that goes wrong with one app. ``spec`` is what it was; ``later`` the spec that is committed as it goes
    wrong, if one is; ``strike`` is what happens to it then, again and again."""

    spec: str
    strike: Callable[[Site], None] = lambda _: None
    later: str | None = None


def _crash(site: Site) -> None:
    with contextlib.suppress(requests.RequestException):
        site.get("/crashing/crash")


def _hang(site: Site) -> None:
    for container_id in site.ids("hanging").values():
        with contextlib.suppress(Exception):
            site.api.kill(container_id, "STOP")
            return


def _fill(site: Site) -> None:
    replica = next(iter(site.app("hungry").get("instances", ())), None)
    if replica and replica["restarts"] == 0 and replica["state"] == "ready":
        fill_memory(replica["address"])


def _fail_some(site: Site) -> None:
    for number in range(20):
        site.get(f"/failing/status?code={500 if number % 10 == 0 else 200}")


INCIDENTS: Mapping[str, Incident] = {
    "crashing": Incident(web("crashing", replicas=1, check=_CHECK), _crash),
    "hungry": Incident(web("hungry", replicas=1, check=_CHECK, extra="  resources: {memory: 32Mi}"), _fill),
    "hanging": Incident(web("hanging", check=_CHECK), _hang),
    "wrong-port": Incident(web("wrong-port", check=_CHECK).replace("containerPort: 8080", "containerPort: 9090")),
    "wrong-path": Incident(web("wrong-path", check=_WRONG_CHECK)),
    "broken-check": Incident(web("broken-check", check=_CHECK), later=web("broken-check", check=_WRONG_CHECK)),
    "failing": Incident(web("failing", check=_CHECK), _fail_some),
}


def read(site: Site, name: str) -> Mapping[str, str]:
    """What people read of an app, by the command that says so."""
    commands: Mapping[str, Sequence[str]] = {
        "status": ("status",),
        "status APP": ("status", name),
        "explain": ("explain", name),
        "events": ("events", "--app", name),
    }
    return {command: site.command(*arguments).stdout for command, arguments in commands.items()}


def gist(text: str) -> str:
    """A text without what differs each time: names of containers and commits, addresses, numbers, alignment."""
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "ID", text)
    return re.sub(r" +", " ", re.sub(r"[0-9]+(\.[0-9]+)*", "#", text))

"""Containers of the demo image with limits of their own, for measuring: at rest until told to work."""

from __future__ import annotations

import contextlib
import itertools
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

from reconciler.model.observed import Container, ContainerState
from tests.support.engine import Playground, client, demo_image, playground, remove
from tests.support.waiting import eventually

_PORT = 8080


@dataclass(frozen=True, slots=True)
class Busy:
    """A running container that burns cpu when asked."""

    container: Container

    def burn(self, seconds: float) -> None:
        """Begin to use so much cpu time, which takes longer where a limit is in the way."""
        url = f"http://{self.container.address}:{_PORT}/burn?ms={seconds * 1000:.0f}"
        threading.Thread(target=_ask, args=(url,), daemon=True).start()

    def restart(self) -> None:
        client().restart(self.container.id, timeout=0)

    def kill(self) -> None:
        client().kill(self.container.id)


@dataclass
class Yard:
    """Where they run."""

    place: Playground
    started: list[Busy] = field(default_factory=list)
    _slots: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def start(self, app_name: str = "web", *, cores: float | None = None, memory_bytes: int | None = None) -> Busy:
        api, slot = client(), next(self._slots)
        name = f"{self.place.name_prefix}{app_name}-{slot}"
        limits = {"nano_cpus": int(cores * 1e9) if cores else None, "mem_limit": memory_bytes}
        container_id = api.create_container(
            demo_image(),
            name=name,
            labels={"orchestry.instance": self.place.instance},
            host_config=api.create_host_config(network_mode=self.place.network, **limits),
        )["Id"]
        api.start(container_id)
        address = api.inspect_container(container_id)["NetworkSettings"]["Networks"][self.place.network]["IPAddress"]
        seen = Container(container_id, name, app_name, slot, "hash", "r1", ContainerState.RUNNING, address)
        eventually(lambda: _ask(f"http://{address}:{_PORT}/healthz"))
        self.started.append(Busy(seen))
        return self.started[-1]

    def clear(self) -> None:
        """End all of them at once."""
        while self.started:
            remove(self.started.pop().container.id)


@contextlib.contextmanager
def yard() -> Iterator[Yard]:
    """A network of its own; afterwards everything on it is gone."""
    with playground() as place:
        client().create_network(place.network)
        yield Yard(place)


def _ask(url: str) -> bool:
    """Whether it answered; a server that is not there yet, or killed in between, did not."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=120) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

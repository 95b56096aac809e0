"""Two worlds for one contract suite: a runtime on the fake Engine, and one on a real Engine.

Both offer the same few things that happen outside of the runtime: programs end, people stop, remove and run containers,
time passes. ``api`` is what calls the Engine directly.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol
from urllib.error import URLError
from urllib.request import urlopen

from docker.utils import kwargs_from_env

from reconciler.model.observed import Container, Inventory
from reconciler.ports import Unavailable
from reconciler.runtime.client import BoundedClient
from reconciler.runtime.docker import DockerRuntime
from tests.fakes.engine import FakeEngine, Program
from tests.fakes.runtime import FakeRuntime
from tests.support.engine import Playground, demo_image, playground
from tests.support.waiting import eventually

ABSENT_IMAGE = "127.0.0.1:1/no/such:image"


class World(Protocol):
    """A runtime and its surroundings. ``wakes`` counts how often it woke the loop."""

    place: Playground
    image: str
    wakes: list[None]

    @property
    def runtime(self) -> DockerRuntime: ...

    @property
    def api(self) -> Any: ...

    def another(self, **settings: Any) -> DockerRuntime:
        """A second runtime on the same Engine; other ``instance``, ``network``, ``secrets_dir`` and so on."""

    def image_with_check(self, verdict: str) -> str:
        """An image like ``image`` with a check of its own (HEALTHCHECK) that says so: ``starting`` or ``unhealthy``."""

    def exit(self, container: Container, code: int) -> None:
        """Its program ends by itself."""

    def kill(self, container: Container) -> None:
        """The kernel kills its program."""

    def run_out_of_memory(self, container: Container) -> None:
        """Its program takes more memory than the container has (32 MiB), and the kernel kills it."""

    def signals_to(self, container: Container) -> list[int]:
        """The signals that the Engine has sent it, in order."""

    def pass_time(self) -> None:
        """A moment, for the Engine to do what it does by itself."""

    def file(self, container: Container, path: str) -> tuple[int, bytes]:
        """Mode bits and content of a file in it."""


def observe_until(world: World, enough: Callable[[Inventory], bool]) -> Inventory:
    """Observe until it is so; the observation that was."""

    def look() -> Inventory | None:
        world.pass_time()
        seen = observe(world)
        return seen if enough(seen) else None

    seen = eventually(look)
    assert seen is not None
    return seen


def observe(world: World) -> Inventory:
    return world.runtime.inventory()


def blind(world: World) -> bool:
    """Whether it can't observe just now."""
    world.pass_time()
    with contextlib.suppress(Unavailable):
        observe(world)
        return False
    return True


class FakeWorld:
    """The fake Engine; its time is the machine's, and moves a second with `pass_time`."""

    def __init__(self, place: Playground) -> None:
        self.place = place
        self.engine = FakeEngine(time.time())
        self.image = "orchestry-demo:1"
        self.engine.images[self.image] = Program()
        self.wakes: list[None] = []
        self._runtimes: list[FakeRuntime] = []
        self.runtime = self.another()

    @property
    def api(self) -> Any:
        return self.engine

    def another(self, **settings: Any) -> FakeRuntime:
        chosen = {"instance": self.place.instance, "network": self.place.network, "wake": self._wake, **settings}
        self._runtimes.append(FakeRuntime(self.engine, **chosen))
        return self._runtimes[-1]

    def _wake(self) -> None:
        self.wakes.append(None)

    def image_with_check(self, verdict: str) -> str:
        image = f"orchestry-demo-{verdict}:1"
        self.engine.images[image] = Program(health=verdict)
        return image

    def exit(self, container: Container, code: int) -> None:
        self.engine.exit(container.name, code, log=f"exiting with code {code}\n")

    def kill(self, container: Container) -> None:
        self.engine.kill_from_outside(container.name)

    def run_out_of_memory(self, container: Container) -> None:
        self.engine.run_out_of_memory(container.name)

    def signals_to(self, container: Container) -> list[int]:
        return self.engine.signals_to(container.id)

    def pass_time(self) -> None:
        self.engine.advance(1)

    def file(self, container: Container, path: str) -> tuple[int, bytes]:
        return self.engine.named(container.name).files[path]

    def close(self) -> None:
        for runtime in self._runtimes:
            runtime.close()


def _asked(url: str) -> bool:
    """Whether it was answered; a program that was just started may not listen yet."""
    try:
        urlopen(url, timeout=20).close()
    except URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return False
        raise
    return True


def fill_memory(address: str) -> None:
    """Have the demo app there hold 64 MiB in memory, or what it has until it is killed for it."""
    eventually(lambda: _asked(f"http://{address}:8080/"))
    body = bytes(2**20 - 1)
    head = f"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body) + 1}\r\n\r\n"
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        for _ in range(64):  # none ends, so that all are held at once
            client = stack.enter_context(socket.create_connection((address, 8080), timeout=20))
            client.sendall(head.encode() + body)


class DockerWorld:
    """A real Engine, and a corner of it for one test."""

    def __init__(self, place: Playground) -> None:
        self.place = place
        self.image = demo_image()
        self.api = BoundedClient(**kwargs_from_env(), version="auto", timeout=60)
        self.wakes: list[None] = []
        self._runtimes: list[DockerRuntime] = []
        self._images: list[str] = []
        self.runtime = self.another()

    def another(self, **settings: Any) -> DockerRuntime:
        mounts = {"allow_host_paths": (), "allow_volumes": (), "volume_record": None, "secrets_key": None}
        defaults = {"secrets_dir": None, **mounts, "wake": self._wake, "concurrency": 4}
        chosen = {"instance": self.place.instance, "network": self.place.network, **defaults, **settings}
        self._runtimes.append(DockerRuntime(**chosen))
        return self._runtimes[-1]

    def _wake(self) -> None:
        self.wakes.append(None)

    def image_with_check(self, verdict: str) -> str:
        seconds = {"starting": 3600, "unhealthy": 1}[verdict]  # until the first answer, which is a bad one
        check = f'HEALTHCHECK --interval={seconds}s --retries=1 CMD ["/no/such/program"]'
        original = self.api.create({"Image": self.image}, f"{self.place.name_prefix}original")
        self.api.commit(original, repository=self.place.instance, tag=verdict, changes=[check])
        self.api.remove_container(original)
        self._images.append(f"{self.place.instance}:{verdict}")
        return self._images[-1]

    def exit(self, container: Container, code: int) -> None:
        eventually(lambda: _asked(f"http://{container.address}:8080/exit?code={code}"))

    def kill(self, container: Container) -> None:
        os.kill(self.api.inspect_container(container.id)["State"]["Pid"], signal.SIGKILL)

    def run_out_of_memory(self, container: Container) -> None:
        assert container.address is not None
        fill_memory(container.address)

    def signals_to(self, container: Container) -> list[int]:
        filters = {"container": container.id, "event": "kill"}
        events = self.api.events(since=1, until=time.time(), filters=filters, decode=True)
        return [int(event["Actor"]["Attributes"]["signal"]) for event in events]

    def pass_time(self) -> None:
        time.sleep(0.02)

    def file(self, container: Container, path: str) -> tuple[int, bytes]:
        chunks, _ = self.api.get_archive(container.id, path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.getmembers()[0]
            content = archive.extractfile(member)
            assert content is not None
            return member.mode & 0o7777, content.read()

    def close(self) -> None:
        for runtime in self._runtimes:
            runtime.close()
        for image in self._images:
            self.api.remove_image(image, force=True)
        self.api.close()


def run_foreign(world: World, name: str, *, address: str | None = None, labels: Mapping[str, str] | None = None) -> str:
    """Start a container that is not of the world's instance; its id. With an address, on the world's network."""
    network = world.place.network if address else "none"
    endpoints = {network: {"IPAMConfig": {"IPv4Address": address}}} if address else {}
    body = {
        "Image": world.image,
        "Labels": dict(labels or {}),
        "HostConfig": {"NetworkMode": network},
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }
    container_id = str(world.api.create(body, name))
    world.api.start(container_id)
    return container_id


@contextlib.contextmanager
def fake_world() -> Iterator[World]:
    with contextlib.closing(FakeWorld(Playground("test", "orchestry-test"))) as world:
        yield world


@contextlib.contextmanager
def docker_world() -> Iterator[World]:
    with playground() as place, contextlib.closing(DockerWorld(place)) as world:
        yield world

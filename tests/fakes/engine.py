"""A Docker Engine in memory, at the level of its API: what the product's own calls meet.

It refuses what a real one refuses, in the same words, and knows no state that a real one doesn't: one contract suite
runs against both. There are no threads and no clock: time moves by `advance` alone, and everything that is due then
happens in order. Tests make programs end (`exit`, `kill_from_outside`,
`run_out_of_memory`), act by hand (`stop_by_hand`, `remove_by_hand`,
`run_foreign`), take the Engine away (`unreachable`), and may fail any call (`before_call`).
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import itertools
import math
import tarfile
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from docker.errors import APIError, ImageNotFound, NotFound

from reconciler.model.image import Image

Json = dict[str, Any]
Subscriber = Callable[[Json], None]

_FIRST_RESTART_PAUSE_SECONDS = 0.1
_LAST_RESTART_PAUSE_SECONDS = 60.0
_RUN_THAT_RESETS_PAUSE_SECONDS = 10.0
_RUNNING = ("running", "paused")


@dataclass
class Program:
    """What an image's program does once started. ``ends_after_seconds`` is how long it takes to end once asked to,
    unless it ``ignores_term``; ``start_error``: the sentence by which runc refuses to start it; ``health``: what the
    image's own check (HEALTHCHECK) says of it, "" without one."""

    exits_after_seconds: float | None = None
    exit_code: int = 0
    ignores_term: bool = False
    ends_after_seconds: float = 0.0
    start_error: str = ""
    log: str = "listening\n"
    health: str = ""


@dataclass
class FakeNetwork:
    id: str
    name: str
    created: str
    labels: Mapping[str, str]
    pools: list[Json]
    has_own_subnet: bool

    @property
    def subnets(self) -> list[ipaddress.IPv4Network]:
        return [ipaddress.IPv4Network(pool["Subnet"]) for pool in self.pools]


@dataclass
class FakeContainer:
    """``address`` is held only while it runs, as on a real Engine."""

    id: str
    name: str
    config: Json
    program: Program
    state: str = "created"
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False  # until it is started again, as since version 25
    address: str = ""
    network_id: str = ""
    restart_count: int = 0
    policy: str = "no"
    held_back: bool = False  # stopped or killed by hand: not restarted until started
    asked_to_end: bool = False
    started_at: float | None = None
    ends_at: float | None = None
    restarts_at: float | None = None
    restart_pause_seconds: float = _FIRST_RESTART_PAUSE_SECONDS
    log: str = ""
    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    image_id: str = ""
    image_name: str = ""
    created_at: float = 0.0
    stuck: bool = False  # its removal fails: the list says "removing" from then on, and inspecting "dead"

    @property
    def network_name(self) -> str:
        return str(self.config["HostConfig"]["NetworkMode"])

    @property
    def endpoint(self) -> Json:
        """What was asked of its network; empty where nothing was."""
        found: Json = self.config.get("NetworkingConfig", {}).get("EndpointsConfig", {}).get(self.network_name, {})
        return found


def refusal(status: int, sentence: str) -> APIError:
    """The error docker-py raises when an Engine answers so."""
    response = requests.Response()
    response.status_code = status
    kind = (ImageNotFound if "no such image" in sentence.lower() else NotFound) if status == 404 else APIError
    return kind(sentence, response=response, explanation=sentence)


class FakeEngine:
    """``images`` are on the host, ``registry`` can be pulled; both by name with tag."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self.images: dict[str, Program] = {}
        self.registry: dict[str, Program] = {}
        self._programs: list[Program] = []
        self.containers_by_id: dict[str, FakeContainer] = {}
        self.networks_by_id: dict[str, FakeNetwork] = {}
        self.named_volumes: dict[str, Json] = {}
        # Of the Engine itself: how logs are written where a container doesn't say.
        self.log_driver = "json-file"
        self.log_options: Mapping[str, str] = {}
        self.unreachable = False
        self.before_call: Callable[[str, str], None] = lambda call, subject: None
        self.calls: list[tuple[str, str]] = []
        self._subscribers: list[Subscriber] = []
        self._last_events: deque[Json] = deque(maxlen=256)
        self._numbers = itertools.count(1)
        self._down: list[FakeContainer] = []
        nothing = FakeNetwork(self._new_id(), "none", _timestamp(now), {}, [], has_own_subnet=False)
        self.networks_by_id[nothing.id] = nothing

    # --- what tests do to it

    def advance(self, seconds: float) -> None:
        """Let time pass; programs end and containers are restarted when it is their time."""
        self.advance_to(self.now + seconds)

    def advance_to(self, until: float) -> None:
        """Like `advance`; an earlier moment changes nothing."""
        while (due := self._next_due()) is not None and due[0] <= until:
            self.now = max(self.now, due[0])
            due[1]()
        self.now = max(self.now, until)

    def named(self, name: str) -> FakeContainer:
        """The container of this name; LookupError where there is none."""
        return next(container for container in self.containers_by_id.values() if container.name == name)

    def exit(self, name: str, code: int = 1, log: str = "") -> None:
        """Its program ends by itself."""
        container = self.named(name)
        container.log += log
        self._end(container, code)

    def kill_from_outside(self, name: str) -> None:
        """SIGKILL from outside of the Engine."""
        self._end(self.named(name), 137)

    def run_out_of_memory(self, name: str) -> None:
        """The kernel kills its program, and the Engine learns why."""
        self.tell_of_memory(name)
        self.kill_from_outside(name)

    def tell_of_memory(self, name: str) -> None:
        """The Engine learns that the kernel killed a process of it; on a real one that may be right after its death."""
        container = self.named(name)
        container.oom_killed = True
        self._tell(container, "oom")

    def go_down(self, names: Collection[str]) -> None:
        """It ends, and these containers with it; nobody is told. Until `come_up` none of them runs."""
        for container in self.containers_by_id.values():
            if container.name in names and container.state in (*_RUNNING, "restarting"):
                self._release(container)
                container.exit_code, container.state = 143, "exited"
                self._down.append(container)

    def come_up(self) -> None:
        """It is there again, and starts those that ended with it and are to be restarted."""
        down, self._down = self._down, []
        for container in down:
            still = self.containers_by_id.get(container.id) is container and container.state == "exited"
            if still and container.policy == "unless-stopped" and not container.held_back:
                self._restart(container)

    def signals_to(self, container_id: str) -> list[int]:
        """The signals that the Engine has sent it, in order."""
        return [signal for signal, _ in self._signals(container_id)]

    def pause(self, name: str) -> None:
        self._set_state(self.named(name), "paused", "pause")

    def stop_by_hand(self, name: str) -> None:
        self.stop(self.named(name).id)

    def remove_by_hand(self, name: str) -> None:
        with contextlib.suppress(APIError):  # whoever does it is told that it failed
            self.remove_container(self.named(name).id, force=True)

    def begin_removal(self, name: str) -> None:
        """Somebody removes it, and that takes its time: until `finish_removal`, or until somebody waits for it."""
        container = self.named(name)
        self._release(container)
        container.state = "removing"

    def finish_removal(self, name: str) -> None:
        self._forget(self.named(name))

    def run_foreign(self, name: str, network: str = "none", address: str | None = None, image: str = "foreign") -> str:
        """A container that carries no labels of anybody."""
        self.images.setdefault(image, Program())
        endpoint = {network: {"IPAMConfig": {"IPv4Address": address}}} if address else {}
        body = {
            "Image": image,
            "HostConfig": {"NetworkMode": network},
            "NetworkingConfig": {"EndpointsConfig": endpoint},
        }
        container_id = self.create(body, name)
        self.start(container_id)
        return container_id

    def subscribe(self, subscriber: Subscriber) -> None:
        """Be told of every event, at once and in the thread that caused it."""
        self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.remove(subscriber)

    # --- containers, as the API has them

    def containers(self, *, all: bool = False, filters: Mapping[str, list[str]] | None = None) -> list[Json]:
        self._called("list")
        wanted = [label.partition("=")[::2] for label in (filters or {}).get("label", ())]
        found = [c for c in self.containers_by_id.values() if all or c.state == "running"]
        return [_entry(c) for c in found if dict(wanted).items() <= c.config["Labels"].items()]

    def inspect_container(self, container: str) -> Json:
        found = self._container(container, "inspect")
        return {
            "Id": found.id,
            "Name": f"/{found.name}",
            "RestartCount": found.restart_count,
            "Config": {key: found.config.get(key) for key in ("Labels", "Env", "Image", "StopSignal")},
            "HostConfig": found.config["HostConfig"],
            "State": {
                "Pid": 0,  # of another machine: nobody sees what it is at
                "Status": "dead" if found.stuck and found.state == "removing" else found.state,
                "Running": found.state in (*_RUNNING, "restarting"),
                "ExitCode": found.exit_code if found.state not in _RUNNING else 0,
                "StartedAt": _timestamp(found.started_at),
                "OOMKilled": found.oom_killed,
                "Error": found.error,
            },
        }

    def create(self, body: Json, name: str) -> str:
        self._called("create", name)
        image = self._image(body["Image"])
        if image is None:
            raise refusal(404, f"No such image: {body['Image']}")
        for other in self.containers_by_id.values():
            if other.name == name:
                raise refusal(
                    409,
                    f'Conflict. The container name "/{name}" is already in use by container "{other.id}". You have to '
                    "remove (or rename) that container to be able to reuse that name.",
                )
        log = self._log_config(body["HostConfig"].get("LogConfig") or {})
        self._create_volumes(body)
        config = {"Labels": {}, "Env": [], **body, "HostConfig": body["HostConfig"] | {"LogConfig": log}}
        container = FakeContainer(self._new_id(), name, config, image, image_id=self._image_id(image))
        container.image_name = next(known for known, program in self.images.items() if program is image)
        container.created_at = self.now
        container.policy = body["HostConfig"].get("RestartPolicy", {}).get("Name", "no")
        self.containers_by_id[container.id] = container
        self._tell(container, "create")
        return container.id

    def put_archive(self, container: str, path: str, data: bytes) -> None:
        assert path == "/", path
        found = self._container(container, "put archive")
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                content = archive.extractfile(member)
                found.files[f"/{member.name}"] = (member.mode, content.read() if content else b"")

    def start(self, container: str) -> None:
        found = self._container(container, "start")
        if found.state == "removing":
            raise refusal(409, "container is marked for removal and cannot be started")
        if found.state == "paused":
            raise refusal(409, "cannot start a paused container, try unpause instead")
        if found.state in ("running", "restarting"):
            return
        self._join(found)
        if found.program.start_error:
            self._release(found)
            raise refusal(
                400,
                "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container "
                f"process: {found.program.start_error}: unknown",
            )
        found.restart_count, found.restart_pause_seconds = 0, _FIRST_RESTART_PAUSE_SECONDS
        self._run(found)

    def stop(self, container: str, timeout: int | None = None) -> None:
        found = self._container(container, "stop")
        found.held_back = True
        if found.state in (*_RUNNING, "restarting"):
            self._tell(found, "kill", {"signal": "15"})
        if found.state in _RUNNING:
            self._end(found, 137 if found.program.ignores_term else 0)
        elif found.state == "restarting":
            found.restarts_at, found.state = None, "exited"

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        found = self._container(container, "kill")
        if found.state not in (*_RUNNING, "restarting"):
            raise refusal(409, f"Cannot kill container: {found.id}: Container {found.id} is not running")
        found.held_back = True
        self._tell(found, "kill", {"signal": "9" if signal == "SIGKILL" else "15"})
        if found.state == "restarting":
            found.restarts_at, found.state = None, "exited"
        elif signal == "SIGKILL":
            self._end(found, 137)
        elif not (found.program.ignores_term or "IGNORE_TERM=1" in found.config["Env"]):
            found.state = "running"  # of one that was paused as well
            found.asked_to_end = True
            found.ends_at = min(found.ends_at or math.inf, self.now + found.program.ends_after_seconds)
            if found.ends_at <= self.now:
                self._end(found, 0)

    def signals_sent(self, container_id: str, since: float) -> set[int]:
        self._called("events", container_id)
        since_ns = int((since - 1e-6) * 1e9)  # it is told in microseconds
        return {signal for signal, at_ns in self._signals(container_id) if at_ns >= since_ns}

    def remove_container(self, container: str, *, v: bool = False, force: bool = False) -> None:
        found = self._container(container, "remove")
        if found.state == "removing" and not found.stuck:
            raise refusal(409, f"removal of container {found.id} is already in progress")
        if found.state == "restarting" and not force:
            raise refusal(409, f"You cannot remove a restarting container {found.id}. Stop the container before")
        if found.state in _RUNNING and not force:
            raise refusal(
                409,
                f"You cannot remove a running container {found.id}. Stop the container before attempting removal or "
                "force remove",
            )
        found.held_back = True
        if found.state in _RUNNING:
            self._end(found, 137)
        if found.stuck:
            self._release(found)
            found.state = "removing"
            raise refusal(500, f'container {found.id}: driver "overlay2" failed to remove root filesystem: busy')
        self._forget(found)

    def wait(self, container: str, timeout: float | None = None, condition: str | None = None) -> Json:
        found = self._container(container, "wait")
        assert condition == "removed", condition
        self._forget(found)
        return {"StatusCode": found.exit_code}

    def update_container(self, container: str, *, restart_policy: Json) -> Json:
        found = self._container(container, "update")
        if found.state in ("removing", "dead"):
            raise refusal(
                409, f'Cannot update container {found.id}: container is marked for removal and cannot be "update"'
            )
        found.policy = restart_policy["Name"]
        return {"Warnings": None}

    def logs(self, container: str, *, tail: int) -> bytes:
        lines = self._container(container, "logs").log.splitlines(keepends=True)
        return "".join(lines[-tail:]).encode()

    # --- images, networks, volumes, the host

    def has_image(self, image: str) -> bool:
        self._called("inspect image", image)
        return self._image(image) is not None

    def image_list(self) -> dict[str, Image]:
        self._called("list images")
        return {name: image for name, (image, _) in self._named_images().items()}

    def reload_config(self) -> None:
        pass

    def pull(self, repository: str, *, tag: str, stream: bool, decode: bool) -> Iterator[Json]:
        image = f"{repository}@{tag}" if tag.startswith("sha256:") else f"{repository}:{tag}"
        self._called("pull", image)
        program = self.registry.get(image) or self._in_registry(image)
        if program is None:
            raise refusal(404, f"manifest for {image} not found: manifest unknown: manifest unknown")
        self.images[image] = program
        self._publish({"Type": "image", "Action": "pull", "Actor": {"ID": image, "Attributes": {}}})
        return iter([{"status": f"Pulling from {repository}"}, {"status": f"Status: Downloaded {image}"}])

    def networks(self, names: list[str] | None = None, filters: Mapping[str, list[str]] | None = None) -> list[Json]:
        self._called("list networks")
        wanted = dict(label.partition("=")[::2] for label in (filters or {}).get("label", ()))
        return [
            self.inspect_network(network.id)
            for network in self.networks_by_id.values()
            if (not names or any(name in network.name for name in names)) and wanted.items() <= network.labels.items()
        ]

    def inspect_network(self, network: str) -> Json:
        found = self._network(network)
        return {
            "Id": found.id,
            "Name": found.name,
            "Created": found.created,
            "Labels": dict(found.labels),
            "IPAM": {"Config": found.pools},
            "Containers": {
                c.id: {"Name": c.name} for c in self.containers_by_id.values() if c.network_id == found.id and c.address
            },
        }

    def create_network(
        self, name: str, *, ipam: Json | None = None, labels: Mapping[str, str], **_options: Any
    ) -> Json:
        self._called("create network", name)
        if any(network.name == name for network in self.networks_by_id.values()):
            raise refusal(409, f"network with name {name} already exists")
        taken = [subnet for network in self.networks_by_id.values() for subnet in network.subnets]
        if ipam:
            pools = [{key: value for key, value in pool.items() if value} for pool in ipam["Config"]]
            if any(ipaddress.IPv4Network(pools[0]["Subnet"]).overlaps(subnet) for subnet in taken):
                raise refusal(403, "Pool overlaps with other one on this address space")
        else:
            free = ipaddress.IPv4Network("172.16.0.0/12").subnets(new_prefix=16)
            subnet = next(subnet for subnet in free if not any(subnet.overlaps(other) for other in taken))
            pools = [{"Subnet": str(subnet), "Gateway": str(subnet.network_address + 1)}]
        network = FakeNetwork(self._new_id(), name, _timestamp(self.now), labels, pools, has_own_subnet=bool(ipam))
        self.networks_by_id[network.id] = network
        return {"Id": network.id, "Warning": ""}

    def remove_network(self, network: str) -> None:
        self._called("remove network", network)
        found = self._network(network)
        if any(c.network_id == found.id and c.address for c in self.containers_by_id.values()):
            raise refusal(403, f"error while removing network: network {found.name} id {found.id} has active endpoints")
        del self.networks_by_id[found.id]
        self._publish({"Type": "network", "Action": "destroy", "Actor": {"Attributes": {"name": found.name}}})

    def disconnect_container_from_network(self, container: str, network: str, *, force: bool) -> None:
        self._container(container, "disconnect").network_id = ""

    def connect_container_to_network(
        self, container: str, network: str, *, ipv4_address: str, aliases: list[str]
    ) -> None:
        found = self._container(container, "connect")
        endpoint = {"IPAMConfig": {"IPv4Address": ipv4_address}, "Aliases": aliases}
        found.config["NetworkingConfig"] = {"EndpointsConfig": {network: endpoint}}
        found.network_id = self._network(network).id

    def volumes(self, filters: Mapping[str, list[str]]) -> Json:
        self._called("list volumes")
        wanted = dict(label.partition("=")[::2] for label in filters["label"])
        found = [v for v in self.named_volumes.values() if wanted.items() <= (v["Labels"] or {}).items()]
        return {"Volumes": found or None}

    def inspect_volume(self, name: str) -> Json:
        self._called("inspect volume", name)
        if name not in self.named_volumes:
            raise refusal(404, f"get {name}: no such volume")
        return self.named_volumes[name]

    def create_volume(self, name: str, labels: Mapping[str, str] | None = None) -> Json:
        self._called("create volume", name)
        return self.named_volumes.setdefault(name, {"Name": name, "Labels": labels})

    def info(self) -> Json:
        self._called("info")
        return {"ID": "FAKE:ENGI:NEXX", "NCPU": 4, "MemTotal": 8 * 2**30}

    # --- inside

    def _signals(self, container_id: str) -> list[tuple[int, int]]:
        """Of what the Engine remembers to have sent, number and time in ns."""
        kills = (e for e in self._last_events if e["Action"] == "kill" and e["Actor"]["ID"] == container_id)
        return [(int(event["Actor"]["Attributes"]["signal"]), event["timeNano"]) for event in kills]

    def _image_id(self, program: Program) -> str:
        """Each program is a build of its own, whatever it is called."""
        number = next((n for n, known in enumerate(self._programs) if known is program), None)
        if number is None:
            number = len(self._programs)
            self._programs.append(program)
        return f"sha256:{number:064x}"

    def _named_images(self) -> dict[str, tuple[Image, Program]]:
        """The images there are, by each name and id; those that are also in the registry have a digest there."""
        named: dict[str, tuple[Image, Program]] = {}
        for name, program in self.images.items():
            image_id, repository = self._image_id(program), name.partition("@")[0].rpartition(":")[0]
            pushed = any(program is other for other in self.registry.values())
            digest = f"{repository or name.partition('@')[0]}@{image_id}"
            image = Image(image_id, (digest,) if pushed else ())
            named |= dict.fromkeys((name, image_id, *image.digests), (image, program))
        return named

    def _image(self, reference: str) -> Program | None:
        named = self._named_images().get(reference)
        return named[1] if named else None

    def _in_registry(self, digest: str) -> Program | None:
        return next((p for p in self.registry.values() if digest.endswith(self._image_id(p))), None)

    def _called(self, call: str, subject: str = "") -> None:
        self.calls.append((call, subject))
        if self.unreachable:
            raise ConnectionRefusedError("the fake Engine is switched off")
        self.before_call(call, subject)

    def _container(self, reference: str, call: str) -> FakeContainer:
        found = self.containers_by_id.get(reference)
        if found is None:
            found = next((c for c in self.containers_by_id.values() if c.name == reference), None)
        self._called(call, found.name if found else reference)
        if found is None:
            raise refusal(404, f"No such container: {reference}")
        return found

    def _network(self, reference: str) -> FakeNetwork:
        for network in self.networks_by_id.values():
            if reference in (network.id, network.name):
                return network
        raise refusal(404, f"network {reference} not found")

    def _join(self, container: FakeContainer) -> None:
        """Take an address. Only a container that runs holds one."""
        if container.network_name == "none":
            return
        network = self._network(container.network_id or container.network_name)
        wanted = (container.endpoint.get("IPAMConfig") or {}).get("IPv4Address")
        if wanted and not network.has_own_subnet:
            raise refusal(
                400,
                "user specified IP address is supported only when connecting to networks with user configured subnets",
            )
        if wanted and ipaddress.IPv4Address(wanted) not in network.subnets[0]:
            raise refusal(500, f"Invalid address {wanted}: It does not belong to any of this network's subnets")
        taken = {c.address for c in self.containers_by_id.values() if c.network_id == network.id and c.address}
        if wanted in taken:
            raise refusal(403, "Address already in use")
        container.network_id = network.id
        container.address = wanted or self._dynamic_address(network, taken)

    def _dynamic_address(self, network: FakeNetwork, taken: set[str]) -> str:
        pool = ipaddress.IPv4Network(network.pools[0].get("IPRange") or network.pools[0]["Subnet"])
        taken = taken | {str(network.pools[0].get("Gateway"))}
        return next(str(address) for address in pool.hosts() if str(address) not in taken)

    def _run(self, container: FakeContainer) -> None:
        container.started_at, container.restarts_at = self.now, None
        container.error, container.held_back, container.oom_killed = "", False, False
        container.asked_to_end = False
        container.log += container.program.log
        after = container.program.exits_after_seconds
        container.ends_at = None if after is None else self.now + after
        self._set_state(container, "running", "start")

    def _end(self, container: FakeContainer, code: int) -> None:
        assert container.state in _RUNNING, f"{container.name} does not run: {container.state}"
        assert container.started_at is not None
        self._release(container)
        container.exit_code = code
        container.state = "exited"
        if container.policy == "unless-stopped" and not container.held_back:
            if self.now - container.started_at >= _RUN_THAT_RESETS_PAUSE_SECONDS:
                container.restart_pause_seconds = _FIRST_RESTART_PAUSE_SECONDS
            container.restart_count += 1
            container.state = "restarting"
            container.restarts_at = self.now + container.restart_pause_seconds
            container.restart_pause_seconds = min(_LAST_RESTART_PAUSE_SECONDS, 2 * container.restart_pause_seconds)
        self._tell(container, "die", {"exitCode": str(code)})

    def _restart(self, container: FakeContainer) -> None:
        try:
            self._join(container)
        except APIError as error:
            container.restarts_at, container.state, container.error = None, "exited", error.explanation or ""
            return
        self._run(container)

    def _next_due(self) -> tuple[float, Callable[[], None]] | None:
        """The next thing that will happen by itself; of several at once, that of the container created first."""
        due: list[tuple[float, Callable[[], None]]] = []
        for container in self.containers_by_id.values():
            if container.state in _RUNNING and container.ends_at is not None:
                code = 0 if container.asked_to_end else container.program.exit_code
                due.append((container.ends_at, lambda c=container, code=code: self._end(c, code)))  # type: ignore[misc]
            if container.restarts_at is not None:
                due.append((container.restarts_at, lambda c=container: self._restart(c)))  # type: ignore[misc]
        return min(due, key=lambda item: item[0], default=None)

    def _release(self, container: FakeContainer) -> None:
        container.address, container.ends_at, container.restarts_at = "", None, None

    def _forget(self, container: FakeContainer) -> None:
        del self.containers_by_id[container.id]
        self._tell(container, "destroy")

    def _log_config(self, asked: Json) -> Json:
        """The driver and options of a log: to those asked for come the Engine's own, if it is its driver."""
        driver, options = asked.get("Type") or self.log_driver, asked.get("Config") or {}
        if driver not in ("json-file", "local", "none"):
            for option in options.keys() & {"max-size", "max-file"}:
                raise refusal(400, f"unknown log opt '{option}' for {driver} log driver")
        return {"Type": driver, "Config": {**(self.log_options if driver == self.log_driver else {}), **options}}

    def _create_volumes(self, body: Json) -> None:
        for mount in body["HostConfig"].get("Mounts", ()):
            if mount["Type"] == "bind" and not Path(mount["Source"]).exists():
                sentence = f"bind source path does not exist: {mount['Source']}"
                raise refusal(400, f'invalid mount config for type "bind": {sentence}')
            if mount["Type"] == "volume":
                labels = mount["VolumeOptions"]["Labels"]
                self.named_volumes.setdefault(mount["Source"], {"Name": mount["Source"], "Labels": labels})

    def _set_state(self, container: FakeContainer, state: str, event: str) -> None:
        container.state = state
        self._tell(container, event)

    def _tell(self, container: FakeContainer, action: str, attributes: Mapping[str, str] | None = None) -> None:
        known = {**container.config["Labels"], "name": container.name, **(attributes or {})}
        self._publish({"Type": "container", "Action": action, "Actor": {"ID": container.id, "Attributes": known}})

    def _publish(self, event: Json) -> None:
        told = {**event, "timeNano": int(self.now * 1e9)}
        self._last_events.append(told)
        for subscriber in list(self._subscribers):
            subscriber(told)

    def _new_id(self) -> str:
        return f"{next(self._numbers):064x}"


def _entry(container: FakeContainer) -> Json:
    """As the list of all containers has it."""
    statuses = {
        "created": "Created",
        "exited": f"Exited ({container.exit_code}) 1 second ago",
        "restarting": f"Restarting ({container.exit_code}) 1 second ago",
        "removing": "Removal In Progress",
    }
    health = {"": "", "starting": " (health: starting)"}.get(container.program.health, f" ({container.program.health})")
    endpoint = {"IPAMConfig": container.endpoint.get("IPAMConfig"), "IPAddress": container.address}
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Labels": container.config["Labels"],
        "ImageID": container.image_id,
        "Created": int(container.created_at),
        "State": container.state,
        "Status": statuses.get(container.state, f"Up 1 second{' (Paused)' if container.state == 'paused' else health}"),
        "NetworkSettings": {"Networks": {container.network_name: endpoint}},
    }


def _timestamp(at: float | None) -> str:
    if at is None:
        return "0001-01-01T00:00:00Z"
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")

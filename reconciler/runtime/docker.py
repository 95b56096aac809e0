"""The Docker Engine as a `ports.Runtime`.

One list call sees the whole host; what the list does not say is looked up only for containers that died. Everything
the Engine offers to hold on to between two calls is held here: the connection, the network, the event stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from reconciler.model.actions import Action
from reconciler.model.observed import Capacity, Inventory, Listener, SecretsSeen
from reconciler.model.reasons import Reason
from reconciler.model.spec import App
from reconciler.ports import Fence, LeadershipUnknown, TryLater, Unavailable, no_fence
from reconciler.runtime.actions import Owned, Performer
from reconciler.runtime.client import BoundedClient, within
from reconciler.runtime.connections import Connections
from reconciler.runtime.deaths import Deaths
from reconciler.runtime.digest_key import DigestKey
from reconciler.runtime.endings import ask_to_end, remove_now
from reconciler.runtime.engine import Engine
from reconciler.runtime.events import EventWatch
from reconciler.runtime.host_paths import AllowedPath, HostPaths
from reconciler.runtime.images import HostImages
from reconciler.runtime.log_defaults import LogDefaults
from reconciler.runtime.looks import CloserLooks, last_log
from reconciler.runtime.mounts import MountPolicy
from reconciler.runtime.network import ReplicaNetwork
from reconciler.runtime.patience import LookPatience
from reconciler.runtime.secrets import Secrets, SecretsDirectory
from reconciler.runtime.translate import checks_left, ownership_labels, read_listing, without_secrets
from reconciler.runtime.volumes import Volumes

# A probe waits for it, and with it the verdict on a replica.
_REDACTOR_SECONDS = 2.0
# While `remove_all` waits for programs to end, it looks so often.
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Removed:
    """What `DockerRuntime.remove_all` removed, by name, and what it left.

    ``kept_networks`` are ours, but used by other people's containers; ``kept_volumes`` hold data.
    """

    containers: tuple[str, ...]
    networks: tuple[str, ...]
    kept_networks: tuple[str, ...]
    kept_volumes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Removable:
    """What `DockerRuntime.remove_all` would remove, by name: containers, and networks with other people's containers on
    them, which they would be kept for. ``volumes`` hold data, and would stay."""

    containers: tuple[str, ...]
    networks: Mapping[str, tuple[str, ...]]
    volumes: tuple[str, ...]


class DockerRuntime:
    """One instance's containers on one Engine, found by ``DOCKER_HOST``, ``DOCKER_TLS_VERIFY``, ``DOCKER_CERT_PATH``.

    ``wake`` is called from the event thread, which runs from `prepare` to `close`. ``allow_host_paths`` are those
    that volumes may name, ``allow_volumes`` volumes that are not ours and may be mounted, ``volume_record``
    the file for `Volumes`, ``secrets_key`` that for `DigestKey`; ``concurrency`` is how many threads will call
    `perform` at a time, ``fence`` what allows a change; ``on_death_of`` is for `EventWatch`. No method calls the Engine
    before the first that needs it, so the Engine may come up later.
    """

    def __init__(
        self,
        *,
        instance: str,
        network: str,
        secrets_dir: Path | None,
        allow_host_paths: Sequence[AllowedPath],
        allow_volumes: Sequence[str],
        volume_record: Path | None,
        secrets_key: Path | None,
        wake: Callable[[], None],
        concurrency: int,
        fence: Fence = no_fence,
        on_death_of: Mapping[str, Callable[[], None]] | None = None,
    ) -> None:
        self._instance = instance
        self._wake = wake
        self._concurrency = concurrency
        self._engine = self._connection(concurrency, fence)
        self._network = ReplicaNetwork(self._engine, network, instance)
        self._deaths = Deaths()
        self._images = HostImages()
        self._log_defaults = LogDefaults()
        self._connections = Connections()
        self._looks = CloserLooks(self._deaths, self._monotonic)
        self._owned = Owned(instance)
        self._capacity: Capacity | None = None
        self._patience = LookPatience()
        self._saw = False
        self._events = self._watch(
            self._engine,
            instance,
            self._deaths,
            self._images,
            self._network_destroyed,
            wake,
            begun=self._log_defaults.forget,
            on_death_of=on_death_of,
        )
        self._secrets = Secrets(SecretsDirectory(secrets_dir), DigestKey(secrets_key))
        self._volumes = Volumes(instance, allow_volumes, volume_record)
        mounts = MountPolicy(instance, self._volumes, HostPaths(allow_host_paths))
        self._performer = Performer(
            self._engine,
            instance,
            self._network,
            self._secrets,
            mounts,
            self._owned,
            self._images,
            self._log_defaults,
        )

    # The ends at the outside, apart so that an Engine in memory can take their place.

    _watch = EventWatch

    def _monotonic(self) -> float:
        return time.monotonic()

    def _connection(self, concurrency: int, fence: Fence) -> Engine:
        return Engine(concurrency, fence)

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def prepare(self) -> None:
        """See `ports.Runtime.prepare`; also begins to follow events. No call where the network is known to be there."""
        self._network.prepare()
        self._secrets.begin()
        self.host_capacity()
        with self._engine.read() as api:
            self._volumes.take_stock(api)
        self._events.start()

    def survey(self) -> None:
        """Find the network, for whoever only wants to look. In place of `prepare`: creates nothing, follows nothing.

        Where the network is missing, addresses are assumed as on one that `prepare` might make.
        """
        self._network.survey()
        self.host_capacity()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """See `ports.Runtime.looking`."""
        began, self._saw = time.monotonic(), False
        with within(self._patience.seconds):
            yield
        if self._saw:
            self._patience.saw(time.monotonic() - began)
        else:
            self._patience.saw_nothing()

    def inventory(self) -> Inventory:
        """See `ports.Runtime.inventory`. Raises Unavailable also before `prepare`."""
        try:
            inventory = self._look()
        except Unavailable:
            self._looks.begin_anew()  # whatever was restarted meanwhile, nobody has told us of it
            raise
        self._saw = True
        return inventory

    def _look(self) -> Inventory:
        self._events.check()
        network = self._network.known
        deaths = self._deaths.new()
        with self._engine.read() as api:
            try:
                listing = read_listing(api.containers(all=True), self._instance, network.name)
            except ValueError as error:
                raise Unavailable(f"the Docker Engine lists a container of ours oddly: {error}") from error
            containers, more = self._looks.add_to(listing.containers, deaths, api)
            images = self._images.known(api)
        self._owned.replace(frozenset(container.id for container in containers))
        if more:
            self._wake()
        return Inventory(containers, network, listing.foreign_names, listing.foreign_addresses, self._capacity, images)

    def log_of(self, container_id: str) -> str:
        """See `ports.Runtime.log_of`."""
        with self._engine.read() as api:
            try:
                return last_log(api.inspect_container(container_id), api)
            except NotFound:
                return ""

    def callers_of(self, called: Sequence[Listener]) -> Mapping[str, tuple[str, ...]]:
        """See `ports.Runtime.callers_of`."""
        with self._engine.read() as api:
            return self._connections.callers_of(called, api)

    def secrets_of(self, apps: Sequence[App], now: float) -> Mapping[str, SecretsSeen]:
        """See `ports.Runtime.secrets_of`. Before `prepare`, which may make the key, none may be told."""
        return self._secrets.seen(apps, now)

    def redactor_of(self, container_id: str) -> Callable[[str], str]:
        """The redactor of a container: it makes the values of its secrets unreadable in a text. Raises Unavailable."""
        with within(_REDACTOR_SECONDS), self._engine.read() as api:
            config = api.inspect_container(container_id)["Config"]
        return lambda text: without_secrets(text, config)

    def perform(self, action: Action) -> None:
        """See `ports.Runtime.perform`. Most reasons of its errors stand in the table of `failures`."""
        try:
            self._performer.perform(action)
        except LeadershipUnknown as error:
            raise TryLater(Reason.LEADERSHIP_UNKNOWN, f"{action.summary}: {error}") from error
        except Unavailable as error:
            raise TryLater(Reason.ENGINE_UNAVAILABLE, str(error)) from error

    def give_up_pulls(self) -> None:
        """See `ports.Runtime.give_up_pulls`."""
        self._performer.give_up_pulls()

    def close(self) -> None:
        """End the event thread and the connections. Containers go on running."""
        self._events.close()
        self._engine.close()

    def engine_id(self) -> str:
        """The id that tells this Engine from every other. Raises Unavailable."""
        with self._engine.read() as api:
            return str(api.info()["ID"])

    def host_capacity(self) -> Capacity:
        """What the Engine's host has in all; asked for once. Raises Unavailable."""
        if self._capacity is None:
            with self._engine.read() as api:
                info = api.info()
            self._capacity = Capacity(cpu_millicores=1000 * info["NCPU"], memory_bytes=info["MemTotal"])
        return self._capacity

    def stats(self, container_id: str) -> dict[str, Any]:
        """The Engine's statistics of one container, asked once; it takes one to two seconds. Raises Unavailable."""
        with self._engine.read() as api:
            return dict(api.stats(container_id, stream=False, one_shot=True))

    def removable(self) -> Removable:
        """What `remove_all` would remove; touches nothing. Raises Unavailable."""
        with self._engine.read() as api:
            listed = api.containers(all=True)
            containers = read_listing(listed, self._instance, self._network.name).containers
            doomed = {*(container.id for container in containers), *checks_left(listed, self._instance)}
            volumes = self._own_volumes(api)
        return Removable(
            containers=tuple(sorted(container.name for container in containers)),
            networks=self._network.removable(doomed),
            volumes=volumes,
        )

    def remove_all(self, grace_seconds: float = 10.0) -> Removed:
        """Remove every container of this instance, and its network, for `teardown`. Named volumes hold data and stay.

        All programs are asked to end at once, and have ``grace_seconds`` together.
        Raises Unavailable where the Engine does not answer, or can't do it.
        """
        with self._engine.read() as api:
            listed = api.containers(all=True)
            containers = read_listing(listed, self._instance, self._network.name).containers
            doomed = [*(container.id for container in containers), *checks_left(listed, self._instance)]
            with ThreadPoolExecutor(self._concurrency) as pool:
                ends_at = self._monotonic() + grace_seconds
                list(pool.map(self._ask_to_end, doomed))
                while self._any_runs(api, doomed) and (left_seconds := ends_at - self._monotonic()) > 0:
                    self._sleep(min(_POLL_SECONDS, left_seconds))
                list(pool.map(self._remove, doomed))
            volumes = self._own_volumes(api)
        networks, kept_networks = self._network.remove()
        return Removed(
            containers=tuple(sorted(container.name for container in containers)),
            networks=networks,
            kept_networks=kept_networks,
            kept_volumes=volumes,
        )

    def _own_volumes(self, api: BoundedClient) -> tuple[str, ...]:
        labels = [f"{key}={value}" for key, value in ownership_labels(self._instance).items()]
        volumes = api.volumes(filters={"label": labels})["Volumes"] or ()
        return tuple(sorted(volume["Name"] for volume in volumes))

    def _ask_to_end(self, container_id: str) -> None:
        with self._engine.read() as api, suppress(NotFound):
            ask_to_end(api, container_id)

    def _any_runs(self, api: BoundedClient, container_ids: Iterable[str]) -> bool:
        """Whether the program of any of these runs."""
        return not {entry["Id"] for entry in api.containers()}.isdisjoint(container_ids)

    def _remove(self, container_id: str) -> None:
        with self._engine.read() as api, suppress(NotFound):
            remove_now(api, container_id)

    def _network_destroyed(self, name: str) -> None:
        """Events tell so; if it is ours, the next `inventory` says so and the next `prepare` makes it anew."""
        if name == self._network.name:
            self._network.forget()

"""The network replicas join, and which of its addresses are ours to give.

The Engine gives fixed addresses only on a network whose subnet was chosen at its creation, but it alone knows which
subnets are free on the host. So it is asked to choose one by creating a network of a passing name, and the real network
is created with that choice. A quarter of it is left to containers that come without a fixed address, such as people's
own, so that they never take one of ours.

A network of our name that somebody else made is used as it is, and never removed.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from reconciler.model.observed import Network
from reconciler.model.reasons import Reason
from reconciler.ports import Rejected, Unavailable
from reconciler.runtime.client import BoundedClient
from reconciler.runtime.engine import Engine, sentence_of
from reconciler.runtime.translate import Json, is_ours, ownership_labels

_ATTEMPTS = 5
_NOT_FOUND, _CONFLICT, _FORBIDDEN = 404, 409, 403
# What an Engine says, of whatever age, that has no subnet left to give.
_NO_SUBNET_LEFT = re.compile(r"non-overlapping IPv4 address pool|fully subnetted|no available (network|subnet|pool)")

Subnet = ipaddress.IPv4Network


class ReplicaNetwork:
    """The network that replicas join, known after `prepare` or `survey`; forgets it when told that it is gone."""

    def __init__(self, engine: Engine, name: str, instance: str) -> None:
        self.name = name
        self._engine = engine
        self._instance = instance
        self._known: Network | None = None
        self._last_subnet: Subnet | None = None

    @property
    def known(self) -> Network:
        """The network. Raises Unavailable while it is not known to be there."""
        if self._known is None:
            raise Unavailable(f"the network {self.name} is missing; it is made as soon as the Engine allows it")
        return self._known

    def forget(self) -> None:
        """Forget what is known of the network: it may be gone, or another by now."""
        self._known = None

    def prepare(self) -> None:
        """Make sure that the network exists; no call where that is known. Raises Unavailable, or Rejected where it
        can't be used."""
        if self._known is not None:
            return
        with self._engine.read() as api:
            for _ in range(_ATTEMPTS):
                if (network := self._find(api)) is not None:
                    self._adopt(network)
                    return
                self._create(api)
        raise Unavailable(f"the network {self.name} could not be made: its subnets were taken {_ATTEMPTS} times")

    def survey(self) -> None:
        """Find the network without touching anything: a network that is not there is assumed, with addresses as in
        one."""
        with self._engine.read() as api:
            if (network := self._find(api)) is not None:
                self._adopt(network)
                return
        first, last = fixed_addresses(_layout(self._last_subnet or Subnet("172.31.0.0/16")))
        self._known = Network(self.name, first, last)

    def removable(self, doomed: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """What `remove` would remove, and for each network the other containers on it once these, by their ids, are
        gone; as long as there are any, it would be kept."""
        with self._engine.read() as api:
            found = [api.inspect_network(network["Id"]) for network in self._own(api)]
        return {
            network["Name"]: tuple(
                sorted(user["Name"] for id_, user in (network["Containers"] or {}).items() if id_ not in doomed)
            )
            for network in found
        }

    def remove(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Remove the network if it is ours, and whatever a crash left of making it.

        The names of those that are gone, and of those that other containers still use.
        """
        removed, kept = [], []
        with self._engine.read() as api:
            for network in self._own(api):
                try:
                    api.remove_network(network["Id"])
                    removed.append(network["Name"])
                except APIError as error:
                    if error.status_code == _FORBIDDEN:
                        kept.append(network["Name"])
                    elif error.status_code != _NOT_FOUND:  # somebody else's removal was quicker
                        raise
        self.forget()
        return tuple(sorted(removed)), tuple(sorted(kept))

    def _own(self, api: BoundedClient) -> Sequence[Json]:
        labels = [f"{key}={value}" for key, value in ownership_labels(self._instance).items()]
        networks: Sequence[Json] = api.networks(filters={"label": labels})
        return networks

    def _adopt(self, network: Json) -> None:
        try:
            pools = network["IPAM"]["Config"] or ()
            first, last = fixed_addresses(pools)
        except ValueError as error:
            raise Rejected(
                Reason.NETWORK_UNFIT,
                f"the network {self.name} {error}: have the controller use another (--network NAME) or, if nothing "
                "needs this one, remove it, and one that fits is made",
            ) from None
        self._known = Network(self.name, first, last)
        self._last_subnet = _ipv4_pool(pools)[0]

    def _find(self, api: BoundedClient) -> Json | None:
        """The network of our name. Of several, which a race of two controllers leaves, the oldest stays."""
        namesakes = [network for network in api.networks(names=[self.name]) if network["Name"] == self.name]
        if not namesakes:
            return None
        oldest: Json
        oldest, *others = sorted(namesakes, key=lambda network: (network["Created"], network["Id"]))
        for other in others:
            if is_ours(other["Labels"], self._instance):
                with suppress(NotFound):  # the other controller was quicker
                    api.remove_network(other["Id"])
        return oldest

    def _create(self, api: BoundedClient) -> None:
        """Try once to create the network; a name or a subnet that was taken meanwhile is for the next look to see."""
        subnet = self._last_subnet or self._free_subnet(api)
        try:
            self._create_named(api, self.name, _layout(subnet))
        except APIError as error:
            if error.status_code not in (_CONFLICT, _FORBIDDEN):
                raise
            self._last_subnet = None

    def _free_subnet(self, api: BoundedClient) -> Subnet:
        try:
            passing = self._create_named(api, f"{self.name}-{secrets.token_hex(4)}")
        except APIError as error:
            if not _NO_SUBNET_LEFT.search(sentence_of(error)):
                raise
            raise Unavailable(_without_subnet(self.name, sentence_of(error), len(api.networks()))) from error
        try:
            return _ipv4_pool(api.inspect_network(passing)["IPAM"]["Config"])[0]
        finally:
            api.remove_network(passing)

    def _create_named(self, api: BoundedClient, name: str, pools: Sequence[Json] = ()) -> str:
        labels = ownership_labels(self._instance)
        ipam = IPAMConfig(pool_configs=[_pool(pool) for pool in pools]) if pools else None
        created = api.create_network(name, driver="bridge", check_duplicate=True, labels=labels, ipam=ipam)
        return created["Id"]


# --- addresses; pure


def _without_subnet(name: str, sentence: str, networks: int) -> str:
    return (
        f"the network {name} can't be made, since the Docker Engine's address pools have no subnet left beside its "
        f"{networks} networks ({sentence.strip()}): remove networks that nobody uses (`docker network prune`), give "
        "the Engine more room (`default-address-pools` in its daemon.json, then restart it), or name a network that is "
        "there already (--network NAME)"
    )


def fixed_addresses(pools: Sequence[Json]) -> tuple[str, str]:
    """First and last of the longest run of addresses that nobody else gives away.

    Reads the ``IPAM.Config`` of a network. That leaves out its gateway, auxiliary addresses and the range for
    containers without a fixed address; where there is no such range, the Engine gives them the lowest, and the
    upper half is ours. Raises ValueError, to be read after the network's name, where there is no room.
    """
    subnet, pool = _ipv4_pool(pools)
    runs = list(_free_runs(subnet, sorted(_given_by_others(subnet, pool))))
    if not runs:
        raise ValueError(f"leaves no address of {subnet} to replicas")
    first, last = max(runs, key=lambda run: (run[1] - run[0], -run[0]))
    return str(ipaddress.IPv4Address(first)), str(ipaddress.IPv4Address(last))


def _ipv4_pool(pools: Sequence[Json]) -> tuple[Subnet, Json]:
    """The first IPv4 subnet, and its pool; ValueError where there is none."""
    for pool in pools:
        with suppress(ipaddress.AddressValueError, ipaddress.NetmaskValueError):  # an IPv6 one
            return Subnet(pool.get("Subnet", ""), strict=False), pool
    raise ValueError("has no IPv4 subnet")


def _given_by_others(subnet: Subnet, pool: Json) -> Iterator[tuple[int, int]]:
    for address in (pool.get("Gateway"), *(pool.get("AuxiliaryAddresses") or {}).values()):
        if address:
            number = int(ipaddress.IPv4Interface(address).ip)
            yield number, number
    given = pool.get("IPRange")
    dynamic = Subnet(given, strict=False) if given else next(iter(subnet.subnets()))
    yield int(dynamic.network_address), int(dynamic.broadcast_address)


def _free_runs(subnet: Subnet, taken: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The runs of addresses between the taken ones, without the subnet's own and its broadcast address."""
    start = int(subnet.network_address) + 1
    end = int(subnet.broadcast_address) - 1
    for first, last in taken:
        if first > start:
            yield start, min(first - 1, end)
        start = max(start, last + 1)
    if start <= end:
        yield start, end


def _layout(subnet: Subnet) -> tuple[Json]:
    """How we divide a subnet: gateway first, the last quarter for containers without a fixed address."""
    quarter = list(subnet.subnets(prefixlen_diff=2))[-1]
    return ({"Subnet": str(subnet), "IPRange": str(quarter), "Gateway": str(subnet.network_address + 1)},)


def _pool(pool: Json) -> IPAMPool:
    return IPAMPool(subnet=pool["Subnet"], iprange=pool["IPRange"], gateway=pool["Gateway"])

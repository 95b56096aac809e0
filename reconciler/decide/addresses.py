"""Which slot and address a new replica gets.

A slot keeps its address for life, so healing it needs no new route. An address that a removed slot had is not
given away soon: an nginx worker that is still finishing may know it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from functools import cached_property
from itertools import chain

from reconciler.model.actions import CreateReplica
from reconciler.model.observed import Network, Observed
from reconciler.model.state import State

# The name of an app's replica, by its slot.
NameOf = Callable[[int], str]


class Addresses:
    """The addresses still to be given in this tick. Mutable on purpose: two replicas must not get the same one."""

    def __init__(self, observed: Observed, state: State) -> None:
        self.last = state.last_address
        self.network = observed.inventory.network
        self._observed = observed
        self._state = state

    def take(self, kept: str) -> str | None:
        """The address for a slot: ``kept``, the one that it had, where it is free and still of this network; else the
        next free one that no slot had; None when the network is full."""
        if kept and kept not in self._in_use and _is_in(self.network, kept):
            self._in_use.add(kept)
            return kept
        address = next_address(self.network, self._known, self.last)
        if address is not None:
            self._known.add(address)
            self.last = address
        return address

    @property
    def none_left(self) -> str:
        """What there is to say where no address is left, and what would help."""
        network, (first, last) = self.network, self.network.bounds
        foreign = sum(_is_in(network, address) for address in self._observed.inventory.foreign_addresses)
        others = f", {foreign} of them by containers that are not ours" if foreign else ""
        return (
            f"no address is left on network {network.name}: the {last - first + 1} that replicas may have "
            f"({network.first_address} to {network.last_address}) are all taken{others}; remove replicas or containers "
            "that nobody needs, or run part of the apps by a second instance on another, larger network (--instance, "
            "--network NAME)"
        )

    @cached_property
    def _in_use(self) -> set[str]:
        used = {c.address for c in self._observed.containers if c.address}
        promised = {a.address for a in self._observed.in_flight if isinstance(a, CreateReplica)}
        return used | promised | self._observed.inventory.foreign_addresses

    @cached_property
    def _known(self) -> set[str]:
        """The addresses that are not free: those in use, and those that empty slots keep."""
        return self._in_use | {replica.address for replica in self._state.replicas.values()}


def free_slots(count: int, used_slots: Collection[int], name_of: NameOf, foreign_names: Collection[str]) -> list[int]:
    """The lowest ``count`` slots that no replica holds and whose name no foreign container has."""
    slots: list[int] = []
    slot = 0
    while len(slots) < count:
        slot += 1
        if slot not in used_slots and name_of(slot) not in foreign_names:
            slots.append(slot)
    return slots


def next_address(network: Network, taken: Collection[str], last_address: str) -> str | None:
    """The first free address after the one given last, wrapping around; None when every one is taken."""
    first, last = network.bounds
    start = int(ipaddress.IPv4Address(last_address)) + 1 if last_address else first
    if not first <= start <= last:
        start = first
    for number in chain(range(start, last + 1), range(first, start)):
        address = str(ipaddress.IPv4Address(number))
        if address not in taken:
            return address
    return None


def _is_in(network: Network, address: str) -> bool:
    first, last = network.bounds
    return first <= int(ipaddress.IPv4Address(address)) <= last

"""Which slot and address a new replica gets.

A slot keeps its address for life, so healing it needs no new route. An address that a removed slot had is not
given away soon: an nginx worker that is still finishing may know it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from reconciler.model.observed import Network


def free_slots(count: int, used_slots: Collection[int], name_of: NameOf, foreign_names: Collection[str]) -> list[int]:
    """The lowest ``count`` slots that no replica holds and whose name no foreign container has."""
    slots: list[int] = []
    slot = 0
    while len(slots) < count:
        slot += 1
        if slot not in used_slots and name_of(slot) not in foreign_names:
            slots.append(slot)
    return slots


class NameOf:
    """Names the replicas of one app: ``PREFIXAPP-SLOT``."""

    def __init__(self, prefix: str, app_name: str) -> None:
        self._stem = f"{prefix}{app_name}-"

    def __call__(self, slot: int) -> str:
        return f"{self._stem}{slot}"


def next_address(network: Network, taken: Collection[str], last_address: str) -> str | None:
    """The first free address after the one given last, wrapping around; None when every one is taken."""
    first, last = network.bounds
    start = int(ipaddress.IPv4Address(last_address)) + 1 if last_address else first
    if not first <= start <= last:
        start = first
    for number in (*range(start, last + 1), *range(first, start)):
        address = str(ipaddress.IPv4Address(number))
        if address not in taken:
            return address
    return None

"""Container defaults: what a container gets where its spec says nothing.

They belong to the version that a container is made from, so that siblings made later (healing, scaling, a rollback) are
alike, whichever release of the controller makes them. A generation is never changed, only another added; new versions
are made with the latest, and a version that runs keeps its own until its spec changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContainerDefaults:
    """What a container gets by default. ``init``: whether an init process of the Engine's runs as process 1, before the
    program."""

    init: bool


# By the number that versions record, and containers carry in a label.
GENERATIONS: Mapping[int, ContainerDefaults] = {
    1: ContainerDefaults(init=False),
}
FIRST_GENERATION = 1


def latest_generation() -> int:
    """The generation that new versions are made with."""
    return max(GENERATIONS)


def generation_of(label: str) -> int:
    """The generation that a container's label names; the first for one that has none, or none that is known."""
    number = int(label) if label.isdecimal() else FIRST_GENERATION
    return number if number in GENERATIONS else FIRST_GENERATION


def defaults_of(generation: int) -> ContainerDefaults:
    """What containers of this generation are made with."""
    return GENERATIONS[generation]

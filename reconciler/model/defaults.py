"""Container defaults: what a container gets where its spec says nothing.

They belong to the version that a container is made from, so that siblings made later (healing, scaling, a rollback) are
alike, whichever release of the controller makes them. An edition is never changed, only another added; new versions
are made with the latest, and a version that runs keeps its own until its spec changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogBounds:
    """How much of a container's log is kept: so many files, of a size in the Engine's words."""

    max_size: str
    max_files: int


@dataclass(frozen=True, slots=True)
class ContainerDefaults:
    """One edition of defaults. ``init``: whether an init process of the Engine's runs as process 1, before the
    program; None: as the Engine does. ``log``: the bounds of a log that the Engine would let grow for ever."""

    init: bool | None
    log: LogBounds | None = None


# By the number that versions record, and containers carry in a label.
EDITIONS: Mapping[int, ContainerDefaults] = {
    1: ContainerDefaults(init=False),
    2: ContainerDefaults(init=None, log=LogBounds(max_size="10m", max_files=3)),
}
FIRST_EDITION = 1


def latest_edition() -> int:
    """The edition that new versions are made with."""
    return max(EDITIONS)


def edition_of(label: str) -> int:
    """The edition that a container's label names; the first for one that has none, or none that is known."""
    number = int(label) if label.isdecimal() else FIRST_EDITION
    return number if number in EDITIONS else FIRST_EDITION


def defaults_of(edition: int) -> ContainerDefaults:
    """What containers of this edition are made with."""
    return EDITIONS[edition]

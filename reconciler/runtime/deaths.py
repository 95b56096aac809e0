"""Deaths: what events tell of containers that died, kept until somebody has looked at them more closely.

An event of the kernel's memory killer may come before that of the death it caused, or after it, and inspecting tells
of it only until the container runs again. So it is kept here, for the run in which it came: from one start to the next.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, eq=False, slots=True)
class Death:
    """One death that events told of. Two of them are never the same."""

    exit_code: int | None
    out_of_memory: bool = False


class Deaths:
    """May be told and asked from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: dict[str, Death] = {}
        # Since their last start: those the kernel took a process from, and those that died.
        self._short_of_memory: set[str] = set()
        self._ended: dict[str, Death] = {}
        self._missed = False

    def started(self, container_id: str) -> None:
        """A run begins, or the container is gone: what the one before it came to is not this one's."""
        with self._lock:
            self._short_of_memory.discard(container_id)
            self._ended.pop(container_id, None)

    def ran_out_of_memory(self, container_id: str) -> None:
        """The kernel ended a process of it for want of memory."""
        with self._lock:
            self._short_of_memory.add(container_id)
            death = self._ended.get(container_id)
            if death is not None and not death.out_of_memory:
                self._tell(container_id, replace(death, out_of_memory=True))

    def died(self, container_id: str, exit_code: int | None) -> None:
        """It ended; the Engine may be starting it again already."""
        with self._lock:
            self._tell(container_id, Death(exit_code, out_of_memory=container_id in self._short_of_memory))

    def missed(self) -> None:
        """Whoever tells was cut off, and may have missed some."""
        with self._lock:
            self._missed = True

    def take_missed(self) -> bool:
        """Whether some may have been missed since this was last asked."""
        with self._lock:
            missed, self._missed = self._missed, False
        return missed

    def new(self) -> dict[str, Death]:
        """The last one of each container, unless it is settled."""
        with self._lock:
            return dict(self._new)

    def settle(self, deaths: Mapping[str, Death]) -> None:
        """These were looked at. Who died once more meanwhile, or of whose death more was told, is to be looked at."""
        with self._lock:
            for container_id, death in deaths.items():
                if self._new.get(container_id) is death:
                    del self._new[container_id]

    def _tell(self, container_id: str, death: Death) -> None:
        self._new[container_id] = self._ended[container_id] = death

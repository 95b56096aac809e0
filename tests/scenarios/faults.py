"""The fault injector: what goes wrong at which of the points where something can.

It has no chance of its own. Whoever tells the scenario says of each kind of fault at which of the points that are
passed next it strikes, so that a failing scenario can be told again, and shortened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

FAULTS = (
    "kill",
    "engine stumbles",
    "engine hangs up",
    "engine answers too late",
    "engine can't be seen",
    "edge stumbles",
    "source can't be read",
    "store can't be written",
)
SIDES = ("engine", "edge", "source", "store")


class Killed(BaseException):
    """SIGKILL for the controller, at this very point. Nothing of it goes on; the world does."""


class FaultInjector:
    """``gone`` are the sides that can't be reached at all until they come back."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.gone: set[str] = set()
        self._tell = tell
        self._due: Mapping[str, Collection[int]] = {}
        self._passed: Counter[str] = Counter()

    @contextmanager
    def armed(self, faults: Mapping[str, Collection[int]]) -> Iterator[None]:
        """Each of these kinds strikes at the points of these numbers, counted from here, until this ends."""
        before = self._due, self._passed
        self._due, self._passed = faults, Counter()
        try:
            yield
        finally:
            self._due, self._passed = before

    def strikes(self, fault: str) -> bool:
        """Whether this kind of fault happens here and now."""
        number = self._passed[fault]
        self._passed[fault] += 1
        if number not in self._due.get(fault, ()):
            return False
        self._tell(f"fault: {fault}")
        return True

    def may_kill(self, point: str) -> None:
        """A point at which the controller may be killed. Raises Killed."""
        if self.strikes("kill"):
            self._tell(f"killed {point}")
            raise Killed(point)

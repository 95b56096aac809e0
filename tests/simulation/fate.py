"""Chance, seeded: what goes wrong in a simulated life, and when. The same seed always tells the same story."""

from __future__ import annotations

import random


class Killed(BaseException):
    """SIGKILL for the controller, at this very point. Nothing of it goes on; the world does."""


class Fate:
    """``likelihood`` is by kind of fault, 0 where none happens; ``journal`` tells what came to pass."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.likelihood: dict[str, float] = {}
        self.journal: list[str] = []

    def strikes(self, fault: str) -> bool:
        """Whether this kind of fault happens here and now."""
        if self.chance.random() >= self.likelihood.get(fault, 0.0):
            return False
        self.tell(f"fault: {fault}")
        return True

    def may_kill(self, point: str) -> None:
        """A point at which the controller may be killed. Raises Killed."""
        if self.strikes("kill"):
            self.tell(f"killed {point}")
            raise Killed(point)

    def tell(self, what: str) -> None:
        self.journal.append(what)

    def relent(self) -> None:
        """From now on nothing goes wrong by chance any more."""
        self.likelihood.clear()

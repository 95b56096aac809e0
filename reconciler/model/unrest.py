"""Unrest: how often an app's replicas were replaced as unhealthy, or started again, of late.

An app that is healed again and again is ready whenever somebody looks, and yet not well. So the times are remembered,
for as long as they say something about now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.model.moments import Moment

UNREST_SECONDS = 3600.0
# No more times of a kind are kept.
MAX_TIMES = 60
# One replica that was healed once is no news.
TOLD_FROM_TIMES = 2


@dataclass(frozen=True, slots=True)
class Unrest:
    """When replicas of an app were ``replaced`` as unhealthy, and when the programs of such as stayed were
    ``restarted``."""

    replaced: tuple[Moment, ...] = ()
    restarted: tuple[Moment, ...] = ()

    def once_more(self, at: float, *, replaced: int = 0, restarted: int = 0) -> Unrest:
        """So many more were replaced, or restarted."""
        return replace(
            self,
            replaced=_kept((*self.replaced, *(at,) * replaced), at) if replaced else self.replaced,
            restarted=_kept((*self.restarted, *(at,) * restarted), at) if restarted else self.restarted,
        )

    def replaced_lately(self, now: float) -> int:
        """How many replicas were replaced in the last hour."""
        return len(_kept(self.replaced, now))

    def restarted_lately(self, now: float) -> int:
        """How many were restarted in the last hour."""
        return len(_kept(self.restarted, now))

    def words(self, now: float) -> str:
        """What people should know of it: ``replaced 6 times in the last hour``; "" where there is nothing to tell."""
        times = {"replaced": self.replaced_lately(now), "restarted": self.restarted_lately(now)}
        told = [f"{what} {_times(count)}" for what, count in times.items() if count >= TOLD_FROM_TIMES]
        return f"{' and '.join(told)} in the last hour" if told else ""


def _kept(times: Iterable[Moment], now: float) -> tuple[Moment, ...]:
    return tuple(at for at in times if now - at < UNREST_SECONDS)[-MAX_TIMES:]


def _times(count: int) -> str:
    return f"{count} times" if count < MAX_TIMES else f"{count} times and more"

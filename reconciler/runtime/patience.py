"""How long the loop waits for the Engine in one tick, all its looks together.

An Engine that hangs must not hold up the loop: who gets requests is decided meanwhile by other means. A host may be so
large, or so busy, that a list takes its time; so whoever needed long gets twice that, and once in a while, when nothing
was seen for some time, one look may take longer. Decides a time and nothing else.
"""

from __future__ import annotations

LOOK_SECONDS = 5.0
LONG_LOOK_SECONDS = 15.0
# Of so many looks in a row that came to nothing the last may take longer.
_LOOKS_UNTIL_LONG = 6


class LookPatience:
    """How long the next look may take, by how those before went."""

    def __init__(self) -> None:
        self._took_seconds = 0.0
        self._in_vain = 0

    @property
    def seconds(self) -> float:
        if self._in_vain % _LOOKS_UNTIL_LONG == _LOOKS_UNTIL_LONG - 1:
            return LONG_LOOK_SECONDS
        return min(LONG_LOOK_SECONDS, max(LOOK_SECONDS, 2 * self._took_seconds))

    def saw(self, took_seconds: float) -> None:
        """A look came to its end."""
        self._took_seconds, self._in_vain = took_seconds, 0

    def saw_nothing(self) -> None:
        """A look was cut off, or refused."""
        self._in_vain += 1

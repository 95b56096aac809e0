"""A certificate that the edge serves, and how close its end is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Standing = Literal["valid", "expiring", "expired"]

# People are warned when so much is left or a third of its lifetime, whichever is less: those that are renewed by
# themselves, as ones of 90 days are, have been by then.
WARN_SECONDS = 21 * 86_400.0
WARN_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class ServedCertificate:
    """A certificate by its secret, valid from ``not_before`` until ``not_after`` (epoch seconds). ``standing`` is what
    people were told of it last."""

    secret: str
    not_before: float
    not_after: float
    standing: Standing = "valid"

    def standing_at(self, now: float) -> Standing:
        """How close its end is."""
        if now >= self.not_after:
            return "expired"
        warned_seconds = min(WARN_SECONDS, (self.not_after - self.not_before) * WARN_SHARE)
        return "expiring" if now >= self.not_after - warned_seconds else "valid"

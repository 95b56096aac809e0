"""Moments: points in time that the state remembers, told apart from other numbers by their type.

That a field holds one is written once, at the field; whoever has to look at all of them finds them by it.
"""

from __future__ import annotations

from typing import Annotated

Moment = Annotated[float, "epoch seconds"]

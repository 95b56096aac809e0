"""A thing that happened, in one sentence, for `orchestry events`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

EventType = Literal["app", "action", "health", "rollout", "scaling", "routes", "source", "controller"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, without any secret value. ``at`` in epoch seconds; ``app_name`` None for what concerns
    the whole host."""

    at: float
    type: EventType
    message: str
    app_name: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)

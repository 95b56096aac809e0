"""The result of one decision: what to do, what to wait for, and why.

A plan is complete: whoever performs it has nothing left to decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.actions import Action
from reconciler.model.events import Event
from reconciler.model.health import CheckKind
from reconciler.model.routes import RouteTable
from reconciler.model.spec import HealthCheck, UpstreamTls
from reconciler.model.state import State


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """The controller's own settings as far as they shape decisions.

    ``name_prefix`` stands before every container name of an instance that is not ``default``;
    ``confirmed_revision`` is a revision whose deletions people have confirmed.
    """

    name_prefix: str = ""
    confirmed_revision: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """One check of one container. ``quick`` until it has first answered well, then at the check's period.

    ``first_at`` (epoch seconds) is the earliest moment to ask: the container's start plus ``initialDelaySeconds``.
    ``tls`` is by what it is known where the check speaks TLS.
    """

    container_id: str
    kind: CheckKind
    address: str
    port: int
    check: HealthCheck
    quick: bool
    first_at: float
    tls: UpstreamTls | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A decision not to act: what for, and until when if that is known (epoch seconds)."""

    app_name: str | None
    message: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one tick has decided. ``wake_at``: when to look again although nothing happens (epoch seconds);
    ``urgent`` names the apps that have lost replicas, whose actions come first."""

    actions: tuple[Action, ...]
    waits: tuple[Wait, ...]
    routes: RouteTable
    probes: tuple[ProbeTarget, ...]
    state: State
    events: tuple[Event, ...]
    notices: tuple[str, ...] = ()
    wake_at: float | None = None
    differences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    urgent: frozenset[str] = frozenset()

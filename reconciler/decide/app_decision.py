"""What is known of one app once a tick has decided, and once the edge has answered: all that statuses are told from."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.decide.app_view import AppView
from reconciler.decide.reconcile import Choice
from reconciler.model.desired import Problem
from reconciler.model.plan import Wait
from reconciler.model.routes import AppRoutes, Refusal


@dataclass(frozen=True, slots=True)
class AppDecision:
    """What one tick knows of an app once it has decided."""

    view: AppView
    choice: Choice
    waits: tuple[Wait, ...] = ()
    acting: bool = False
    problems: tuple[Problem, ...] = ()
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """What the edge serves of one app now."""

    part: AppRoutes | None = None
    refusals: tuple[Refusal, ...] = ()

    @property
    def routed(self) -> frozenset[str]:
        servers = self.part.servers if self.part else ()
        return frozenset(server.name for server in servers if not server.draining)

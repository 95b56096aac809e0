"""What was decided of one app, and what the edge serves of it: all that statuses are told from.

Values alone, so that a status repeats what was decided and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.decide.actions import AppActions
from reconciler.decide.app_view import AppView
from reconciler.decide.reconcile import Reconciliation
from reconciler.model.certificates import ServedCertificate
from reconciler.model.desired import Problem
from reconciler.model.events import Event
from reconciler.model.plan import Wait
from reconciler.model.routes import AppRoutes, Refusal


@dataclass(frozen=True, slots=True)
class AppDecision:
    """What a tick has decided of one app. ``steps`` are what is done about it now, and what it waits for; ``part`` is
    its part of the route table. ``handover``: what it waits for with routes that move to or from another app."""

    view: AppView
    steps: AppActions
    reconciliation: Reconciliation = Reconciliation()
    part: AppRoutes | None = None
    events: tuple[Event, ...] = ()
    problems: tuple[Problem, ...] = ()
    leaving: bool = False
    handover: str = ""

    @property
    def closing(self) -> frozenset[str]:
        """Names of the replicas that are to go, and that others reach by their names alone."""
        going = (replica for replica in self.view.replicas if replica.name in self.reconciliation.retire)
        return frozenset(replica.name for replica in going if self.view.is_called_by_name(replica))

    def handing_over(self, wait: Wait) -> AppDecision:
        """The same while a route moves; an app that leaves waits for nothing else before."""
        waits = (wait, *self.steps.waits) if self.leaving else (*self.steps.waits, wait)
        return replace(self, steps=replace(self.steps, waits=waits), handover=wait.message)


@dataclass(frozen=True, slots=True)
class Served:
    """What the edge serves of one app now, and with which certificates."""

    part: AppRoutes | None = None
    refusals: tuple[Refusal, ...] = ()
    certificates: tuple[ServedCertificate, ...] = ()

    @property
    def routed(self) -> frozenset[str]:
        """Names of the replicas that receive requests."""
        return frozenset(server.name for server in self.part.live) if self.part else frozenset()

"""The context of a decision: what every app's decision looks at, gathered once, and what apps share.

Addresses and headroom on the host are given to one app after the other; everything else stays as it was found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Self

from reconciler.decide.addresses import Addresses, NameOf
from reconciler.decide.app_view import AppView
from reconciler.decide.phases import Replica, classify
from reconciler.decide.scaling.counts import HostHeadroom
from reconciler.decide.versions import target_of
from reconciler.decide.volumes import Writer, departing_writers
from reconciler.model.app_state import AppState
from reconciler.model.desired import Problem
from reconciler.model.observed import Observed
from reconciler.model.plan import DecisionSettings
from reconciler.model.routes import AppRoutes
from reconciler.model.state import State


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """What every app's decision looks at, and what apps share. ``state`` is the one that this observation was folded
    into; ``replicas`` and ``published`` are by app name, ``departing`` are replicas on their way out of a
    volume."""

    observed: Observed
    state: State
    settings: DecisionSettings
    replicas: Mapping[str, tuple[Replica, ...]]
    published: Mapping[str, AppRoutes]
    addresses: Addresses
    headroom: HostHeadroom
    departing: tuple[Writer, ...]

    @classmethod
    def of(cls, observed: Observed, state: State, settings: DecisionSettings, leaving: AbstractSet[str]) -> Self:
        """The context of one tick, in which these apps are being removed."""
        replicas = _by_app(state, observed)
        return cls(
            observed=observed,
            state=state,
            settings=settings,
            replicas=replicas,
            published={part.app_name: part for part in state.published.table.apps},
            addresses=Addresses(observed, state),
            headroom=HostHeadroom(observed.inventory.capacity, state.apps.values()),
            departing=departing_writers(state.apps, replicas, leaving),
        )

    @property
    def now(self) -> float:
        return self.observed.at

    def view(self, app: AppState) -> AppView:
        """The app as it stands before anything is decided about it."""
        needed = target_of(app).app.spec.depends_on
        unready = tuple(name for name in needed if not self._serves(name)) if needed else ()
        replicas, published = self.replicas.get(app.name, ()), self.published.get(app.name)
        return AppView(app, replicas, published, self.now, unready, self.departing)

    def name_of(self, app: AppState) -> NameOf:
        """Names the replicas of the app: ``PREFIXAPP-SLOT``."""
        return f"{self.settings.name_prefix}{app.name}-{{}}".format

    def problems_of(self, app: AppState) -> tuple[Problem, ...]:
        """What is wrong with the app's spec: named, or in its file where nobody can tell whose it is."""
        return tuple(
            problem
            for problem in self.observed.desired.problems
            if problem.app_name == app.name or (problem.app_name is None and problem.path == app.version.path)
        )

    def _serves(self, app_name: str) -> bool:
        """Whether an app serves: a version of it was ready as a whole, and some replica still is; one at zero replicas
        has none."""
        app = self.state.apps.get(app_name)
        if app is None or app.stable is None:
            return False
        return app.count == 0 or any(replica.ready for replica in self.replicas.get(app_name, ()))


def _by_app(state: State, observed: Observed) -> dict[str, tuple[Replica, ...]]:
    """The replicas of each app, remembered or seen, by slot."""
    containers = {container.name: container for container in observed.containers}
    busy = {action.key: action for action in observed.in_flight}
    foreign_addresses = observed.inventory.foreign_addresses
    grouped: defaultdict[str, list[Replica]] = defaultdict(list)
    for name, remembered in state.replicas.items():
        in_flight, queued_behind = busy.get(name), observed.queued.get(name)
        replica = classify(remembered, containers.get(name), in_flight, foreign_addresses, queued_behind)
        grouped[remembered.app_name].append(replica)
    return {app_name: tuple(sorted(members, key=_in_order)) for app_name, members in grouped.items()}


def _in_order(replica: Replica) -> tuple[int, str]:
    return replica.slot, replica.name

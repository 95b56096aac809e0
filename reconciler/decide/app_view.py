"""One app as one tick sees it: what is wanted, what there is, and who is being routed to.

Every decision about an app reads this one value, so that count, rollout, actions, routes and status can't disagree.
It names what is so, and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from reconciler.decide.composition import Composition, composition_of, resolved, surge_of
from reconciler.decide.phases import Replica
from reconciler.decide.versions import is_change, is_paused, target_of, version_for
from reconciler.decide.volumes import Writer, awaited_by
from reconciler.model.app_state import AppState
from reconciler.model.routes import AppRoutes
from reconciler.model.spec import Scaling
from reconciler.model.version import Version


@dataclass(frozen=True)
class AppView:
    """One app at one moment: its state, its replicas, and its part of the route table that is being served.

    ``replicas`` are in the order of their slots, empty slots included; ``published`` is None where the app has no part.
    ``unready_dependencies`` are apps that the first start has to wait for; ``departing`` are replicas, of whatever app,
    on their way out of a volume.
    """

    app: AppState
    replicas: tuple[Replica, ...]
    published: AppRoutes | None
    now: float
    unready_dependencies: tuple[str, ...] = ()
    departing: tuple[Writer, ...] = ()

    def after(self, app: AppState) -> AppView:
        """The view once the app is in this state."""
        return self if app is self.app else replace(self, app=app)

    @property
    def name(self) -> str:
        return self.app.name

    @property
    def count(self) -> int:
        """The number of replicas wanted."""
        return self.app.count

    @cached_property
    def target(self) -> Version:
        """The version to converge to."""
        return target_of(self.app)

    @cached_property
    def composition(self) -> Composition:
        """How many replicas of which version there should be."""
        return composition_of(self.app, self.existing)

    @cached_property
    def version_to_create(self) -> Version:
        """What replicas are created from: with the secrets of now, also where an older version leads."""
        leading = self.composition.leading
        return leading if leading is self.app.version else leading.with_secrets_of(self.app.version)

    @cached_property
    def existing(self) -> tuple[Replica, ...]:
        """The replicas that have a container, or get one; not those of which only remains are left."""
        return tuple(replica for replica in self.replicas if replica.exists)

    @cached_property
    def in_slots(self) -> tuple[Replica, ...]:
        """Those that exist, and the remains of others."""
        return tuple(replica for replica in self.replicas if replica.takes_slot)

    @cached_property
    def fit(self) -> tuple[Replica, ...]:
        """Those that may stay: of the version that replicas are created from, and not unhealthy."""
        leading = self.composition.leading
        return tuple(replica for replica in self.replicas if replica.fits(leading.spec_hash, self.now))

    @cached_property
    def available(self) -> tuple[Replica, ...]:
        """Those that can be relied on: fit, and ready for ``minReadySeconds``."""
        min_ready_seconds = self.composition.leading.app.spec.strategy.min_ready_seconds
        return tuple(replica for replica in self.fit if replica.available(min_ready_seconds, self.now))

    @cached_property
    def routed(self) -> frozenset[str]:
        """Names of the replicas that may be receiving requests."""
        return frozenset(server.name for server in self.published.live) if self.published else frozenset()

    @property
    def paused(self) -> bool:
        """Whether the rollout has failed and waits, as it is, for people."""
        return is_paused(self.app, self.target)

    @property
    def suspended(self) -> bool:
        return self.app.version.app.spec.suspend

    @property
    def is_change(self) -> bool:
        """Whether the target replaces another version."""
        return is_change(self.app, self.target)

    @property
    def scaling(self) -> Scaling:
        """The scaling policy in force, which is the newest: how many replicas run is no part of a version, so it
        outlives a version that failed."""
        return self.app.version.app.scaling

    @cached_property
    def surge(self) -> int:
        """How many replicas there may be above the wanted count, of whatever version."""
        return surge_of(self.app)

    @cached_property
    def min_available(self) -> int:
        """How many replicas have to go on serving through whatever we do."""
        allowed = resolved(self.target.app.max_unavailable, self.count, round_up=False)
        return max(0, self.count - (allowed if allowed or self.surge else 1))

    @cached_property
    def complete(self) -> bool:
        """Whether exactly the wanted replicas are there, all of the target version and available."""
        target, min_ready_seconds = self.target, self.target.app.spec.strategy.min_ready_seconds
        return len(self.existing) == self.count and all(
            replica.spec_hash == target.spec_hash and replica.available(min_ready_seconds, self.now)
            for replica in self.existing
        )

    def awaited_writers(self, created: Version) -> tuple[Writer, ...]:
        """The replicas of other apps that have to end before one of this version may be created here."""
        app = self.app
        existing = [version_for(app, replica.spec_hash).app for replica in self.existing]
        before = [version.app for version in (app.stable, app.version if app.missing_since else None) if version]
        return awaited_by(self.name, created.app, existing, before, self.departing)

    def grace_seconds(self, replica: Replica) -> float:
        """How long the replica may take to end, by the version that it is of."""
        return version_for(self.app, replica.spec_hash).app.spec.termination_grace_period_seconds

    def is_called_by_name(self, replica: Replica) -> bool:
        """Whether others reach the replica although no route leads to it, by the version that it is of."""
        app = version_for(self.app, replica.spec_hash).app
        return app.main_port is not None and not app.routes

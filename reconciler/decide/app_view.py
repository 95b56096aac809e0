"""One app as one tick sees it: what is wanted, what there is, and who is being routed to.

Every decision about an app reads this one value, so that count, rollout, actions, routes and status can't disagree.
It names what is so, and decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from reconciler.decide.phases import Phase, Replica
from reconciler.decide.versions import CANARY_FAILED, is_change, target_of, version_for
from reconciler.model.desired import Version
from reconciler.model.routes import AppRoutes
from reconciler.model.spec import Canary, Scaling
from reconciler.model.state import AppState

_NOT_FIT = frozenset({Phase.LEAVING, Phase.GONE, Phase.DEAD, Phase.DISPLACED, Phase.UNHEALTHY})


@dataclass(frozen=True)
class AppView:
    """``target`` is the version to converge to; ``replicas`` are in the order of their slots.

    Of those, ``existing`` have a container, or get one; ``fit`` ones may stay, since they are of the target version and
    not unhealthy; ``available`` ones can be relied on: fit, and ready for ``minReadySeconds``. ``published`` is the
    app's part of the route table that is being served, None where it has none, and ``routed`` names the replicas in it
    that may be receiving requests. ``unready_dependencies`` are apps that the first start has to wait for. ``held`` are
    those of a failed version that stay as they are, see `beside_the_failed`; they are not among the others then.
    """

    app: AppState
    target: Version
    replicas: tuple[Replica, ...]
    existing: tuple[Replica, ...]
    fit: tuple[Replica, ...]
    available: tuple[Replica, ...]
    published: AppRoutes | None
    routed: frozenset[str]
    now: float
    unready_dependencies: tuple[str, ...]
    held: tuple[Replica, ...] = ()

    @classmethod
    def of(
        cls,
        app: AppState,
        replicas: tuple[Replica, ...],
        published: AppRoutes | None,
        now: float,
        unready_dependencies: tuple[str, ...] = (),
        target: Version | None = None,
        held: tuple[Replica, ...] = (),
    ) -> Self:
        target = target or target_of(app)
        least_seconds = target.app.spec.strategy.min_ready_seconds
        fit = tuple(r for r in replicas if _fits(r, target.spec_hash, now))
        return cls(
            app=app,
            target=target,
            replicas=replicas,
            existing=tuple(r for r in replicas if r.exists),
            fit=fit,
            available=tuple(r for r in fit if r.available(least_seconds, now)),
            published=published,
            routed=frozenset(s.name for s in published.servers if not s.draining) if published else frozenset(),
            now=now,
            unready_dependencies=unready_dependencies,
            held=held,
        )

    def after(self, app: AppState) -> AppView:
        """The same, now that this is remembered of the app: its target and count may have changed."""
        if app is self.app:
            return self
        return self.of(app, self.replicas, self.published, self.now, self.unready_dependencies)

    @property
    def paused(self) -> bool:
        """Whether its rollout has failed and waits, as it is, for people."""
        return self.app.failed is not None and self.app.failed.spec_hash == target_of(self.app).spec_hash

    def beside_the_failed(self) -> AppView:
        """What may still be acted on. While a failed rollout is paused that is the version before it, to be kept whole
        beside the failed replicas; those of them that are ready count as they serve. Else the same view."""
        stable = self.app.stable
        if not self.paused or stable is None:
            return self
        held = tuple(r for r in self.existing if r.spec_hash == self.target.spec_hash)
        rest = tuple(r for r in self.replicas if r not in held)
        return self.of(self.app, rest, self.published, self.now, self.unready_dependencies, stable, held)

    @property
    def name(self) -> str:
        return self.app.name

    @property
    def count(self) -> int:
        """The number of replicas wanted, but for those that a paused version contributes."""
        failed = self.app.failed
        serve = self.held if failed and failed.reason != CANARY_FAILED else ()
        return max(0, self.app.count - sum(replica.ready for replica in serve))

    @property
    def suspended(self) -> bool:
        return self.app.version.app.spec.suspend

    @property
    def scaling(self) -> Scaling:
        """The newest policy: how many replicas run is no part of a version, so it outlives a version that failed."""
        return self.app.version.app.scaling

    @cached_property
    def surge(self) -> int:
        """How many replicas there may be above the wanted count, of whatever version."""
        return resolve(target_of(self.app).app.max_surge, self.app.count, round_up=True)

    @cached_property
    def least(self) -> int:
        """How many replicas have to go on serving through whatever we do."""
        allowed = resolve(target_of(self.app).app.max_unavailable, self.app.count, round_up=False)
        return max(0, self.count - (allowed if allowed or self.surge else 1))

    @property
    def complete(self) -> bool:
        """Whether exactly the wanted replicas are there, all of the target version and available."""
        return len(self.available) == self.count == len(self.existing)

    def fits(self, replica: Replica) -> bool:
        return _fits(replica, self.target.spec_hash, self.now)

    def grace_seconds(self, replica: Replica) -> float:
        """How long it may take to end, by the version that it is of."""
        return version_for(self.app, replica.spec_hash).app.spec.termination_grace_period_seconds

    def serving(self, replica: Replica) -> bool:
        """Whether requests may be reaching it, or could at once."""
        return replica.ready or replica.name in self.routed

    @cached_property
    def canary(self) -> Canary | None:
        """The trial that the rollout under way still has to pass; None without an old version to hold it against, or
        without room for both beside each other."""
        rollout, canary = self.app.rollout, self.target.app.spec.strategy.canary
        if canary is None or rollout is None or rollout.promoted or not is_change(self.app, self.target):
            return None
        has_old = any(r.exists and r.spec_hash != self.target.spec_hash for r in self.replicas)
        return canary if has_old and self.count and self.count + self.surge >= 2 else None

    @cached_property
    def aim(self) -> int:
        """How many replicas of the target version there should be now: all, or those that a canary takes."""
        if self.canary is None:
            return self.count
        share = math.ceil(self.count * self.canary.weight / 100)
        return min(share, max(1, self.surge), self.count)


def _fits(replica: Replica, spec_hash: str, now: float) -> bool:
    if replica.phase is Phase.VANISHING and now >= (replica.in_place_until or 0.0):
        return False
    return replica.spec_hash == spec_hash and replica.phase not in _NOT_FIT


def resolve(amount: int | str, count: int, *, round_up: bool) -> int:
    """Replicas of a count or a percentage: surge rounds up, unavailable rounds down, as in Kubernetes."""
    if isinstance(amount, int):
        return amount
    share = count * int(amount.rstrip("%")) / 100
    return math.ceil(share) if round_up else math.floor(share)

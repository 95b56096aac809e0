"""Composition: how many replicas of which version an app should have now.

Decided once a tick, from what is remembered and what is there; reconciling, routes and status read it. It says what
is wanted, never who is to go for it or when.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.decide.phases import Replica
from reconciler.decide.versions import is_change, is_paused, target_of
from reconciler.model.app_state import AppState, FailedVersion
from reconciler.model.reasons import Reason
from reconciler.model.spec import Canary
from reconciler.model.version import Version


@dataclass(frozen=True, slots=True)
class Composition:
    """What an app should be composed of.

    ``leading`` is the version that replicas are created from, and that others are replaced by. ``counts`` are the
    wanted replicas by spec hash, which add up to the app's count: of the leading version, and those that another one
    contributes: the old ones beside a canary, the ready ones of a version whose rollout failed and is paused.
    ``canary`` is what the leading version still has to pass. ``set_aside`` is the spec hash of the failed version,
    whose replicas stay as they are. A suspended app is to be composed of what it is.
    """

    leading: Version
    counts: Mapping[str, int] = field(default_factory=dict)
    canary: Canary | None = None
    set_aside: str | None = None

    @property
    def wanted(self) -> int:
        """How many replicas of the leading version there should be."""
        return self.counts.get(self.leading.spec_hash, 0)

    @property
    def contributed(self) -> int:
        """How many of them the version that is set aside contributes."""
        return self.counts[self.set_aside] if self.set_aside else 0


def composition_of(app: AppState, replicas: Sequence[Replica]) -> Composition:
    """What the app should be composed of, given the ``replicas`` that exist."""
    target = target_of(app)
    if app.version.app.spec.suspend:
        return Composition(target, Counter(replica.spec_hash for replica in replicas))
    if app.failed and app.stable and is_paused(app, target):
        return _paused(app, app.stable, app.failed, replicas)
    canary = canary_of(app, target, replicas)
    if canary is None or app.stable is None:
        return Composition(target, {target.spec_hash: app.count})
    share = math.ceil(app.count * canary.weight / 100)
    new = min(share, max(1, surge_of(app)), app.count)
    return Composition(target, {target.spec_hash: new, app.stable.spec_hash: app.count - new}, canary)


def canary_of(app: AppState, target: Version, replicas: Sequence[Replica]) -> Canary | None:
    """The analysis that the rollout under way still has to pass; None without an old version to hold it against, or
    without room for both beside each other."""
    rollout, canary = app.rollout, target.app.spec.strategy.canary
    if canary is None or rollout is None or rollout.promoted or not is_change(app, target):
        return None
    has_old = any(replica.spec_hash != target.spec_hash for replica in replicas)
    return canary if has_old and app.count and app.count + surge_of(app) >= 2 else None


def surge_of(app: AppState) -> int:
    """How many replicas there may be above the wanted count, of whatever version: none where one that is created would
    write beside another."""
    target = target_of(app)
    if app.stable and is_paused(app, target) and app.stable.app.rolls_stop_first:
        return 0
    return resolved(target.app.max_surge, app.count, round_up=True)


def resolved(amount: int | str, count: int, *, round_up: bool) -> int:
    """Replicas of a count or a percentage: surge rounds up, unavailable rounds down, as in Kubernetes."""
    if isinstance(amount, int):
        return amount
    share = count * int(amount.rstrip("%")) / 100
    return math.ceil(share) if round_up else math.floor(share)


def _paused(app: AppState, stable: Version, failed: FailedVersion, replicas: Sequence[Replica]) -> Composition:
    """While a failed rollout is paused: the version before it, kept whole beside the failed replicas, of which those
    that are ready count as they serve. A canary that failed serves nobody."""
    ready = sum(replica.ready for replica in replicas if replica.spec_hash == failed.spec_hash)
    serving = 0 if failed.reason is Reason.CANARY_FAILED else min(ready, app.count)
    counts = {stable.spec_hash: app.count - serving, failed.spec_hash: serving}
    return Composition(stable, counts, set_aside=failed.spec_hash)

"""Which replicas an app should have: how many to create, which ones to let go, and why.

One algorithm serves first deploys, changed versions, scaling, healing and rollback: replicas that fit are kept up to
the wanted count, the others go as fast as `maxSurge` and `maxUnavailable` allow. It says who should go, never when a
container may be stopped; that is `steps`' gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.decide import healing
from reconciler.decide.app_view import AppView
from reconciler.decide.phases import PENDING, Phase, Replica
from reconciler.decide.state.backoff import blocks
from reconciler.decide.versions import differences, is_change, naming
from reconciler.model.desired import short
from reconciler.model.plan import Wait
from reconciler.model.state import FailedVersion

# How long the first replicas of a step that became ready wait for the others, to share one change of routes.
SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Choice:
    """``create`` replicas more, for ``create_cause``, once their image is there (``pull``); let those in ``retire``
    go, each for its cause."""

    create: int = 0
    create_cause: str = ""
    pull: bool = False
    retire: Mapping[str, str] = field(default_factory=dict)
    waits: tuple[Wait, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sides:
    """The replicas that are there, by what is to become of them.

    ``kept`` stay; ``surplus`` are as good and too many; ``sick`` are of the target version and unhealthy; ``idle``
    are of another version, or dead, and serve nobody; ``others`` are of another version and serve.
    """

    kept: tuple[Replica, ...]
    surplus: tuple[Replica, ...]
    sick: tuple[Replica, ...]
    idle: tuple[Replica, ...]
    others: tuple[Replica, ...]

    @classmethod
    def of(cls, view: AppView) -> _Sides:
        best = sorted(view.fit, key=_first_to_stay)
        rest = [r for r in view.existing if not view.fits(r) and r.phase is not Phase.LEAVING]
        sick = [r for r in rest if r.phase is Phase.UNHEALTHY and r.spec_hash == view.target.spec_hash]
        misfit = [r for r in rest if r.phase is not Phase.UNHEALTHY or r.spec_hash != view.target.spec_hash]
        return cls(
            kept=tuple(best[: view.count]),
            surplus=tuple(best[view.count :]),
            sick=tuple(sick),
            idle=tuple(r for r in misfit if not view.serving(r)),
            others=tuple(r for r in misfit if view.serving(r)),
        )


def choose(view: AppView) -> Choice:
    """Who should be there. Pure arithmetic over phases; the same view always gives the same choice."""
    if view.suspended:
        return Choice(waits=(Wait(view.name, "suspended by its spec: left exactly as it is"),))
    failed = view.app.failed
    paused = (Wait(view.name, _paused(failed)),) if failed and view.paused else ()
    if view.complete or (failed and view.target.spec_hash == failed.spec_hash):
        return Choice(waits=paused)
    sides = _Sides.of(view)
    healed = healing.heal(view, sides.kept, sides.sick)
    missing = max(0, view.aim - len(sides.kept) - healed.held)
    hindrance = _hindrance(view) if missing else None
    pull = missing > 0 and hindrance is None and view.app.image_ready != view.target.spec_hash
    room = max(0, view.app.count + view.surge - len(view.existing) - len(view.held))
    create = 0 if hindrance or pull else min(room, missing)
    retire = {r.name: _surplus_cause(view) for r in sides.surplus}
    retire |= {r.name: _misfit_cause(view, r) for r in sides.idle}
    idle = [r for r in view.held if not r.ready and r.phase is not Phase.LEAVING]
    retire |= {r.name: "its place is needed by the version that serves" for r in idle[: max(0, missing - room)]}
    going = _expendable(view, sides, healed, missing)
    if hindrance or pull or settling_until(view):
        # Nobody new takes over just now: only those that are on their way out already go on.
        going = [r for r in going if r.state.unrouted_at is not None]
    retire |= {r.name: _misfit_cause(view, r) for r in going}
    waits = (*paused, *healed.waits, *([hindrance] if hindrance else []))
    return Choice(create, _create_cause(view, sides, healed) if missing else "", pull, retire, waits)


def settling_until(view: AppView) -> float | None:
    """Until when changes of routes wait for the rest of the step; None when there is nothing to wait for."""
    if view.complete:
        return None
    fresh = [r.state.ready_at for r in view.fit if r.ready and r.name not in view.routed and r.state.ready_at]
    if not fresh or not view.routed or not any(r.phase in PENDING for r in view.fit):
        return None
    until = min(fresh) + SETTLE_SECONDS
    return until if view.now < until else None


def _paused(failed: FailedVersion) -> str:
    return f"rollout paused, since {failed.message}; a changed spec or restartToken goes on"


def _hindrance(view: AppView) -> Wait | None:
    """Why no replica can be created just now."""
    backoff = view.app.backoff
    if view.app.stable is None and view.unready_dependencies:
        names = ", ".join(view.unready_dependencies)
        return Wait(view.name, f"waiting for {names} to be ready first (dependsOn)")
    if backoff is None or not blocks(backoff, view.now):
        return None
    if backoff.until_changed:
        return Wait(view.name, f"{backoff.message}; waiting for a changed spec")
    return Wait(view.name, f"{backoff.message}; trying again (attempt {backoff.attempts + 1})", backoff.next_at)


def _expendable(view: AppView, sides: _Sides, healed: healing.Healing, missing: int) -> list[Replica]:
    """Those that are to be replaced, as far as enough others go on serving; those that serve badly go first."""
    unready = [*(r for r in sides.others if not r.ready), *healed.replaceable]
    ready = sorted((r for r in sides.others if r.ready), key=lambda r: _first_to_go(view, r))
    spare = len(view.available) + len(sides.others) + len(sides.sick) - view.least
    if view.canary:
        # The old version stays whole beside the canary, but for the room that the canary needs.
        spare = min(spare, len(view.existing) + missing - view.count - view.surge)
    going = unready[: max(0, spare)]
    spare_ready = min(spare - len(going), len(view.available) + len(ready) - view.least)
    return going + ready[: max(0, spare_ready)]


def _first_to_go(view: AppView, replica: Replica) -> tuple[bool, bool, int]:
    """What was given up for another version goes before the stable one, which has proved itself."""
    stable = view.app.stable
    return stable is not None and replica.spec_hash == stable.spec_hash, replica.name in view.routed, replica.slot


def _first_to_stay(replica: Replica) -> tuple[bool, float, int]:
    """Scaling in takes unready replicas first, then the newest."""
    return not replica.ready, replica.state.created_at, replica.slot


# -- causes ---------------------------------------------------------------------------------------------------------


def _wanted(view: AppView) -> str:
    return f"{view.app.count} replica{'s' if view.app.count != 1 else ''} wanted by {view.scaling.mode} scaling"


def _surplus_cause(view: AppView) -> str:
    return f"{_wanted(view)}, this one is surplus"


def _misfit_cause(view: AppView, replica: Replica) -> str:
    if replica.phase is Phase.DEAD:
        return "the Engine reports its container as dead"
    if replica.phase is Phase.DISPLACED:
        return f"it can't start: a container that is not ours has its address {replica.state.address}"
    if replica.spec_hash == view.target.spec_hash:
        return f"unhealthy ({replica.state.health.detail}), and replaced"
    return f"replaced by {naming(view.target)}"


def _create_cause(view: AppView, sides: _Sides, healed: healing.Healing) -> str:
    if len(sides.kept) + len(sides.sick) >= view.aim:
        return f"replaces unhealthy {', '.join(r.name for r in healed.replaceable)}"
    if view.app.stable is None:
        return f"first deploy at revision {short(view.target.revision)}"
    if is_change(view.app, view.target):
        changed = "; ".join(differences(view.app.stable, view.target))
        return f"changed at revision {short(view.target.revision)}: {changed}"
    return f"{_wanted(view)}, {len(sides.kept) + len(sides.sick)} there"

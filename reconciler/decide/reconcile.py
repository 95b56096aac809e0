"""Which replicas an app should have: how many to create, which ones to let go, and why.

One algorithm serves first deploys, changed versions, scaling, healing and rollback: replicas of the composition's
leading version are kept up to the wanted count, the others go as fast as `maxSurge` and `maxUnavailable` allow. It says
who should go, never when a container may be stopped; that is the gate in `actions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from reconciler.decide import healing
from reconciler.decide.app_view import AppView
from reconciler.decide.differences import recreating, told
from reconciler.decide.phases import ENDING, PENDING, Phase, Replica
from reconciler.decide.volumes import Writer, shared_by
from reconciler.decide.words import naming
from reconciler.model.app_state import FailedVersion
from reconciler.model.plan import Wait
from reconciler.model.version import short

# How long the first replicas of a step that became ready wait for the others, to share one change of routes.
SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What is to become of an app's replicas.

    ``create`` so many more, for ``create_cause``, once their image is there (``pull``); let those in ``retire`` go,
    each for its cause. ``check`` whether a replica can be created, before another ends for it. ``awaited`` are apps
    some of whose replicas have to end first.
    """

    create: int = 0
    create_cause: str = ""
    pull: bool = False
    check: bool = False
    retire: Mapping[str, str] = field(default_factory=dict)
    waits: tuple[Wait, ...] = ()
    awaited: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ReplicaSets:
    """The replicas that are there, each in exactly one set, by what is to become of it.

    ``leaving`` are being stopped or removed; ``set_aside`` are of a failed version that people are to look at. Of the
    leading version ``kept`` stay, ``surplus`` are as good and too many, and ``unhealthy`` are to be replaced. Of
    another one, or dead, ``idle`` serve nobody, and ``outdated`` serve.
    """

    leaving: tuple[Replica, ...]
    set_aside: tuple[Replica, ...]
    kept: tuple[Replica, ...]
    surplus: tuple[Replica, ...]
    unhealthy: tuple[Replica, ...]
    idle: tuple[Replica, ...]
    outdated: tuple[Replica, ...]

    @classmethod
    def of(cls, view: AppView) -> ReplicaSets:
        best = sorted(view.fit, key=_first_to_stay)
        max_kept = view.count - view.composition.contributed
        chosen = {replica.name: "kept" if index < max_kept else "surplus" for index, replica in enumerate(best)}
        sets: dict[str, list[Replica]] = {set_.name: [] for set_ in fields(cls)}
        for replica in (*best, *(other for other in view.existing if other.name not in chosen)):
            sets[chosen.get(replica.name) or _set_of(replica, view)].append(replica)
        return cls(**{name: tuple(members) for name, members in sets.items()})


def _set_of(replica: Replica, view: AppView) -> str:
    """The set of a replica that may not stay in its place: the first rule that fits."""
    if replica.spec_hash == view.composition.set_aside:
        return "set_aside"
    if replica.phase in ENDING:
        return "leaving"
    if replica.phase is Phase.UNHEALTHY and replica.spec_hash == view.composition.leading.spec_hash:
        return "unhealthy"
    return "outdated" if replica.ready or replica.name in view.routed else "idle"


def reconcile(view: AppView) -> Reconciliation:
    """Which replicas should be there. Pure arithmetic over phases; the same view always gives the same answer."""
    if view.suspended:
        return Reconciliation(waits=(Wait(view.name, "suspended by its spec: left exactly as it is"),))
    failed = view.app.failed
    paused = (Wait(view.name, _paused(failed)),) if failed and view.paused else ()
    composition = view.composition
    if view.complete:
        return Reconciliation(waits=paused)
    sets = ReplicaSets.of(view)
    healed = healing.heal(view, sets.kept, sets.unhealthy)
    missing = max(0, composition.wanted - len(sets.kept) - healed.held)
    hindrance = _hindrance(view) if missing else None
    lacks_image = view.app.image_ready != composition.leading.spec_hash
    pull = lacks_image and (missing > 0 and hindrance is None or _is_to_be_finished(view, sets))
    # Looked for last, so that whoever has to end goes on until this is all that is missing.
    awaited = view.awaited_writers(composition.leading) if missing and not (hindrance or pull) else ()
    hindrance = _until_ended(view, awaited) if awaited else hindrance
    surge_left = max(0, view.count + view.surge - len(view.existing))
    create = 0 if hindrance or pull else min(surge_left, missing)
    settling = settling_until(view) is not None
    # Those that stay may not be routed before the step has settled: meanwhile nobody is too many who serves.
    surplus = [replica for replica in sets.surplus if not (settling and replica.name in view.routed)]
    retire = {replica.name: _surplus_cause(view) for replica in surplus}
    retire |= {replica.name: _misfit_cause(view, replica) for replica in sets.idle}
    spared = [r for r in sets.set_aside if not r.ready and r.phase not in ENDING][: max(0, missing - surge_left)]
    retire |= {replica.name: "its place is needed by the version that serves" for replica in spared}
    going = _expendable(view, sets, healed, missing)
    proven = _creation_is_proven(view, missing)
    creating = create or any(replica.phase is Phase.CREATING for replica in view.existing)  # which will tell
    check = bool(going) and not (proven or hindrance or pull or creating)
    if hindrance or pull or not proven or settling:
        # Nobody new takes over just now: only those that are on their way out already go on.
        going = [replica for replica in going if replica.state.traffic.left_at is not None]
    retire |= {replica.name: _misfit_cause(view, replica) for replica in going}
    waits = (*paused, *healed.waits, *([hindrance] if hindrance else []))
    cause = _create_cause(view, sets, healed) if missing else ""
    awaited_apps = frozenset(writer.app_name for writer in awaited)
    return Reconciliation(create, cause, pull, check, retire, waits, awaited_apps)


def _creation_is_proven(view: AppView, missing: int) -> bool:
    """Whether it is known that replicas can be created, so that others may end for them. Some of the leading version
    that are there prove it, as long as none has to end first."""
    leading, checked = view.composition.leading, view.app.checked
    there = [replica.container is not None for replica in view.existing if replica.spec_hash == leading.spec_hash]
    if all(there) and not missing or any(there) and view.surge:
        return True
    return checked is not None and checked.holds_for(leading.spec_hash, view.now)


def settling_until(view: AppView) -> float | None:
    """Until when changes of routes wait for the rest of the step; None when there is nothing to wait for."""
    if view.complete:
        return None
    fit, routed = view.fit, view.routed
    fresh = [r.state.ready_at for r in fit if r.ready and r.name not in routed and r.state.ready_at]
    if not fresh or not routed or not any(r.phase in PENDING for r in fit):
        return None
    if not any(replica.ready for replica in view.existing if replica.name in routed):
        return None  # Who serves badly or not at all is not worth waiting beside.
    until = min(fresh) + SETTLE_SECONDS
    return until if view.now < until else None


def _paused(failed: FailedVersion) -> str:
    return f"rollout paused, since {failed.message}; a changed spec or restartToken goes on"


def _is_to_be_finished(view: AppView, sets: ReplicaSets) -> bool:
    """Whether the creation of a replica that stays was cut off, and may go on now."""
    return creation_backoff(view) is None and any(replica.phase is Phase.CREATED for replica in sets.kept)


def _hindrance(view: AppView) -> Wait | None:
    """Why no replica can be created just now."""
    if view.app.stable is None and view.unready_dependencies:
        names = ", ".join(view.unready_dependencies)
        return Wait(view.name, f"waiting for {names} to be ready first (dependsOn)")
    return creation_backoff(view)


def creation_backoff(view: AppView) -> Wait | None:
    """The wait for the next attempt after creating failed, whichever replica that was of; None where nothing is to be
    waited for."""
    backoff = view.app.pacing.creation
    if backoff is None or not backoff.blocks(view.now):
        return None
    return Wait(view.name, backoff.what_next, None if backoff.is_final else backoff.next_at)


def _until_ended(view: AppView, writers: tuple[Writer, ...]) -> Wait:
    names, volume = ", ".join(writer.name for writer in writers), shared_by(writers[0], view.composition.leading.app)
    return Wait(view.name, f"waiting for {names} to end first: both apps write to {volume}")


def _expendable(view: AppView, sets: ReplicaSets, healed: healing.Healing, missing: int) -> list[Replica]:
    """The replicas that are to be replaced, as far as enough others go on serving; those that serve badly go first."""
    unready = [*(replica for replica in sets.outdated if not replica.ready), *healed.replaceable]
    ready = sorted((replica for replica in sets.outdated if replica.ready), key=lambda r: _first_to_go(view, r))
    relied_on = len(view.available) + view.composition.contributed
    spare = relied_on + len(sets.outdated) + len(sets.unhealthy) - view.min_available
    if view.composition.canary:
        # The old version stays whole beside the canary, but for the room that the canary needs.
        spare = min(spare, len(view.existing) + missing - view.count - view.surge)
    going = unready[: max(0, spare)]
    spare_ready = min(spare - len(going), relied_on + len(ready) - view.min_available)
    return going + ready[: max(0, spare_ready)]


def _first_to_go(view: AppView, replica: Replica) -> tuple[bool, bool, int]:
    """The order in which outdated replicas go: what was given up for another version goes before the stable one, which
    has proved itself."""
    stable = view.app.stable
    return stable is not None and replica.spec_hash == stable.spec_hash, replica.name in view.routed, replica.slot


def _first_to_stay(replica: Replica) -> tuple[bool, float, int]:
    """The order in which replicas stay: scaling in takes unready ones first, then the newest."""
    return not replica.ready, replica.state.created_at, replica.slot


# -- causes ---------------------------------------------------------------------------------------------------------


def _wanted(view: AppView) -> str:
    return f"{view.count} replica{'s' if view.count != 1 else ''} wanted by {view.scaling.mode} scaling"


def _surplus_cause(view: AppView) -> str:
    return f"{_wanted(view)}, this one is surplus"


def _misfit_cause(view: AppView, replica: Replica) -> str:
    leading = view.composition.leading
    if replica.phase is Phase.DEAD:
        return "the Engine reports its container as dead"
    if replica.phase is Phase.DISPLACED:
        return f"it can't start: a container that is not ours has its address {replica.state.address}"
    if replica.spec_hash == leading.spec_hash:
        return f"unhealthy ({replica.state.health.detail}), and replaced"
    return f"replaced by {naming(leading)}"


def _create_cause(view: AppView, sets: ReplicaSets, healed: healing.Healing) -> str:
    leading, there = view.composition.leading, len(sets.kept) + len(sets.unhealthy)
    if there >= view.composition.wanted:
        return f"replaces unhealthy {', '.join(replica.name for replica in healed.replaceable)}"
    if view.app.stable is None:
        return f"first deploy at revision {short(leading.revision)}"
    if view.is_change and leading is view.target:
        changed = told(recreating(view.app.stable, leading))
        return f"changed at revision {short(leading.revision)}: {changed}"
    return f"{_wanted(view)}, {there} there"

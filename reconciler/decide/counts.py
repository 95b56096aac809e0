"""How many replicas an app should have now: the facts put before `scaling`, and its answer put into memory.

A count that people set holds at once; what load asks for waits while the app is unsettled, because replicas that are
still starting are neither idle nor missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.decide.replicas import Phase
from reconciler.decide.rollout import AppView
from reconciler.decide.scaling import recommend, remember
from reconciler.model.events import Event
from reconciler.model.load import AppLoad
from reconciler.model.memory import AppMemory
from reconciler.model.observed import Host, Observed
from reconciler.model.scaling import Room, ScalingDecision, ScalingSituation
from reconciler.model.spec import App

# Measurements alone, without another verdict, are kept this often: enough for `explain`, little for the database.
REFRESH_SECONDS = 10.0
# The share of the host that scaling leaves to everything else that runs on it.
HOST_RESERVE = 0.1

_PENDING = (Phase.CREATING, Phase.CREATED, Phase.STARTING)


def decide_count(view: AppView, observed: Observed, room: Room | None) -> tuple[AppMemory, tuple[Event, ...]]:
    """The app's memory with the count for this tick, and the event that tells of a change."""
    app, now = view.app, view.now
    if app.version.app.spec.suspend:
        return app, ()
    scaling = view.target.app.scaling
    situation = ScalingSituation(
        memory=app.scaling,
        healthy=sum(view.fits(r) and r.ready for r in view.existing),
        load=observed.loads.get(app.name, AppLoad()),
        unsettled=_unsettled(view),
        bounds=observed.bounds.get(app.name),
        room=room,
    )
    decision = recommend(scaling, situation, now)
    kept = remember(scaling, situation, decision)
    decided = replace(app, scaling=kept, decision=_latest(app.decision, decision))
    if kept.count == app.count:
        return (app if decided == app else decided), ()
    details = {"from": str(app.count), "to": str(kept.count), "metric": decision.winner or ""}
    return decided, (Event(now, "scaling", decision.reason, app.name, details),)


def _latest(before: ScalingDecision | None, decision: ScalingDecision) -> ScalingDecision:
    """The decision worth keeping: the one before, as long as it says the same or was just made."""
    if before is None or before.gist != decision.gist:
        return decision
    same = replace(decision, at=before.at) == before
    return before if same or 0 <= decision.at - before.at < REFRESH_SECONDS else decision


def _unsettled(view: AppView) -> str:
    """What scaling has to wait for, in words that follow "waiting for"."""
    if view.app.rollout is not None:
        return "the rollout to end"
    starting = [r.name for r in view.existing if view.fits(r) and r.phase in _PENDING and not r.memory.backoff]
    if starting:
        return f"{', '.join(starting)} to become ready"
    return ""


def room_for(app: App, apps: Iterable[tuple[App, int]], host: Host | None) -> Room | None:
    """How many more replicas of ``app`` the host can hold beside ``apps``, each with its count of replicas.

    Counted by limits, since a limit is what a replica may use; an app without limits takes none into account.
    """
    limits = app.spec.resources
    if host is None or limits is None:
        return None
    promised = [(other.spec.resources, count) for other, count in apps if other.spec.resources]
    cpu = host.cpu_millicores * (1 - HOST_RESERVE) - sum(r.cpu_millicores * n for r, n in promised)
    memory = host.memory_bytes * (1 - HOST_RESERVE) - sum(r.memory_bytes * n for r, n in promised)
    by_cpu, by_memory = int(cpu // limits.cpu_millicores), int(memory // limits.memory_bytes)
    scarce, room = ("cpu", by_cpu) if by_cpu < by_memory else ("memory", by_memory)
    room = max(0, room)
    return Room(
        room, f"the host's {scarce} holds {room} more of {limits.cpu_millicores}m and {_mib(limits.memory_bytes)}"
    )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:g} MiB"

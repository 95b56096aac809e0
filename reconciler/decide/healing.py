"""Which unhealthy replicas are replaced now.

Each is replaced once, and doing so again and again slows down. When more than half turn unhealthy together it is
probably the checker, or something they all depend on: then one at a time, and the others keep their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.decide.app_view import AppView
from reconciler.decide.phases import PENDING, Phase, Replica
from reconciler.model.actions import Action, RemoveReplica, StopReplica
from reconciler.model.app_state import AppState
from reconciler.model.backoff import FORGOTTEN_AFTER_SECONDS, after_failure
from reconciler.model.plan import Wait
from reconciler.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Healing:
    """Which of the unhealthy replicas are replaced: ``replaceable`` may go once others serve instead of them; ``held``
    others keep their place for now."""

    replaceable: tuple[Replica, ...] = ()
    held: int = 0
    waits: tuple[Wait, ...] = ()


def heal(view: AppView, kept: tuple[Replica, ...], unhealthy: tuple[Replica, ...]) -> Healing:
    """Which of the ``unhealthy`` are replaced now. ``kept`` are the fit replicas that stay, some of which may be
    replacements already."""
    without_replacement = min(len(unhealthy), max(0, view.composition.wanted - len(kept)))
    if not without_replacement:
        return Healing(unhealthy)
    replaced = len(unhealthy) - without_replacement
    now, waits = _replaced_now(view, kept, unhealthy, without_replacement)
    return Healing(unhealthy[: replaced + now], without_replacement - now, waits)


def most_are_unhealthy(replicas: Sequence[Replica]) -> bool:
    """Whether several, and more than half of those there that have been ready, are unhealthy: hardly a coincidence."""
    unhealthy = sum(replica.phase is Phase.UNHEALTHY for replica in replicas)
    there = sum(replica.container is not None and replica.phase not in PENDING for replica in replicas)
    return unhealthy > 1 and 2 * unhealthy > there


def is_bereft(view: AppView) -> bool:
    """Whether an app has lost replicas, and has fewer that serve than it promises."""
    lost = any(r.phase is Phase.UNHEALTHY or r.state.disturbed_at is not None for r in view.replicas)
    return lost and sum(replica.ready for replica in view.existing) < max(1, view.min_available)


def paced(view: AppView, actions: tuple[Action, ...]) -> AppState:
    """The app after these actions: an unhealthy replica that is removed slows the next replacement down, and is counted
    where it was to stay but for that."""
    app, before = view.app, view.app.pacing.replacement
    names = {action.name for action in actions if isinstance(action, StopReplica | RemoveReplica)}
    removed = [replica for replica in view.existing if replica.phase is Phase.UNHEALTHY and replica.name in names]
    leading = view.composition.leading.spec_hash
    # An attempt to remove it that failed was counted before.
    replaced = sum(replica.spec_hash == leading and replica.state.removal is None for replica in removed)
    if replaced:
        app = app.restless(view.now, replaced=replaced)
    if removed:
        return app.replacement_paced(after_failure(before, Reason.UNHEALTHY, "replaced", view.now))
    if before and view.now - before.next_at > FORGOTTEN_AFTER_SECONDS:
        return app.replacement_paced(None)
    return app


def _replaced_now(
    view: AppView, kept: tuple[Replica, ...], unhealthy: tuple[Replica, ...], wanted: int
) -> tuple[int, tuple[Wait, ...]]:
    pace = view.app.pacing.replacement
    if pace and pace.blocks(view.now):
        wait = Wait(view.name, "replaced unhealthy replicas lately, waiting before the next", pace.next_at)
        return 0, (wait,)
    if not most_are_unhealthy((*kept, *unhealthy)):
        return wanted, ()
    message = f"{len(unhealthy)} replicas, more than half, are unhealthy together: replacing one at a time"
    under_way = any(not replica.ready for replica in kept)
    return (0 if under_way else 1), (Wait(view.name, message),)

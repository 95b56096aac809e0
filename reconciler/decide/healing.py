"""Which unhealthy replicas are replaced now.

Each is replaced once, and doing so again and again slows down. When more than half turn unhealthy together it is
probably the checker, or something they all depend on: then one at a time, and the others keep their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.decide.app_view import AppView
from reconciler.decide.phases import PENDING, Phase, Replica
from reconciler.decide.state.backoff import FORGOTTEN_AFTER_SECONDS, after_failure, blocks
from reconciler.model.actions import Action, RemoveReplica
from reconciler.model.plan import Wait
from reconciler.model.state import AppState


@dataclass(frozen=True, slots=True)
class Healing:
    """``replaceable`` may go once others serve instead of them; ``held`` others keep their place for now."""

    replaceable: tuple[Replica, ...] = ()
    held: int = 0
    waits: tuple[Wait, ...] = ()


def heal(view: AppView, kept: tuple[Replica, ...], sick: tuple[Replica, ...]) -> Healing:
    """``kept`` are the fit replicas that stay, some of which may be replacements already."""
    without_replacement = min(len(sick), max(0, view.aim - len(kept)))
    if not without_replacement:
        return Healing(sick)
    replaced = len(sick) - without_replacement
    now, waits = _replaced_now(view, kept, sick, without_replacement)
    return Healing(sick[: replaced + now], without_replacement - now, waits)


def most_are_unhealthy(replicas: Sequence[Replica]) -> bool:
    """Whether several, and more than half of those there that have been ready, are unhealthy: hardly a coincidence."""
    unhealthy = sum(r.phase is Phase.UNHEALTHY for r in replicas)
    there = sum(r.container is not None and r.phase not in PENDING for r in replicas)
    return unhealthy > 1 and 2 * unhealthy > there


def paced(view: AppView, actions: tuple[Action, ...]) -> AppState:
    """The app after these actions: an unhealthy replica that is removed slows the next replacement down."""
    app = view.app
    removed = {action.name for action in actions if isinstance(action, RemoveReplica)}
    if any(r.phase is Phase.UNHEALTHY and r.name in removed for r in view.existing):
        return replace(app, replacement=after_failure(app.replacement, "Unhealthy", "replaced", view.now))
    if app.replacement and view.now - app.replacement.next_at > FORGOTTEN_AFTER_SECONDS:
        return replace(app, replacement=None)
    return app


def _replaced_now(
    view: AppView, kept: tuple[Replica, ...], sick: tuple[Replica, ...], wanted: int
) -> tuple[int, tuple[Wait, ...]]:
    pace = view.app.replacement
    if pace and blocks(pace, view.now):
        wait = Wait(view.name, "replaced unhealthy replicas lately, waiting before the next", pace.next_at)
        return 0, (wait,)
    if not most_are_unhealthy((*kept, *sick)):
        return wanted, ()
    message = f"{len(sick)} replicas, more than half, are unhealthy together: replacing one at a time"
    under_way = any(not r.ready for r in kept)
    return (0 if under_way else 1), (Wait(view.name, message),)

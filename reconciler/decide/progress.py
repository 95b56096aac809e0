"""Rule nine: a plan that repeats without progress stops, backs off, and says what keeps differing."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.backoff import after_failure, blocks
from reconciler.model.actions import Action, CreateReplica, EnsureImage, StartReplica
from reconciler.model.memory import AppMemory, Repetition
from reconciler.model.plan import Wait

REPEATS_ALLOWED = 5


def without_repetition(
    app: AppMemory, actions: tuple[Action, ...], now: float
) -> tuple[AppMemory, tuple[Action, ...], tuple[Wait, ...]]:
    """The actions still allowed, and the memory of how often the very same ones were planned in a row.

    Starts are paced by their replica's own back-off and failures by their app's: neither counts here.
    """
    backoff = app.backoff
    if backoff and blocks(backoff, now) and backoff.reason == "NoProgress":
        return app, (), (Wait(app.name, backoff.message, backoff.next_at),)
    signature = tuple(sorted(f"{a.verb} {a.key} {_version(a)}" for a in actions if not isinstance(a, StartReplica)))
    if not signature or backoff:
        return app, actions, ()
    times = app.repetition.times + 1 if app.repetition.actions == signature else 1
    app = replace(app, repetition=Repetition(signature, times))
    if times <= REPEATS_ALLOWED:
        return app, actions, ()
    message = f"no progress after {times - 1} times {actions[0].verb} {actions[0].key} ({actions[0].cause})"
    app = replace(app, backoff=after_failure(backoff, "NoProgress", message, now))
    return app, (), (Wait(app.name, message, app.backoff.next_at if app.backoff else None),)


def _version(action: Action) -> str:
    return action.version.spec_hash if isinstance(action, CreateReplica | EnsureImage) else action.container_id

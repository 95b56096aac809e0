"""Rule nine: an action that succeeds again and again without any effect that lasts is paced, and says what it was for.

Failures have their own back-off, starts that of their replica. This is for what nobody foresaw: something that
removes each container just after it was made, or an Engine that reports another spec than it was given.
"""

from __future__ import annotations

from reconciler.model.actions import CreateReplica, EnsureImage
from reconciler.model.app_state import AppState, Repetition
from reconciler.model.backoff import delay_seconds
from reconciler.model.plan import Wait

REPEATS_ALLOWED = 5


def repeated(app: AppState, action: CreateReplica | EnsureImage, at: float) -> AppState:
    """The app after this action succeeded. What it did is forgotten once the app is complete."""
    key = _key(action)
    times = 1 + next((before.times for before in app.pacing.repetitions if before.action == key), 0)
    others = (before for before in app.pacing.repetitions if before.action != key)
    return app.repeated((*others, Repetition(key, times, at)))


def pause(app: AppState, action: CreateReplica | EnsureImage, differing: str, now: float) -> Wait | None:
    """Why the action is not done yet another time just now; None where it may be. ``differing``: what is still not as
    it should be, in words that follow "and"."""
    key = _key(action)
    before = next((before for before in app.pacing.repetitions if before.action == key), None)
    if before is None or before.times < REPEATS_ALLOWED:
        return None
    until = before.at + delay_seconds(before.times + 1 - REPEATS_ALLOWED)
    message = f"no progress: {action.summary} was done {before.times} times, and {differing}"
    return Wait(app.name, message, until) if now < until else None


def _key(action: CreateReplica | EnsureImage) -> str:
    return f"{action.verb} {action.key} {action.version.spec_hash}"

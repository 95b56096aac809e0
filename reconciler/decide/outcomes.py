"""What finished actions change in memory, and the events that tell of them.

A success is recorded with its cause; a failure becomes a back-off, or a standing refusal where only another spec
can help. What an action really did is seen by the next observation, never assumed here.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.backoff import after_failure
from reconciler.model.actions import (
    Action,
    CreateReplica,
    EnsureImage,
    Failure,
    FailureKind,
    Outcome,
    RemoveReplica,
    StartReplica,
    TakeOverRestarts,
)
from reconciler.model.events import Event
from reconciler.model.memory import AppMemory, Backoff, Memory, ReplicaMemory

IMAGE_REASONS = ("ImageMissing", "ImagePullFailed", "ImageNotFound")


def absorb(memory: Memory, outcomes: tuple[Outcome, ...]) -> tuple[Memory, tuple[Event, ...]]:
    """Memory and events after these outcomes, in the order they finished."""
    events: list[Event] = []
    apps, replicas = dict(memory.apps), dict(memory.replicas)
    for outcome in sorted(outcomes, key=lambda o: o.finished_at):
        events.append(_event(outcome))
        app = apps.get(outcome.action.app_name)
        if app is not None and isinstance(outcome.action, EnsureImage | CreateReplica):
            apps[app.name] = _app_after(app, outcome)
        name = outcome.action.key
        if name in replicas:
            after = _replica_after(replicas[name], outcome)
            if after is None:
                del replicas[name]
            else:
                replicas[name] = after
    return replace(memory, apps=apps, replicas=replicas), tuple(events)


def _app_after(app: AppMemory, outcome: Outcome) -> AppMemory:
    action, failure = outcome.action, outcome.failure
    assert isinstance(action, EnsureImage | CreateReplica)
    if action.version.spec_hash not in (app.version.spec_hash, app.stable.spec_hash if app.stable else None):
        return app  # Of a version that is no longer wanted: nothing to learn from it.
    if failure is None:
        if isinstance(action, EnsureImage):
            return replace(app, image_ready=action.version.spec_hash, backoff=None)
        return replace(app, backoff=None)
    image_ready = None if failure.reason == "ImageMissing" else app.image_ready
    return replace(app, image_ready=image_ready, backoff=_backoff(app.backoff, failure, outcome.finished_at))


def _replica_after(replica: ReplicaMemory, outcome: Outcome) -> ReplicaMemory | None:
    action, failure = outcome.action, outcome.failure
    if isinstance(action, RemoveReplica) and failure is None:
        return None if replica.container_id in ("", action.container_id) else replica
    if isinstance(action, TakeOverRestarts) and failure is None:
        return replace(replica, taken_over=True)
    if isinstance(action, StartReplica | RemoveReplica | TakeOverRestarts) and failure is not None:
        # Only another spec could help a start that was rejected, and that would be another container.
        backoff = after_failure(replica.backoff, failure.reason, failure.message, outcome.finished_at)
        return replace(replica, backoff=backoff)
    return replica


def _backoff(previous: Backoff | None, failure: Failure, at: float) -> Backoff:
    rejected = failure.kind is FailureKind.REJECTED
    return after_failure(previous, failure.reason, failure.message, at, until_changed=rejected)


def _event(outcome: Outcome) -> Event:
    action, failure = outcome.action, outcome.failure
    seconds = f"{max(0.0, outcome.finished_at - outcome.started_at):.2f}"
    if failure is None:
        message = f"{action.summary}: {action.cause}"
        details = {"seconds": seconds}
    else:
        message = f"failed to {action.summary}: {failure.message}"
        details = {"seconds": seconds, "reason": failure.reason, "cause": action.cause, "kind": str(failure.kind)}
    return Event(outcome.finished_at, "action", message, action.app_name, details | _subject(action))


def _subject(action: Action) -> dict[str, str]:
    if isinstance(action, EnsureImage):
        return {"image": action.version.app.spec.image}
    if isinstance(action, CreateReplica):
        return {"replica": action.name, "spec_hash": action.version.spec_hash, "revision": action.version.revision}
    return {"replica": action.name, "container": action.container_id}

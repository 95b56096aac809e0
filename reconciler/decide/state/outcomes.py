"""What finished actions change in the state, and the events that tell of them.

A success is recorded with its cause; a failure becomes a back-off, or a standing refusal where only another spec
can help. What an action really did is seen by the next observation, never assumed here.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.state.repetition import repeated
from reconciler.model.actions import (
    Action,
    Change,
    CheckCreation,
    CreateReplica,
    EnsureImage,
    FailureKind,
    GiveBackRestarts,
    Outcome,
    Preparation,
    RemoveReplica,
    StartReplica,
    StopReplica,
    TakeOverRestarts,
)
from reconciler.model.app_state import AppState
from reconciler.model.backoff import after_failure
from reconciler.model.events import Event
from reconciler.model.reasons import Reason
from reconciler.model.replica_state import ReplicaState
from reconciler.model.state import State


def absorb(state: State, outcomes: tuple[Outcome, ...], now: float) -> tuple[State, tuple[Event, ...]]:
    """The state and the events after these outcomes, in the order they finished."""
    if not outcomes:
        return state, ()
    events: list[Event] = []
    apps, replicas = dict(state.apps), dict(state.replicas)
    for outcome in sorted(outcomes, key=lambda outcome: (outcome.finished_at, outcome.action.key)):
        action, at = outcome.action, min(outcome.finished_at, now)
        events.append(_event(outcome, replicas.get(action.key)))
        if isinstance(action, Preparation) and action.app_name in apps:
            apps[action.app_name] = _app_after(apps[action.app_name], action, outcome, at)
        elif action.key in replicas:
            replicas[action.key] = _replica_after(replicas[action.key], action, outcome, at)
    return replace(state, apps=apps, replicas=replicas), tuple(events)


def _app_after(app: AppState, action: Preparation, outcome: Outcome, at: float) -> AppState:
    version = action.replica.version if isinstance(action, CheckCreation) else action.version
    spec_hash, failure, before = version.spec_hash, outcome.failure, app.pacing.creation
    if spec_hash not in (app.version.spec_hash, app.stable.spec_hash if app.stable else ""):
        return app  # Of a version that is no longer wanted: nothing to learn from it.
    if failure is None:
        if isinstance(action, CheckCreation):
            return app.creation_checked(spec_hash, at)
        app = repeated(app, action, at)
        if isinstance(action, EnsureImage):
            return app.image_found(spec_hash, at)
        # One that began before the last failure says nothing of what has failed since.
        recovered = before is not None and outcome.started_at >= before.next_at
        return app.creation_recovered(at) if recovered else app
    rejected = failure.kind is FailureKind.REJECTED
    backoff = after_failure(before, failure.reason, failure.message, at, until_changed=rejected)
    return app.not_created(backoff, image_missing=failure.reason == Reason.IMAGE_MISSING)


def _replica_after(replica: ReplicaState, action: Action, outcome: Outcome, at: float) -> ReplicaState:
    """The replica after an action on its container; one of a container it no longer has says nothing."""
    if isinstance(action, Preparation) or action.container_id != replica.container_id:
        return replica
    failure = outcome.failure
    if failure is None:
        return _succeeded(replica, action, outcome.log, at)
    if isinstance(action, StopReplica | RemoveReplica):
        return replica.not_removed(after_failure(replica.removal, failure.reason, failure.message, at))
    # Only another spec could help a start that was rejected, and that would be another container.
    return replica.held_back(after_failure(replica.restarts.backoff, failure.reason, failure.message, at))


def _succeeded(replica: ReplicaState, action: Change, log: str, at: float) -> ReplicaState:
    match action:
        case StopReplica():
            return replica.asked_to_end(at, log)
        case RemoveReplica():
            return replica.removed()
        case StartReplica():
            return replica.started(at)
        case TakeOverRestarts():
            return replica.restarts_taken_over(by_controller=True)
        case GiveBackRestarts():
            return replica.restarts_taken_over(by_controller=False)


def _event(outcome: Outcome, replica: ReplicaState | None) -> Event:
    action, failure = outcome.action, outcome.failure
    seconds = f"{max(0.0, outcome.finished_at - outcome.started_at):.2f}"
    if failure is None:
        message = f"{action.summary}: {action.cause}"
        details = {"seconds": seconds} | _evidence(outcome, replica)
    else:
        message = f"failed to {action.summary}: {failure.message}"
        details = {"seconds": seconds, "reason": failure.reason, "cause": action.cause, "kind": str(failure.kind)}
    return Event(outcome.finished_at, "action", message, action.app_name, details | _subject(action))


def _evidence(outcome: Outcome, replica: ReplicaState | None) -> dict[str, str]:
    """What is known of a container that was removed for being unwell: its last failed answers, how its program ended,
    and its last lines. Nothing that isn't known."""
    action = outcome.action
    if not isinstance(action, RemoveReplica) or not action.keeps_log:
        return {}
    known: dict[str, object] = {"log": outcome.log}
    if replica is not None and replica.container_id == action.container_id:
        exits, before_end = replica.exits, replica.ending.log if replica.ending else ""
        known |= {"answer": replica.health.detail, "readiness_answer": replica.readiness.detail}
        known |= {"exit_code": exits.code, "out_of_memory": exits.out_of_memory}
        known["log"] = before_end or outcome.log or exits.log
    return {name: str(value) for name, value in known.items() if value not in ("", None)}


def _subject(action: Action) -> dict[str, str]:
    if isinstance(action, EnsureImage):
        return {"image": action.version.app.spec.image}
    if isinstance(action, CheckCreation):
        return {"spec_hash": action.replica.version.spec_hash}
    if isinstance(action, CreateReplica):
        return {"replica": action.name, "spec_hash": action.version.spec_hash, "revision": action.version.revision}
    return {"replica": action.name, "container": action.container_id}

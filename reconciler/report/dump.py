"""A snapshot of the store as the status dump: pure, field by field."""

from __future__ import annotations

from reconciler.model.backoff import Backoff
from reconciler.model.desired import Problem
from reconciler.model.health import Health, Verdict
from reconciler.model.recorded import AppRecord, Controller, Snapshot
from reconciler.model.state import AppState, FailedVersion, ReplicaState, Rollout
from reconciler.model.status import AppStatus, Condition, ReplicaStatus
from reconciler.ports import CHECKPOINT_SECONDS, NothingRecorded, StatusReader
from reconciler.report import contract
from reconciler.report.times import rfc3339

# A controller shows a sign of life at every checkpoint; after this many without one it seems to have stopped.
_MISSED_CHECKPOINTS = 3


def dump(reader: StatusReader, *, now: float, app_name: str | None = None) -> contract.Status:
    """The status of everything, or of one app. Raises NothingRecorded where there is no such app, and Unavailable."""
    return status_of(reader.snapshot(), now=now, app_name=app_name)


def status_of(snapshot: Snapshot, *, now: float, app_name: str | None = None) -> contract.Status:
    records = [app_record(snapshot, app_name)] if app_name is not None else list(snapshot.apps.values())
    problems = [it for it in snapshot.controller.problems if app_name is None or it.app_name == app_name]
    apps = tuple(app_dump(record, now) for record in records)
    return contract.Status(
        generated_at=rfc3339(now),
        instance=snapshot.controller.instance,
        revision=snapshot.controller.revision,
        converged=bool(snapshot.controller.revision) and not problems and all(app.converged for app in apps),
        controller=_controller(snapshot.controller, now),
        apps=apps,
        notices=snapshot.controller.notices,
        problems=tuple(_problem(problem) for problem in problems),
    )


def app_record(snapshot: Snapshot, app_name: str) -> AppRecord:
    """The record of one app. Raises NothingRecorded."""
    if app_name not in snapshot.apps:
        if wrong := [str(problem) for problem in snapshot.controller.problems if problem.app_name == app_name]:
            raise NothingRecorded(f"app {app_name!r} has never had a valid spec:\n" + "\n".join(wrong))
        known = ", ".join(snapshot.apps) or "none"
        raise NothingRecorded(
            f"there is no app {app_name!r} in instance {snapshot.controller.instance!r}; known: {known}"
        )
    return snapshot.apps[app_name]


def running(controller: Controller, now: float) -> bool:
    """Whether the controller showed a sign of life lately."""
    return now - controller.seen_at <= _MISSED_CHECKPOINTS * CHECKPOINT_SECONDS


def _controller(controller: Controller, now: float) -> contract.Controller:
    return contract.Controller(
        version=controller.version,
        host=controller.host,
        pid=controller.pid,
        started_at=rfc3339(controller.started_at),
        seen_at=rfc3339(controller.seen_at),
        age_seconds=_span(now - controller.seen_at),
        running=running(controller, now),
        source=controller.source,
        edge=controller.edge,
    )


def _problem(problem: Problem) -> contract.Problem:
    return contract.Problem(
        app=problem.app_name,
        path=problem.path,
        line=problem.line,
        field=problem.field,
        found=problem.found,
        expected=problem.expected,
        message=str(problem),
    )


def app_dump(record: AppRecord, now: float) -> contract.App:
    status, state = record.status or _unplanned(record), record.state
    return contract.App(
        name=record.name,
        revision=status.revision,
        spec_hash=status.spec_hash,
        image=state.version.app.spec.image if state else None,
        mode=status.mode,
        converged=status.converged,
        replicas=contract.Replicas(
            desired=status.desired, current=status.current, ready=status.ready, routed=status.routed
        ),
        conditions=tuple(_condition(condition, now) for condition in status.conditions),
        instances=tuple(_instance(one, record.replicas.get(one.name), now) for one in status.instances),
        routes=status.routes,
        error=status.error,
        created_at=state and rfc3339(state.registered_at),
        updated_at=state and rfc3339(state.updated_at),
        last_scaled_at=_time(state.scaled_at) if state else None,
        rollout=_rollout(state.rollout) if state and state.rollout else None,
        failed_version=_failed(state.failed) if state and state.failed else None,
        backoff=backoff(state.pacing.creation, now) if state and state.pacing.creation else None,
    )


def _unplanned(record: AppRecord) -> AppStatus:
    """The status of an app that was registered a moment ago: nothing of it is so yet."""
    state: AppState | None = record.state
    version = state.version if state else None
    return AppStatus(
        name=record.name,
        revision=version.revision if version else "",
        spec_hash=version.spec_hash if version else "",
        mode=version.app.scaling.mode if version else "",
        desired=state.count if state else 0,
        current=0,
        ready=0,
        routed=0,
        conditions=state.conditions if state else (),
        instances=(),
        routes=(),
    )


def _condition(condition: Condition, now: float) -> contract.Condition:
    return contract.Condition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        since=rfc3339(condition.since),
        age_seconds=_span(now - condition.since),
    )


def _instance(instance: ReplicaStatus, state: ReplicaState | None, now: float) -> contract.Instance:
    readiness = state.readiness if state else Health()
    return contract.Instance(
        name=instance.name,
        container_id=instance.container_id,
        slot=instance.slot,
        address=instance.address,
        port=instance.port,
        state=instance.state,
        phase=instance.phase,
        note=instance.note,
        spec_hash=instance.spec_hash,
        health=instance.health.verdict.value,
        failures=instance.health.consecutive_failures,
        health_check=_check(instance.health),
        readiness_check=_check(readiness) if readiness.verdict is not Verdict.UNKNOWN else None,
        restarts=instance.restarts,
        cpu_percent=instance.vitals.cpu_percent,
        memory_percent=instance.vitals.memory_percent,
        seen_at=_time(instance.vitals.seen_at),
        created_at=state and rfc3339(state.created_at),
        exit_code=state.exits.code if state else None,
        last_log=state.exits.log if state else "",
        backoff=backoff(state.restarts.backoff, now) if state and state.restarts.backoff else None,
    )


def _check(health: Health) -> contract.Check:
    return contract.Check(
        verdict=health.verdict.value,
        since=_time(health.since),
        detail=health.detail,
        consecutive_failures=health.consecutive_failures,
        consecutive_successes=health.tally.consecutive_successes,
        checks=health.tally.checks,
        failures=health.tally.failures,
        last_check_at=_time(health.tally.last_check_at),
        last_success_at=_time(health.tally.last_success_at),
        last_failure_at=_time(health.tally.last_failure_at),
    )


def backoff(value: Backoff, now: float) -> contract.Backoff:
    return contract.Backoff(
        attempts=value.attempts,
        reason=value.reason,
        message=value.message,
        next_at=None if value.until_changed else rfc3339(value.next_at),
        next_in_seconds=None if value.until_changed else _span(value.next_at - now),
    )


def _rollout(rollout: Rollout) -> contract.Rollout:
    return contract.Rollout(
        from_hash=rollout.from_hash,
        to_hash=rollout.to_hash,
        started_at=rfc3339(rollout.started_at),
        progressed_at=rfc3339(rollout.progressed_at),
        canary_at=_time(rollout.canary_at),
        promoted=rollout.promoted,
    )


def _failed(version: FailedVersion) -> contract.FailedVersion:
    return contract.FailedVersion(
        revision=version.revision,
        spec_hash=version.spec_hash,
        at=rfc3339(version.at),
        reason=version.reason,
        message=version.message,
        replica=version.replica,
        answer=version.answer,
        exit_code=version.exit_code,
        log=version.log,
    )


def _time(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def _span(seconds: float) -> float:
    return round(max(0.0, seconds), 3)

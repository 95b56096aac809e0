"""What the store has on record, as the status dump: pure. Fields of one name are alike; what differs is said once."""

from __future__ import annotations

from typing import TypeVar

from reconciler.model.app_state import AppState
from reconciler.model.backoff import Backoff
from reconciler.model.change import Change
from reconciler.model.desired import Problem
from reconciler.model.health import Health, Verdict
from reconciler.model.image import ResolvedImage
from reconciler.model.recorded import AppRecord, Recorded
from reconciler.model.status import AppStatus, CertificateStatus, Condition, ReplicaStatus
from reconciler.model.version import Version
from reconciler.ports import NothingRecorded, StatusReader
from reconciler.report import contract
from reconciler.report.advice import advice_on
from reconciler.report.life import Life, life_of
from reconciler.report.times import clock, rfc3339

_DAY_SECONDS = 86_400.0

PartType = TypeVar("PartType", bound=contract.Part)


def dump(reader: StatusReader, *, now: float, app_name: str | None = None) -> contract.Status:
    """The status of everything, or of one app. Raises NothingRecorded where there is no such app, and Unavailable."""
    recorded = reader.recorded()
    if app_name is not None:
        require_present(reader, recorded, app_name)
    return status_of(recorded, now=now, app_name=app_name)


def status_of(recorded: Recorded, *, now: float, app_name: str | None = None) -> contract.Status:
    records = [app_record(recorded, app_name)] if app_name is not None else list(recorded.apps.values())
    problems = [problem for problem in recorded.controller.problems if app_name in (None, problem.app_name)]
    life = life_of(recorded, now)
    apps = tuple(app_dump(record, now, known=not life.trouble) for record in records)
    return contract.Status(
        generated_at=rfc3339(now),
        instance=recorded.controller.instance,
        revision=recorded.controller.revision,
        converged=bool(recorded.controller.revision)
        and not (problems or life.trouble)
        and all(app.converged for app in apps),
        controller=_controller(recorded, life, now),
        apps=apps,
        notices=recorded.controller.notices,
        problems=tuple(problem_dump(problem) for problem in problems),
    )


def app_record(recorded: Recorded, app_name: str) -> AppRecord:
    """The record of one app. Raises NothingRecorded."""
    if app_name not in recorded.apps:
        if wrong := [str(problem) for problem in recorded.controller.problems if problem.app_name == app_name]:
            raise NothingRecorded(f"app {app_name!r} has never had a valid spec:\n" + "\n".join(wrong))
        known = ", ".join(recorded.apps) or "none"
        raise NothingRecorded(
            f"there is no app {app_name!r} in instance {recorded.controller.instance!r}; known: {known}"
        )
    return recorded.apps[app_name]


def has_edge(edge: str) -> bool:
    """Whether anything is routed, by what the edge says of itself."""
    return edge != "none"


def require_present(reader: StatusReader, recorded: Recorded, app_name: str) -> None:
    """Raise NothingRecorded where there is no such app now, and tell one that is no more from one that never was."""
    if app_name in recorded.apps:
        return
    wrong = any(problem.app_name == app_name for problem in recorded.controller.problems)
    for last in () if wrong else reader.events(app_name=app_name, limit=1):
        raise NothingRecorded(f"there is no app {app_name!r} any more; {clock(last.at)} UTC: {last.message}")
    app_record(recorded, app_name)


def require_known(reader: StatusReader, app_name: str) -> None:
    """Raise NothingRecorded where there is no such app and, by the events on record, never was."""
    if not reader.events(app_name=app_name, limit=1):
        app_record(reader.recorded(), app_name)


def _like(part: type[PartType], source: object, **others: object) -> PartType:
    """A part of the contract: ``others``, and else what ``source`` has by the same name. Moments become times."""
    fields = {name: getattr(source, name) for name in part.model_fields if name not in others}
    times = {name: _time(value) for name, value in fields.items() if name.endswith("_at") or name in ("at", "since")}
    return part(**(fields | times | others))


def _controller(recorded: Recorded, life: Life, now: float) -> contract.Controller:
    controller, followed = recorded.controller, recorded.followed
    return _like(
        contract.Controller,
        controller,
        age_seconds=_span(now - controller.seen_at),
        running=life.running,
        stopped_at=_time(life.stopped_at),
        trouble=life.trouble,
        branch=followed.branch,
        path=followed.path,
    )


def problem_dump(problem: Problem) -> contract.Problem:
    return _like(contract.Problem, problem, app=problem.app_name, message=str(problem))


def app_dump(record: AppRecord, now: float, *, known: bool = True) -> contract.App:
    """The status of one app; not ``known`` where it is only what was so when somebody last looked."""
    status, state = record.status or _unplanned(record), record.state
    version = version_of(record, status.spec_hash) or (state.version if state else None)
    app = _like(
        contract.App,
        status,
        advice=(),
        converged=known and status.converged,
        known=known,
        image=version and version.app.spec.image,
        image_reference=version and version.image and version.image.reference,
        image_digest=version and version.image and version.image.bare,
        last_change=_change(status.change, now) if status.change else None,
        replicas=_like(contract.Replicas, status),
        conditions=tuple(_condition(condition, now) for condition in status.conditions),
        instances=tuple(_instance(replica, record, now) for replica in status.replicas),
        created_at=state and rfc3339(state.registered_at),
        updated_at=state and rfc3339(state.updated_at),
        last_scaled_at=_time(state.scaled_at) if state else None,
        replaced_last_hour=status.replaced,
        restarted_last_hour=status.restarted,
        rollout=_like(contract.Rollout, state.rollout) if state and state.rollout else None,
        failed_version=_like(contract.FailedVersion, state.failed) if state and state.failed else None,
        backoff=backoff(state.pacing.creation, now) if state and state.pacing.creation else None,
        traffic=_like(contract.Traffic, status.traffic) if status.traffic else None,
        certificates=tuple(certificate_dump(certificate, now) for certificate in status.certificates),
    )
    return app.model_copy(update={"advice": advice_on(app)})


def version_of(record: AppRecord, spec_hash: str) -> Version | None:
    """The version of an app that has this spec hash, None where none is known: of several the one that it converges to,
    or else the newest."""
    same = [version for version in record.state.versions if version.spec_hash == spec_hash] if record.state else []
    target = record.status.revision if record.status else ""
    return next((version for version in same if version.revision == target), same[0] if same else None)


def _change(change: Change, now: float) -> contract.Change:
    return _like(contract.Change, change, age_seconds=_span(now - change.at))


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
        replicas=(),
        routes=(),
        change=version.change if version else None,
    )


def _condition(condition: Condition, now: float) -> contract.Condition:
    return _like(contract.Condition, condition, age_seconds=_span(now - condition.since))


def certificate_dump(certificate: CertificateStatus, now: float) -> contract.Certificate:
    return _like(
        contract.Certificate,
        certificate,
        not_before=rfc3339(certificate.not_before),
        not_after=rfc3339(certificate.not_after),
        days_left=round((certificate.not_after - now) / _DAY_SECONDS, 2),
    )


def _instance(replica: ReplicaStatus, record: AppRecord, now: float) -> contract.Instance:
    state, version = record.replicas.get(replica.name), version_of(record, replica.spec_hash)
    readiness = state.readiness if state else Health()
    traffic = replica.vitals.traffic
    held_back = state.restarts.backoff if state else None
    restarted_at = replica.last_restarted_at
    created_at = replica.created_at or (state.created_at if state else None)
    made_from = version.image if version and version.image else ResolvedImage(replica.image_id)
    return _like(
        contract.Instance,
        replica,
        health=replica.health.verdict.value,
        failures=replica.health.consecutive_failures,
        health_check=_check(replica.health),
        readiness_check=_check(readiness) if readiness.verdict is not Verdict.UNKNOWN else None,
        last_restarted_at=_time(replica.last_restarted_at),
        last_restarted_age_seconds=None if restarted_at is None else _span(now - restarted_at),
        engine_health=replica.engine_health or None,
        cpu_percent=replica.vitals.cpu_percent,
        memory_percent=replica.vitals.memory_percent,
        requests=traffic and traffic.requests,
        error_percent=traffic and traffic.error_percent,
        seen_at=_time(replica.vitals.seen_at),
        created_at=_time(created_at),
        age_seconds=_span(now - created_at) if created_at is not None and replica.container_id else None,
        revision=version.revision if version else replica.revision,
        image=version and version.app.spec.image,
        image_reference=made_from.reference or None,
        image_digest=made_from.bare or None,
        exit_code=state.exits.code if state else None,
        out_of_memory=bool(state and state.exits.out_of_memory),
        last_log=state.exits.log if state else "",
        backoff=backoff(held_back, now) if held_back else None,
    )


def _check(health: Health) -> contract.Check:
    tally = health.tally
    standing = {name: getattr(health, name) for name in ("detail", "consecutive_failures")}
    return _like(contract.Check, tally, verdict=health.verdict.value, since=_time(health.since), **standing)


def backoff(value: Backoff, now: float) -> contract.Backoff:
    """A back-off with when it ends, as long as it does by itself."""
    ends = not value.is_final
    next_in_seconds = _span(value.next_at - now) if ends else None
    next_at = rfc3339(value.next_at) if ends else None
    return _like(contract.Backoff, value, next_at=next_at, next_in_seconds=next_in_seconds)


def _time(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def _span(seconds: float) -> float:
    return round(max(0.0, seconds), 3)

"""Why a rollout has failed: by evidence, never by silence.

A crash loop, a refusal, or a deadline after which something is known to be wrong. What was missed while nobody looked
is no evidence: a controller that comes back after an hour waits for the next answer before it gives a version up. Nor
is what the environment did: a deadline is pushed by the time in which nobody could see how the rollout goes, and a
network that doesn't reach a replica, or people who pause it, say nothing of its program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.decide.app_view import AppView
from reconciler.decide.differences import changed_checks
from reconciler.decide.phases import Phase, Replica
from reconciler.decide.versions import target_of
from reconciler.decide.words import exit_words
from reconciler.model.app_state import AppState, FailedVersion
from reconciler.model.reasons import OUTSIDE, Reason
from reconciler.model.replica_state import ReplicaState
from reconciler.model.state import State
from reconciler.model.version import Version


@dataclass(frozen=True, slots=True)
class RolloutFailure:
    """Why a rollout has failed: ``message`` for people; ``replica`` is the one that failed, if it was one."""

    reason: Reason
    message: str
    replica: Replica | None = None
    details: Mapping[str, str] = field(default_factory=dict)


def failure_of(view: AppView) -> RolloutFailure | None:
    """Why the rollout under way has failed, or None. Only a change of version can: the others have no alternative."""
    backoff = view.app.pacing.creation
    if not view.is_change:
        return None
    for replica in view.fit:
        own = replica.state.restarts.backoff
        if own and own.reason is Reason.CRASH_LOOP:
            return RolloutFailure(own.reason, f"{replica.name} {own.message}", replica)
    if backoff and backoff.is_final:
        return RolloutFailure(backoff.reason, backoff.message)
    deadline = deadline_of(view.app, view.target)
    return None if deadline is None or view.now < deadline else _past_deadline(view, deadline)


def deadline_of(app: AppState, target: Version) -> float | None:
    """When the rollout under way fails if no further replica becomes ready, or its canary has no verdict; None while
    neither is expected: also while its image is still to be had, or something else outside the spec is in its way."""
    rollout, strategy, backoff = app.rollout, target.app.spec.strategy, app.pacing.creation
    if rollout is None or app.failed or app.image_ready != target.spec_hash:
        return None
    if backoff and backoff.reason in OUTSIDE:
        return None
    if rollout.analysis_since is not None and strategy.canary:
        seconds = strategy.canary.hold_seconds + strategy.progress_deadline_seconds
        return rollout.expires_at(rollout.analysis_since, seconds)
    return rollout.expires_at(rollout.progressed_at, strategy.progress_deadline_seconds)


def overdue(state: State, now: float) -> frozenset[str]:
    """The containers, one for each app, that keep a rollout from going on past its deadline. People will ask what
    these have to say."""
    lowest: dict[str, ReplicaState] = {}
    late = {app.name: target_of(app).spec_hash for app in state.apps.values() if _is_overdue(app, now)}
    for replica in state.replicas.values() if late else ():
        waited_for = replica.spec_hash == late.get(replica.app_name) and replica.ready_at is None
        before = lowest.get(replica.app_name)
        if waited_for and replica.container_id and (before is None or replica.slot < before.slot):
            lowest[replica.app_name] = replica
    return frozenset(replica.container_id for replica in lowest.values())


def recorded(target: Version, failure: RolloutFailure, now: float) -> FailedVersion:
    """The version as one that is not tried again, with what is known of the replica that failed."""
    replica = failure.replica
    return FailedVersion(
        spec_hash=target.spec_hash,
        revision=target.revision,
        at=now,
        reason=failure.reason,
        message=failure.message,
        replica=replica.name if replica else "",
        answer=replica.state.last_failed_answer if replica else "",
        exit_code=replica.state.exits.code if replica else None,
        log=replica.log if replica else "",
    )


def details_of(failed: FailedVersion) -> dict[str, str]:
    """What is recorded of a failed version, as an event's details; nothing that isn't known."""
    names = ("reason", "revision", "spec_hash", "replica", "answer", "exit_code", "log")
    return {name: str(value) for name in names if (value := getattr(failed, name)) not in ("", None)}


def evidence(failed: FailedVersion) -> str:
    """The evidence: what is known of the replica that failed, beyond the message, in lines; "" where nothing is."""
    lines = []
    if failed.answer and failed.answer not in failed.message:
        lines.append(f"last answer of {failed.replica}: {failed.answer}")
    if failed.exit_code is not None and exit_words(failed.exit_code) not in failed.message:
        lines.append(f"{failed.replica} {exit_words(failed.exit_code)}")
    lines += [f"last log lines of {failed.replica}:", failed.log] if failed.log else []
    return "\n".join(lines)


def _is_overdue(app: AppState, now: float) -> bool:
    deadline = deadline_of(app, target_of(app))
    return deadline is not None and now >= deadline


def _past_deadline(view: AppView, deadline: float) -> RolloutFailure | None:
    failure = _known_against_it(view, deadline)
    if failure is None:
        return None
    rollout = view.app.rollout
    if rollout and rollout.analysis_since is not None:
        waited = f"its canary has no verdict after {deadline - rollout.analysis_since:g} s"
        return replace(failure, reason=Reason.CANARY_FAILED, message=f"{waited}: {failure.message}")
    seconds = view.target.app.spec.strategy.progress_deadline_seconds
    message = f"no further replica became ready within {seconds:g} s: {failure.message}"
    asked = changed_checks(view.app.stable, view.target) if failure.replica else ""
    return replace(failure, message="; ".join(filter(None, (message, asked))))


def _known_against_it(view: AppView, deadline: float) -> RolloutFailure | None:
    """What keeps the new replicas from becoming ready, as far as it is known."""
    if backoff := view.app.pacing.creation:
        return RolloutFailure(Reason.DEADLINE_EXCEEDED, backoff.message)
    new = (r for r in view.existing if r.spec_hash == view.target.spec_hash)
    for replica in new:
        if words := _known_against(replica, deadline):
            return RolloutFailure(Reason.DEADLINE_EXCEEDED, f"{replica.name} {words}", replica)
    return _in_its_way(view)


def _in_its_way(view: AppView) -> RolloutFailure | None:
    """A replica that can't be got rid of, so that another has no place: its end may never come. Not where it is only
    the Engine, or who leads, that is out of reach."""
    for replica in view.existing:
        removal = replica.state.removal
        if removal and removal.reason not in OUTSIDE:
            return RolloutFailure(
                Reason.DEADLINE_EXCEEDED, f"{replica.name} can't be removed: {removal.message}", replica
            )
        if replica.phase is Phase.VANISHING and not replica.fits(replica.spec_hash, view.now):
            return RolloutFailure(
                Reason.DEADLINE_EXCEEDED, f"{replica.name} is being removed, and is not gone yet", replica
            )
    return None


def _known_against(replica: Replica, deadline: float) -> str:
    """What is known against a replica, in words that follow its name; "" where nothing is known against it."""
    state = replica.state
    match replica.phase:
        case Phase.CRASHED | Phase.RESTARTING:
            return exit_words(state.exits.code, state.exits.out_of_memory)
        case Phase.CREATED:
            return f"is {replica.phase}"
        case _ if state.unreached:
            return ""
        case Phase.STARTING | Phase.UNREADY | Phase.UNHEALTHY if _last_asked_at(state) >= deadline:
            answer = state.last_failed_answer
            return f"is not ready: {answer}" if answer else "is not ready"
        case _:
            return ""


def _last_asked_at(state: ReplicaState) -> float:
    return max(state.health.tally.last_check_at or 0.0, state.readiness.tally.last_check_at or 0.0)

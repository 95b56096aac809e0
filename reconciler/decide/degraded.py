"""What is wrong with an app, in the order of what people must mend first.

It tells what was decided, and what stands in the state; nothing is judged anew here, and nothing follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.decide.app_decision import AppDecision, Served
from reconciler.decide.app_view import AppView
from reconciler.decide.differences import changed_checks
from reconciler.decide.phases import Phase
from reconciler.decide.rollout.failure import deadline_of, evidence
from reconciler.decide.state.checks import on_trial
from reconciler.decide.state.repetition import REPEATS_ALLOWED
from reconciler.decide.words import expiry_words
from reconciler.model.reasons import Reason
from reconciler.model.version import short


@dataclass(frozen=True, slots=True)
class DegradedReason:
    """One thing people should mend: ``reason`` for machines, one sentence, and what is known beyond it, by lines."""

    reason: Reason
    message: str
    details: str = ""


def degraded_reasons(decision: AppDecision, served: Served) -> Iterable[DegradedReason]:
    """All that is wrong, in the order of what people must mend first."""
    app = decision.view.app
    if decision.problems:
        more = f" (and {len(decision.problems) - 1} more)" if len(decision.problems) > 1 else ""
        yield DegradedReason(Reason.INVALID_SPEC, f"{decision.problems[0]}{more}; the last good spec keeps running")
    if failed := app.failed:
        serving = f"; serving revision {short(app.stable.revision)}" if app.stable else ""
        message = f"revision {short(failed.revision)} failed: {failed.message}{serving}"
        yield DegradedReason(Reason.ROLLOUT_FAILED, message, evidence(failed))
    if backoff := app.pacing.creation:
        yield DegradedReason(backoff.reason, backoff.message)
    for refusal in served.refusals:
        yield DegradedReason(Reason.ROUTES_REFUSED, refusal.message)
    for certificate in served.certificates:
        if certificate.standing == "expired":
            message = f"certificate {certificate.secret} {expiry_words(certificate)}: clients refuse it"
            yield DegradedReason(Reason.CERTIFICATE_EXPIRED, message)
    if app.missing_since is not None and not decision.leaving:
        yield DegradedReason(
            Reason.ABSENT_FROM_SOURCE, "its spec is absent from the source; it keeps running until that is confirmed"
        )
    yield from _of_replicas(decision)
    for repetition in app.pacing.repetitions:
        if repetition.times >= REPEATS_ALLOWED:
            what = repetition.action.rsplit(" ", 1)[0]
            yield DegradedReason(Reason.NO_PROGRESS, f"no progress: {what} was done {repetition.times} times")


def _of_replicas(decision: AppDecision) -> Iterable[DegradedReason]:
    view = decision.view
    for replica in view.in_slots:
        state, backoff = replica.state, replica.state.restarts.backoff
        if backoff and not replica.ready:
            message = f"{replica.name} {backoff.message} (attempt {backoff.attempts})"
            yield DegradedReason(backoff.reason, message, _last_lines(replica.name, replica.log))
        if state.removal:
            yield DegradedReason(state.removal.reason, f"{replica.name} can't be removed: {state.removal.message}")
        elif replica.phase is Phase.VANISHING and view.now >= (replica.in_place_until or view.now):
            message = f"{replica.name} is being removed, and is not gone yet"
            yield DegradedReason(Reason.REMOVAL_IN_PROGRESS, message)
    unhealthy = [
        r for r in view.existing if r.phase is Phase.UNHEALTHY and r.name not in decision.reconciliation.retire
    ]
    if unhealthy:
        names = ", ".join(r.name for r in unhealthy)
        change = f"; {changed_checks(view.app.stable, view.app.version)}" if on_trial(view.app) else ""
        yield DegradedReason(Reason.UNHEALTHY, f"{names} unhealthy: {unhealthy[0].state.health.detail}{change}")
    yield from _of_rollout(view)


def _of_rollout(view: AppView) -> Iterable[DegradedReason]:
    """What keeps a rollout beyond its deadline that has not failed, since there is no evidence against it."""
    rollout, deadline = view.app.rollout, deadline_of(view.app, view.target)
    if rollout is None or deadline is None or view.now < deadline:
        return
    late = [r for r in view.fit if not r.ready]
    if late:
        seconds = view.target.app.spec.strategy.progress_deadline_seconds
        detail = late[0].state.last_failed_answer or f"it is {late[0].phase}"
        message = f"{late[0].name} not ready within {seconds:g} s: {detail}"
        yield DegradedReason(Reason.DEADLINE_EXCEEDED, message, _last_lines(late[0].name, late[0].log))
    elif rollout.analysis_since is not None:
        waited = f"no verdict on the canary after {deadline - rollout.analysis_since:g} s"
        yield DegradedReason(Reason.CANARY_UNDECIDED, f"{waited}, and without one it is not promoted")


def _last_lines(name: str, log: str) -> str:
    return f"last log lines of {name}:\n{log}" if log else ""

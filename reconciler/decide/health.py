"""What probe answers make of a replica, and which replicas to ask.

Failures count against a replica only after it was first healthy: a slow start is the progress deadline's business.
Engine trouble is not a failure of the replica; whoever could not ask sends no sample.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.health import Health, Verdict
from reconciler.model.observed import ProbeSample
from reconciler.model.spec import App, HealthCheck


def health_check_of(app: App) -> HealthCheck | None:
    """The check in force: the one given or, for an app with a port, that the port accepts. None: running is enough."""
    if app.health_check is not None:
        return app.health_check
    if app.main_port is None:
        return None
    return HealthCheck(protocol="TCP", port=app.main_port)


def after_sample(health: Health, sample: ProbeSample, check: HealthCheck) -> Health:
    """The standing after one more answer: ``successThreshold`` in a row heal, ``failureThreshold`` in a row condemn."""
    return _after_success(health, sample.at, check) if sample.ok else _after_failure(health, sample, check)


def _after_success(health: Health, at: float, check: HealthCheck) -> Health:
    successes = health.tally.consecutive_successes + 1
    tally = replace(
        health.tally,
        checks=health.tally.checks + 1,
        consecutive_successes=successes,
        last_check_at=at,
        last_success_at=at,
    )
    health = replace(health, tally=tally, consecutive_failures=0, detail="")
    if health.verdict is Verdict.HEALTHY or successes < check.success_threshold:
        return health
    return replace(health, verdict=Verdict.HEALTHY, since=at, first_healthy_at=health.first_healthy_at or at)


def _after_failure(health: Health, sample: ProbeSample, check: HealthCheck) -> Health:
    tally = replace(
        health.tally,
        checks=health.tally.checks + 1,
        failures=health.tally.failures + 1,
        consecutive_successes=0,
        last_check_at=sample.at,
        last_failure_at=sample.at,
    )
    failures = health.consecutive_failures + 1
    health = replace(health, tally=tally, consecutive_failures=failures, detail=sample.detail)
    if health.verdict is not Verdict.HEALTHY or failures < check.failure_threshold:
        return health
    return replace(health, verdict=Verdict.UNHEALTHY, since=sample.at)

"""What probe answers make of a replica's health.

Failures count against a replica only after it was first healthy: a slow start is the progress deadline's business.
An Engine that can't be reached is no failure of the replica; whoever could not ask sends no sample.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from reconciler.model.health import CheckKind, Health, Tally, Verdict
from reconciler.model.observed import ProbeSample
from reconciler.model.spec import App, HealthCheck, UpstreamTls


def health_check_of(app: App) -> HealthCheck | None:
    """The health check in force: the one given or, for an app with a port, that the port accepts. None: running is
    enough."""
    if app.health_check is not None:
        return app.health_check
    return None if app.main_port is None else _accepts_connections(app.main_port)


def checks_of(app: App) -> dict[CheckKind, HealthCheck]:
    """The checks in force: of health, and of readiness where one was given."""
    checks: dict[CheckKind, HealthCheck] = {}
    if (check := health_check_of(app)) is not None:
        checks["health"] = check
    if (check := app.spec.readiness) is not None:
        checks["readiness"] = check
    return checks


def known_by(app: App, check: HealthCheck) -> UpstreamTls | None:
    """By what a replica is known to this check, where it speaks TLS."""
    return app.upstream_tls if check.protocol in ("HTTPS", "GRPC") else None


def asked_of(app: App) -> dict[CheckKind, tuple[HealthCheck, UpstreamTls | None]]:
    """All that the answers of an app's replicas depend on, beside the replicas: its checks, and by what these know
    whom they ask."""
    return {kind: (check, known_by(app, check)) for kind, check in checks_of(app).items()}


@lru_cache(maxsize=65536)
def _accepts_connections(port: int) -> HealthCheck:
    return HealthCheck(protocol="TCP", port=port)


def trusted(now: float) -> Health:
    """The health of a replica that ran before anybody of us knew it: healthy until an answer says otherwise."""
    return Health(Verdict.HEALTHY, since=now, on_trust=True)


def after_sample(health: Health, sample: ProbeSample, check: HealthCheck) -> Health:
    """The health after one more answer: ``successThreshold`` in a row heal, ``failureThreshold`` in a row condemn."""
    return _after_success(health, sample.at, check) if sample.ok else _after_failure(health, sample, check)


def _after_success(health: Health, at: float, check: HealthCheck) -> Health:
    before = health.tally
    successes = before.consecutive_successes + 1
    tally = Tally(before.checks + 1, before.failures, successes, at, at, before.last_failure_at)
    health = replace(health, tally=tally, consecutive_failures=0, detail="", unreached=False)
    if health.verdict is Verdict.HEALTHY:
        return replace(health, on_trust=False) if health.on_trust else health
    if successes < check.success_threshold:
        return health
    return replace(health, verdict=Verdict.HEALTHY, since=at, on_trust=False)


def _after_failure(health: Health, sample: ProbeSample, check: HealthCheck) -> Health:
    before = health.tally
    tally = Tally(before.checks + 1, before.failures + 1, 0, sample.at, before.last_success_at, sample.at)
    failures = health.consecutive_failures + 1
    unreached = sample.unreached
    health = replace(health, tally=tally, consecutive_failures=failures, detail=sample.detail, unreached=unreached)
    if health.verdict is not Verdict.HEALTHY or failures < check.failure_threshold:
        return health
    return replace(health, verdict=Verdict.UNHEALTHY, since=sample.at)

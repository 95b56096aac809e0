"""What replicas answer while the Engine can't be seen, kept apart from their health.

Nobody knows then whether a container was started again or whose address it is, so an answer condemns no replica and no
version. It only tells who can't serve just now. Once the Engine is seen again, whoever was taken out of the route table
for that stays out until the next good answer, or until its health says the same; nothing else is left of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.decide.state.health import after_sample, trusted
from reconciler.model.health import CheckKind, Health, Tally, Verdict
from reconciler.model.observed import ProbeSample
from reconciler.model.replica_state import BlindHealth, ReplicaState
from reconciler.model.spec import HealthCheck


def answered(
    replica: ReplicaState, samples: Iterable[ProbeSample], checks: Mapping[CheckKind, HealthCheck]
) -> ReplicaState:
    """The replica after these answers, none of which its health takes note of. Nothing is remembered of good ones."""
    blind = replica.blind
    for sample in samples:
        if sample.check not in checks or (blind is None and sample.ok):
            continue
        blind = blind or BlindHealth(_begun(replica.health, sample.at), _begun(replica.readiness, sample.at))
        blind = _after(blind, sample, checks[sample.check])
    forgotten = blind is None or (blind.withheld_at is None and not blind.detail and blind.is_well)
    return replica.answering_blindly(None if forgotten else blind)


def seen_again(
    replica: ReplicaState, samples: Iterable[ProbeSample], checks: Mapping[CheckKind, HealthCheck]
) -> ReplicaState:
    """The replica once the Engine is seen, after these answers, which its health has taken note of."""
    if replica.blind is None:
        return replica
    condemned = Verdict.UNHEALTHY in (replica.health.verdict, replica.readiness.verdict)
    blind = answered(replica, samples, checks).blind
    over = condemned or not checks or blind is None or blind.is_well or not replica.withheld
    return replica.answering_blindly(None if over else blind)


def _begun(health: Health, at: float) -> Health:
    """Where it stands as blindness begins: whoever serves then is trusted until its answers say otherwise."""
    return replace(health, tally=Tally()) if health.verdict is Verdict.HEALTHY else trusted(at)


def _after(blind: BlindHealth, sample: ProbeSample, check: HealthCheck) -> BlindHealth:
    health = after_sample(blind.health if sample.check == "health" else blind.readiness, sample, check)
    # Of the counters only that one decides anything: the others would be written at every answer.
    health = replace(health, tally=Tally(consecutive_successes=health.tally.consecutive_successes))
    return replace(blind, health=health) if sample.check == "health" else replace(blind, readiness=health)

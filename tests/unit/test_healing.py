"""When it is probably the checker: which replicas count."""

from __future__ import annotations

import pytest

from reconciler.decide.healing import most_are_unhealthy
from reconciler.decide.phases import Phase, Replica
from reconciler.model.observed import Container, ContainerState
from reconciler.model.state import ReplicaState


def replica(slot: int, phase: Phase) -> Replica:
    name = f"web-{slot}"
    there = phase not in (Phase.GONE, Phase.CREATING)
    container = Container(f"id{slot}", name, "web", slot, "hash", "r1", ContainerState.RUNNING) if there else None
    return Replica(ReplicaState(name, "web", slot, f"id{slot}", f"10.0.0.{slot}", "hash", 0.0), phase, container)


@pytest.mark.parametrize(
    ("phases", "together"),
    [
        ("unhealthy unhealthy ready", True),
        ("unhealthy unhealthy ready ready", False),
        ("unhealthy", False),
        ("unhealthy unhealthy", True),
        ("unhealthy unhealthy ready starting creating", True),
        ("unhealthy unhealthy ready gone", True),
    ],
)
def test_most_are_unhealthy_when_more_than_half_of_the_replicas_that_are_there_are(phases: str, together: bool) -> None:
    """One that was just removed, as a replaced one is, or is still on its way, is no vote for anything."""
    replicas = [replica(slot, Phase(phase)) for slot, phase in enumerate(phases.split(), 1)]
    assert most_are_unhealthy(replicas) is together

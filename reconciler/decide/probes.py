"""Which containers to ask how they are: everything that runs, by the checks of its own version.

What the answers mean is for `state.health` to say.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.decide.app_view import AppView
from reconciler.decide.phases import ENDING, Replica
from reconciler.decide.state.checks import on_trial
from reconciler.decide.state.health import checks_of, known_by
from reconciler.decide.versions import version_for
from reconciler.model.app_state import AppState
from reconciler.model.observed import ContainerState
from reconciler.model.plan import ProbeTarget
from reconciler.model.replica_state import ReplicaState
from reconciler.model.state import State


def targets(views: Iterable[AppView]) -> tuple[ProbeTarget, ...]:
    """Every check of every replica that runs. A replica that has not been well yet is asked quickly, so that it serves
    without delay; but one that serves, and has not answered a changed check yet, as that check says."""
    return tuple(
        target
        for view in views
        for replica in view.existing
        if _answers(replica)
        for target in _of_replica(view.app, replica.state)
    )


def blind_targets(state: State) -> tuple[ProbeTarget, ...]:
    """The same while the Engine can't be seen: every check of whoever was last known to run."""
    return tuple(
        target
        for replica in state.replicas.values()
        if replica.container_id and replica.exits.ended_at is None and replica.app_name in state.apps
        for target in _of_replica(state.apps[replica.app_name], replica)
    )


def _answers(replica: Replica) -> bool:
    container, leaving = replica.container, replica.phase in ENDING
    return container is not None and container.state is ContainerState.RUNNING and not leaving and not replica.busy


def _of_replica(app_state: AppState, state: ReplicaState) -> Iterable[ProbeTarget]:
    app = version_for(app_state, state.spec_hash).app
    trial = on_trial(app_state)
    for kind, check in checks_of(app).items():
        port = check.port or app.main_port
        if port is not None and state.address:
            health = state.health_by(kind)
            quick = not health.has_answered_well and not (trial and health.on_trust)
            first_at = state.created_at + check.initial_delay_seconds
            known = known_by(app, check)
            yield ProbeTarget(state.container_id, kind, state.address, port, check, quick, first_at, known)

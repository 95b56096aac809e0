"""Which containers to ask how they are: everything that runs, by the checks of its own version.

What the answers mean is for `state.health` to say.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.decide.app_view import AppView
from reconciler.decide.phases import Phase, Replica
from reconciler.decide.state.health import checks_of
from reconciler.decide.versions import version_for
from reconciler.model.observed import ContainerState
from reconciler.model.plan import ProbeTarget
from reconciler.model.spec import App


def targets(views: Iterable[AppView]) -> tuple[ProbeTarget, ...]:
    """Every check of every replica that runs. A replica that has not been well yet is asked quickly, so that it serves
    without delay."""
    return tuple(
        target
        for view in views
        for replica in view.existing
        if _answers(replica)
        for target in _of_replica(replica, version_for(view.app, replica.spec_hash).app)
    )


def _answers(replica: Replica) -> bool:
    container, leaving = replica.container, replica.phase is Phase.LEAVING
    return container is not None and container.state is ContainerState.RUNNING and not leaving and not replica.busy


def _of_replica(replica: Replica, app: App) -> Iterable[ProbeTarget]:
    state = replica.state
    for kind, check in checks_of(app).items():
        port = check.port or app.main_port
        if port is not None and state.address:
            quick = not state.health_by(kind).has_answered_well
            first_at = state.created_at + check.initial_delay_seconds
            yield ProbeTarget(state.container_id, kind, state.address, port, check, quick, first_at)

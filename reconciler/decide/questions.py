"""Questions: what a tick has to look at, besides the containers, before it can decide.

They follow from what the source asks for and from the state alone, so that everything is asked once and in one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.decide.rollout.failure import overdue
from reconciler.decide.versions import version_for
from reconciler.model.desired import Desired
from reconciler.model.observed import Listener
from reconciler.model.secrets import secret_variables
from reconciler.model.spec import App
from reconciler.model.state import State


@dataclass(frozen=True, slots=True)
class Questions:
    """What a tick has to look at, besides the containers.

    ``apps`` are all that there are, to be measured and held against their schedules; ``measured`` names the replicas
    that an app's load is the mean of. ``logs`` are ids of containers whose last lines people will ask for, ``drained``
    are addresses that a proven route table has left out; ``called`` are replicas on their way out that others may have
    connections to. ``secret_users`` are the apps whose secrets may change.
    """

    apps: tuple[App, ...]
    measured: frozenset[str]
    logs: frozenset[str]
    drained: frozenset[str]
    called: tuple[Listener, ...]
    secret_users: tuple[App, ...]


def questions(desired: Desired, state: State, now: float) -> Questions:
    """What to look at, given what is asked for and what is remembered."""
    apps = tuple(_apps(desired, state))
    return Questions(
        apps=apps,
        measured=frozenset(name for name, replica in state.replicas.items() if replica.in_service),
        logs=overdue(state, now),
        drained=frozenset(
            replica.address
            for replica in state.replicas.values()
            if replica.address and replica.traffic.left_at is not None
        ),
        called=tuple(_called(state)),
        secret_users=tuple(app for app in apps if secret_variables(app)),
    )


def _called(state: State) -> Iterator[Listener]:
    for replica in state.replicas.values():
        traffic, app = replica.traffic, state.apps.get(replica.app_name)
        # One whose app lost its route is called by its name alone, and asked about only once it is to go.
        left = traffic.left_at is not None and app and version_for(app, replica.spec_hash).app.routes
        if app and (left or traffic.closing_since is not None) and replica.address and replica.container_id:
            # Of whichever of its versions it is.
            ports = (port.container_port for version in app.versions for port in version.app.spec.ports)
            yield Listener(replica.container_id, replica.address, frozenset(ports))


def last_desired(state: State) -> Desired:
    """What was asked for last, and was wrong with it: the desired state while the source can't be read."""
    present = {name: app.version for name, app in state.apps.items() if app.missing_since is None}
    return Desired(state.revision, present, state.problems)


def _apps(desired: Desired, state: State) -> list[App]:
    """Every app that there is; one whose file is broken now, or absent, by its last good spec."""
    versions = {name: app.version for name, app in state.apps.items()} | dict(desired.apps)
    return [version.app for version in versions.values()]

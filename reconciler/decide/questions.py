"""Questions: what a tick has to look at, besides the containers, before it can decide.

They follow from what the source asks for and from the state alone, so that everything is asked once and in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.decide.rollout.failure import overdue
from reconciler.model.desired import Desired
from reconciler.model.spec import App
from reconciler.model.state import AppState, State
from reconciler.model.version import Version


@dataclass(frozen=True, slots=True)
class Questions:
    """What a tick has to look at, besides the containers.

    ``apps`` are all that there are, to be measured and held against their schedules; ``measured`` names the replicas
    that an app's load is the mean of. ``images`` are to be looked for on the host, ``logs`` are ids of containers whose
    last lines people will ask for, ``drained`` are addresses that a proven route table has left out.
    """

    apps: tuple[App, ...]
    measured: frozenset[str]
    images: frozenset[str]
    logs: frozenset[str]
    drained: frozenset[str]


def questions(desired: Desired, state: State, now: float) -> Questions:
    """What to look at, given what is asked for and what is remembered."""
    return Questions(
        apps=tuple(_apps(desired, state)),
        measured=frozenset(name for name, replica in state.replicas.items() if replica.in_service),
        images=_unseen_images(desired, state.apps),
        logs=overdue(state, now),
        drained=frozenset(
            replica.address
            for replica in state.replicas.values()
            if replica.address and replica.traffic.left_at is not None
        ),
    )


def last_desired(state: State) -> Desired:
    """What was asked for last: the desired state while the source can't be read."""
    present = {name: app.version for name, app in state.apps.items() if app.missing_since is None}
    return Desired(state.revision, present)


def _unseen_images(desired: Desired, apps: Mapping[str, AppState]) -> frozenset[str]:
    """The images of versions that replicas are to be created from, and which nobody has seen on the host yet.

    One that must always be pulled is ensured by an action, whatever is there.
    """
    return frozenset(
        version.app.spec.image
        for name, version in desired.apps.items()
        if version.app.spec.image_pull_policy != "Always" and _is_unseen(apps.get(name), version)
    )


def _apps(desired: Desired, state: State) -> list[App]:
    """Every app that there is; one whose file is broken now, or absent, by its last good spec."""
    versions = {name: app.version for name, app in state.apps.items()} | dict(desired.apps)
    return [version.app for version in versions.values()]


def _is_unseen(app: AppState | None, version: Version) -> bool:
    if app is None:
        return True
    return version.spec_hash not in (app.image_ready, app.failed.spec_hash if app.failed else None)

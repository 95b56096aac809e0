"""Volumes: which replicas of other apps have to end before an app may begin to write where they write.

Where people ask for several apps that write to one volume, that is for them to know. Where one of them is on its way
out, whoever comes newly to the volume waits for its end. It must never hold an app back from a volume that replicas
of its own write to already, nor for an end that may never come where it has written there before; nor decide how
versions of one app follow each other: that is its strategy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from reconciler.decide.phases import Replica
from reconciler.decide.versions import version_for
from reconciler.model.app_state import AppState
from reconciler.model.spec import App, Volume


@dataclass(frozen=True, slots=True)
class Writer:
    """A replica with the volumes that it writes to and its app no longer asks for. ``held_back``: its app's deletion
    waits for people, and so may its end for ever."""

    name: str
    app_name: str
    volumes: tuple[Volume, ...]
    held_back: bool


def departing_writers(
    apps: Mapping[str, AppState], replicas: Mapping[str, Sequence[Replica]], leaving: AbstractSet[str]
) -> tuple[Writer, ...]:
    """All replicas that write to a volume and are not to any more: the source lacks their app, or its newest spec does
    without. ``leaving`` are the apps that are being removed."""
    return tuple(
        Writer(replica.name, name, volumes, held_back=app.missing_since is not None and name not in leaving)
        for name, members in replicas.items()
        if (app := apps.get(name)) is not None
        for replica in members
        if replica.exists and (volumes := _no_longer_asked_for(app, replica))
    )


def awaited_by(
    app_name: str, created: App, existing: Sequence[App], before: Sequence[App], departing: tuple[Writer, ...]
) -> tuple[Writer, ...]:
    """Those of the departing that have to end before an app may have a replica of ``created``. ``existing``: what its
    replicas are of that are there already; ``before``: what it had replicas of."""
    others = [writer for writer in departing if writer.app_name != app_name]
    if not others:
        return ()
    new, never = _new(created, existing), _new(created, (*existing, *before))
    return tuple(w for w in others if any(_overlaps(volume, w.volumes) for volume in (never if w.held_back else new)))


def shared_by(writer: Writer, app: App) -> str:
    """The volume that both write to, in words."""
    volume = next(volume for volume in _written(app) if _overlaps(volume, writer.volumes))
    return f"volume {volume.name}" if volume.name else str(volume.host_path)


def _no_longer_asked_for(app: AppState, replica: Replica) -> tuple[Volume, ...]:
    present = app.missing_since is None
    if present and replica.spec_hash == app.version.spec_hash:
        return ()
    asked_for = _written(app.version.app) if present else ()
    own = _written(version_for(app, replica.spec_hash).app)
    return tuple(volume for volume in own if not _overlaps(volume, asked_for))


def _new(created: App, others: Iterable[App]) -> list[Volume]:
    """The volumes that this one writes to, and none of the others."""
    own = [volume for app in others for volume in _written(app)]
    return [volume for volume in _written(created) if not _overlaps(volume, own)]


def _written(app: App) -> tuple[Volume, ...]:
    return tuple(volume for volume in app.spec.volumes if not volume.read_only)


def _overlaps(volume: Volume, others: Iterable[Volume]) -> bool:
    return any(volume.overlaps(other) for other in others)

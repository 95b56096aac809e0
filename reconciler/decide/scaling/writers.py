"""How many replicas an app has that writes to a volume: one, unless its spec says that several may.

It decides the count where the spec gives none. What ran before this was the rule goes on as it was, and people are told
of it for as long as it does. That the one before has ended when the next one starts is the rollout's business.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.decide.words import naming_volumes
from reconciler.model.app_state import AppState
from reconciler.model.events import Event
from reconciler.model.scaling import FixedCount
from reconciler.model.spec import Scaling, Volume


def sole_count(scaling: Scaling, written: tuple[Volume, ...]) -> int | None:
    """How many replicas write to these volumes where the policy doesn't say how many may: one, or as many as
    `minReplicas` asks for. None: the policy decides."""
    return None if not written or scaling.gives_most else scaling.min_replicas


def fixed_count(app: AppState) -> FixedCount | None:
    """The count that an app has to have because it writes to a volume; None where its policy decides."""
    written = _written(app)
    count = sole_count(app.version.app.scaling, written)
    if count is None:
        return None
    volumes, kept = naming_volumes(written), app.scaling.kept_writers or 0
    if kept > count:
        why = f"they wrote to {volumes} together before one replica was the rule for a spec without a count"
        return FixedCount(kept, why, "a commit with another scaling")
    gives = "no count" if count == 1 else f"no more than minReplicas ({count})"
    until = "a commit with scaling.replicas or scaling.maxReplicas"
    return FixedCount(count, f"it writes to {volumes}, and its spec gives {gives}", until)


def looked_at(app: AppState) -> AppState:
    """The app, once it is known how many writers it keeps: all that an earlier version recorded, as long as the rule is
    another number."""
    kept = app.scaling.kept_writers
    if kept == 0:
        return app
    count = sole_count(app.version.app.scaling, _written(app))
    kept = app.count if kept is None else kept
    return app.keeping_writers(0 if count is None or kept <= count else kept)


def told_once(app: AppState, now: float) -> tuple[Event, ...]:
    """What people should know of an app that an earlier version recorded: one that writes to paths of the host alone
    was replaced start-first by that version. None of an app that this version has looked at before."""
    written = _written(app)
    named = any(volume.name for volume in written)
    if app.scaling.kept_writers is not None or named or not app.version.app.rolls_stop_first:
        return ()
    message = (
        f"{app.name} is replaced stop-first from this version of the controller on: it writes to "
        f"{naming_volumes(written)}; strategy.maxSurge: 1 lets old and new replica write at once, as before"
    )
    return (Event(now, "app", message, app.name),)


def same_policy(before: Scaling, after: Scaling) -> bool:
    """Whether two policies say the same in the same words: a default that is spelled out is a count that is given."""
    return before == after and before.model_fields_set == after.model_fields_set


def notices(apps: Iterable[AppState]) -> tuple[str, ...]:
    """What people should know of apps that keep several writers."""
    return tuple(sorted(_notice(app) for app in apps if app.scaling.kept_writers))


def _notice(app: AppState) -> str:
    kept, volumes = app.scaling.kept_writers, naming_volumes(_written(app))
    return (
        f"{app.name} keeps {kept} replicas, which write to {volumes} together: one is the rule for a "
        f"spec that gives no count. To go on so, write `scaling: {{mode: manual, replicas: {kept}}}` or a maxReplicas; "
        "to have one, `scaling: {mode: manual, replicas: 1}`"
    )


def _written(app: AppState) -> tuple[Volume, ...]:
    """The volumes that some version of an app writes to which replicas are created from: the newest one's or, after
    that failed, the stable one's."""
    if app.failed and app.stable and not app.version.app.written:
        return app.stable.app.written
    return app.version.app.written

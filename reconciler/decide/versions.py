"""Which version of an app is aimed at, and which one a container came from.

Both follow from the state alone. That a version has failed is decided elsewhere.
"""

from __future__ import annotations

from reconciler.model.app_state import AppState
from reconciler.model.version import Version


def target_of(app: AppState) -> Version:
    """The version to converge to: the newest one or, after it failed and is to be rolled back, the last stable one."""
    if app.failed and app.stable is not None and app.version.app.spec.strategy.on_failure == "rollback":
        return app.stable
    return app.version


def leading_of(app: AppState) -> Version:
    """The version that replicas are created from: the target or, while its failed rollout is paused, the one before."""
    target = target_of(app)
    return app.stable if is_paused(app, target) and app.stable is not None else target


def is_change(app: AppState, target: Version) -> bool:
    """Whether the target replaces another version: what a first deploy, a rollback and scaling never do."""
    return app.stable is not None and app.stable.spec_hash != target.spec_hash


def is_paused(app: AppState, target: Version) -> bool:
    """Whether the rollout to the target has failed and waits, as it is, for people."""
    return app.has_given_up(target.spec_hash)


def version_for(app: AppState, spec_hash: str) -> Version:
    """The version a container with this hash came from, as far as it is still known; else the newest."""
    target = target_of(app)
    if spec_hash == target.spec_hash:
        return target
    return next((version for version in app.versions if version.spec_hash == spec_hash), app.version)

"""Which images are worth a look at the host before anybody pulls them, and what a look has told.

An image that is there needs no action of its own, so a plan shows at once what will be created from it. One that was
not seen is no failure: it is ensured by an action, as one that must always be pulled is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.decide.versions import target_of
from reconciler.model.desired import Desired, Version
from reconciler.model.state import AppState

# Back-offs that end as soon as somebody has built, loaded or pulled the image.
_MISSING = frozenset({"ImageNotFound", "ImagePullFailed"})


def unsure(desired: Desired, apps: Mapping[str, AppState]) -> frozenset[str]:
    """The images of versions that replicas are to be created from, and which nobody has seen on the host yet."""
    return frozenset(
        version.app.spec.image
        for name, version in desired.apps.items()
        if _may_be_there_already(version) and _is_unsure(apps.get(name), version)
    )


def noted(apps: Mapping[str, AppState], seen: frozenset[str]) -> dict[str, AppState]:
    """The apps, with the knowledge that these images are on the host."""
    return {name: _noted(app, seen) for name, app in apps.items()}


def _may_be_there_already(version: Version) -> bool:
    return version.app.spec.image_pull_policy != "Always"


def _is_unsure(app: AppState | None, version: Version) -> bool:
    if app is None:
        return True
    return version.spec_hash not in (app.image_ready, app.failed.spec_hash if app.failed else None)


def _noted(app: AppState, seen: frozenset[str]) -> AppState:
    target = target_of(app)
    if target.app.spec.image not in seen or app.image_ready == target.spec_hash or not _may_be_there_already(target):
        return app
    missed = app.backoff is not None and app.backoff.reason in _MISSING
    return replace(app, image_ready=target.spec_hash, backoff=None if missed else app.backoff)

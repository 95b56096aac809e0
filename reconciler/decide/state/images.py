"""What a look at the host has told of images, before anybody pulls them.

An image that is there needs no action of its own, so a plan shows at once what will be created from it. One that was
not seen is no failure: it is ensured by an action, as one that must always be pulled is.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.decide.versions import target_of
from reconciler.model.reasons import Reason
from reconciler.model.state import AppState

# Back-offs that end as soon as somebody has built, loaded or pulled the image.
_MISSING = frozenset({Reason.IMAGE_NOT_FOUND, Reason.IMAGE_PULL_FAILED})


def noted(apps: Mapping[str, AppState], present: frozenset[str]) -> dict[str, AppState]:
    """The apps, once these images are known to be ``present`` on the host."""
    return {name: _noted(app, present) for name, app in apps.items()}


def _noted(app: AppState, present: frozenset[str]) -> AppState:
    target = target_of(app)
    spec = target.app.spec
    if spec.image not in present or app.image_ready == target.spec_hash or spec.image_pull_policy == "Always":
        return app
    app = app.image_found(target.spec_hash)
    missed = app.pacing.creation is not None and app.pacing.creation.reason in _MISSING
    return app.creation_recovered() if missed else app

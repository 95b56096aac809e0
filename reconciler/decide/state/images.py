"""What a look at the host tells of images: which build a version is made from, and whether it is there.

A version's reference is resolved once, and never looked up again: by the replicas that run of it already, or else by
what the name means when the version is first to be created. An image that is there needs no action of its own, so a
plan shows at once what will be created from it. One that is not there is no failure: it is ensured by an action, as one
that must always be pulled is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from reconciler.decide.versions import leading_of
from reconciler.model.app_state import AppState
from reconciler.model.image import Image, familiar, resolved, resolved_id
from reconciler.model.observed import Container, Observed
from reconciler.model.version import Version


def noted(apps: Mapping[str, AppState], observed: Observed) -> dict[str, AppState]:
    """The apps, once it is known which images their versions are, and which of them are on the host."""
    unresolved = {name for name, app in apps.items() if any(version.image is None for version in app.versions)}
    containers = _by_app(observed.containers, unresolved)
    images = observed.inventory.images
    return {
        name: _found(_resolved(app, containers.get(name, ()), images), images, observed.at)
        for name, app in apps.items()
    }


def moved(apps: Iterable[AppState], images: Mapping[str, Image]) -> Iterator[str]:
    """A notice for each app whose image's name has come to mean something else than what it runs."""
    for app in apps:
        reference, image = app.version.app.spec.image, app.version.image
        means = images.get(familiar(reference))
        if image and means and means.id != image.id:
            now = resolved_id(means.id, reference, images)
            yield (
                f"app {app.name}: {reference} means {now.short} by now; it stays with {image.short}, which it was "
                f"applied with, until its spec or restartToken changes"
            )


def _by_app(containers: Iterable[Container], app_names: set[str]) -> Mapping[str, list[Container]]:
    grouped: defaultdict[str, list[Container]] = defaultdict(list)
    for container in containers if app_names else ():
        if container.app_name in app_names and container.image_id:
            grouped[container.app_name].append(container)
    return grouped


def _resolved(app: AppState, containers: Iterable[Container], images: Mapping[str, Image]) -> AppState:
    """The app with what its replicas tell of the versions that nothing is recorded of: they were made before anything
    was, or the record is lost. Where they differ, the first tells."""
    for container in sorted(containers, key=lambda container: container.slot):
        versions = (version for version in app.versions if version.spec_hash == container.spec_hash)
        for version in versions:
            image = resolved_id(container.image_id, version.app.spec.image, images)
            app = app.image_resolved(version.spec_hash, image)
    return app


def _found(app: AppState, images: Mapping[str, Image], now: float) -> AppState:
    """The app, once it is known whether the image that replicas are to be created from is there."""
    leading = leading_of(app)
    ready = app.image_ready == leading.spec_hash
    if leading.image is None:
        image = resolved(leading.app.spec.image, images)
        if image is None or not _may_be_taken(leading, ready):
            return app
        app = app.image_resolved(leading.spec_hash, image)
    elif bool(images) and leading.image.id not in images:
        return app.image_lost() if ready else app
    elif not images:
        return app
    return app if ready else app.image_found(leading.spec_hash, now)


def _may_be_taken(version: Version, ready: bool) -> bool:
    """Whether the host's image of that name may be taken as it is; one that must always be pulled, only after that."""
    return ready or version.app.spec.image_pull_policy != "Always"

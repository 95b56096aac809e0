"""The Engine API client of docker-py, with an end to every wait, and with types where the library has none.

Two things of the library's are put right. It gives pulls no time-out, so a registry that stops talking would hold a
worker for ever. And underneath it, requests lets ``REQUESTS_CA_BUNDLE`` win over the certificate authority that
``DOCKER_CERT_PATH`` names.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import docker
from docker.errors import ImageNotFound

from reconciler.model.image import Image

# Between two signs of life of a pull; the Engine reports progress far more often than that.
SILENT_PULL_SECONDS = 300.0
# For a look of whoever has given itself no less.
_LOOK_SECONDS = 15.0


_bound = threading.local()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Within it, all looks of this thread together take no longer than that."""
    before = getattr(_bound, "ends_at", None)
    _bound.ends_at = time.monotonic() + seconds
    try:
        yield
    finally:
        _bound.ends_at = before


def seconds_left() -> float:
    """How long the next look of this thread may take."""
    ends_at = getattr(_bound, "ends_at", None)
    return _LOOK_SECONDS if ends_at is None else float(ends_at) - time.monotonic()


class BoundedClient(docker.APIClient):
    """An `APIClient` whose requests that change something always have a time-out, also where the library gives none."""

    def get(self, *arguments: Any, **options: Any) -> Any:
        """Send a request that only looks, for which somebody waits. Raises TimeoutError where the time is over that
        whoever asks has given all its looks together."""
        if options.get("timeout") is not None:
            options["timeout"] = min(options["timeout"], seconds_left())
            if options["timeout"] <= 0:
                raise TimeoutError("no time is left for another look")
        return super().get(*arguments, **options)

    def post(self, *arguments: Any, **options: Any) -> Any:
        if options.get("timeout") is None:
            options["timeout"] = SILENT_PULL_SECONDS
        began = time.monotonic()
        try:
            return super().post(*arguments, **options)
        finally:
            if getattr(_bound, "ends_at", None) is not None:  # what changes something is no look
                _bound.ends_at += time.monotonic() - began

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        return super().merge_environment_settings(url, proxies, stream, self.verify if verify is None else verify, cert)

    def create(self, body: dict[str, Any], name: str) -> str:
        """Create a container by the API's own JSON. Returns its id."""
        created: dict[str, str] = super().create_container_from_config(body, name)  # type: ignore[no-untyped-call]
        return created["Id"]

    def image_list(self) -> Mapping[str, Image]:
        """The images there are, by each of their names, with tag or digest, and by their ids."""
        listed: list[dict[str, Any]] = super().images()
        images: dict[str, Image] = {}
        for entry in listed:
            image = Image(entry["Id"], tuple(entry["RepoDigests"] or ()))
            images |= dict.fromkeys((image.id, *image.digests, *(entry["RepoTags"] or ())), image)
        return images

    def has_image(self, image: str) -> bool:
        """Whether the image is on the host."""
        try:
            super().inspect_image(image)  # type: ignore[no-untyped-call]
        except ImageNotFound:
            return False
        return True

"""The Engine API client of docker-py, with an end to every wait, and with types where the library has none.

Two things of the library's are put right. It gives pulls no time-out, so a registry that stops talking would hold a
worker for ever. And underneath it, requests lets ``REQUESTS_CA_BUNDLE`` win over the certificate authority that
``DOCKER_CERT_PATH`` names.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import ImageNotFound
from docker.utils import convert_filters
from urllib3.exceptions import ReadTimeoutError

from reconciler.model.image import Image

# Between two signs of life of a pull; the Engine reports progress far more often than that.
SILENT_PULL_SECONDS = 300.0
LOOK_SECONDS = 15.0
_PAST_EVENTS_SECONDS = 2.0


class BoundedClient(docker.APIClient):
    """An `APIClient` whose requests that change something always have a time-out, also where the library gives none."""

    def get(self, *arguments: Any, **options: Any) -> Any:
        """Send a request that only looks. The loop waits for it, and at nothing of it may an Engine that hangs hold up
        the loop for long."""
        if options.get("timeout") is not None:
            options["timeout"] = min(options["timeout"], LOOK_SECONDS)
        return super().get(*arguments, **options)

    def post(self, *arguments: Any, **options: Any) -> Any:
        if options.get("timeout") is None:
            options["timeout"] = SILENT_PULL_SECONDS
        return super().post(*arguments, **options)

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

    def signals_sent(self, container_id: str, since: float) -> set[int]:
        """The signals that were sent to a container since then (epoch seconds), as far as the Engine remembers: its
        last 256 events."""
        filters = convert_filters({"type": "container", "event": "kill", "container": container_id})
        parameters = {"since": f"{since:.6f}", "until": f"{max(since, time.time()):.6f}", "filters": filters}
        sent: set[int] = set()
        # An Engine whose clock is behind ours would wait for its own to come so far. Asked twice is better than never.
        with contextlib.suppress(OSError, ReadTimeoutError):
            # The library's own `events` has no time-out; what it is made of has no types.
            url = self._url("/events")  # type: ignore[attr-defined]
            response = self.get(url, params=parameters, stream=True, timeout=_PAST_EVENTS_SECONDS)
            self._raise_for_status(response)  # type: ignore[attr-defined]
            for event in self._stream_helper(response, decode=True):  # type: ignore[attr-defined]
                signal = event["Actor"]["Attributes"].get("signal", "")
                sent |= {int(signal)} if signal.isdecimal() else set()
        return sent

    def has_image(self, image: str) -> bool:
        """Whether the image is on the host."""
        try:
            super().inspect_image(image)  # type: ignore[no-untyped-call]
        except ImageNotFound:
            return False
        return True

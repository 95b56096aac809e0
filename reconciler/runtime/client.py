"""The Engine API client of docker-py, with an end to every wait, and with types where the library has none.

The one door for whatever changes anything on the Engine: no such request leaves without the `Fence`, which is asked at
the last moment, when there is nothing left to do but to write to the socket: a busy process may be stopped anywhere
between its own lines, and each of them before that is one where a successor can take over. And two things of
the library's are put right. It gives pulls no time-out, so a registry that stops talking would hold a
worker for ever. And underneath it, requests lets ``REQUESTS_CA_BUNDLE`` win over the certificate authority that
``DOCKER_CERT_PATH`` names.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection
from typing import Any

import docker
from docker.errors import ImageNotFound
from docker.utils import convert_filters
from urllib3.exceptions import ReadTimeoutError

from reconciler.model.image import Image
from reconciler.ports import Fence, no_fence

# Between two signs of life of a pull; the Engine reports progress far more often than that.
SILENT_PULL_SECONDS = 300.0
_PAST_EVENTS_SECONDS = 2.0
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


_ONLY_LOOKS = ("GET", "HEAD")


class BoundedClient(docker.APIClient):
    """An `APIClient` whose requests that change something always have a time-out, also where the library gives none;
    ``fence`` is asked right before each of them is sent."""

    def __init__(self, *, fence: Fence = no_fence, **options: Any) -> None:
        self._fence = fence
        super().__init__(**options)

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request: all of them come this way, whichever call made them."""
        adapter: Any = self.get_adapter(url=request.url)
        ways = {name: options.get(name) for name in ("verify", "proxies", "cert")}
        pool = adapter.get_connection_with_tls_context(request, **ways)
        if not isinstance(pool._new_conn, _FencedConnections):
            pool._new_conn = _FencedConnections(pool._new_conn, self._fence)
        return super().send(request, **options)

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


class _Fenced(HTTPConnection):
    """What a connection is as well that asks ``fence`` right before it writes of a request that changes something. The
    libraries have no other place for that which is late enough."""

    fence: Fence
    _to_be_asked = False

    def putrequest(self, method: str, *arguments: Any, **options: Any) -> None:
        self._to_be_asked = method not in _ONLY_LOOKS
        super().putrequest(method, *arguments, **options)

    def send(self, data: Any) -> None:
        if self._to_be_asked:
            self._to_be_asked = False
            if self.sock is None:
                self.connect()
            self.fence()
        super().send(data)


@cache
def _fenced(kind: type[HTTPConnection]) -> type[_Fenced]:
    return type(f"Fenced{kind.__name__}", (_Fenced, kind), {})


@dataclass(frozen=True)
class _FencedConnections:
    """Makes the connections of a pool, as ``make`` does without a fence."""

    make: Callable[[], HTTPConnection]
    fence: Fence

    def __call__(self) -> HTTPConnection:
        connection = self.make()
        connection.__class__ = kind = _fenced(connection.__class__)  # type: ignore[arg-type]
        assert isinstance(connection, kind)
        connection.fence = self.fence
        return connection

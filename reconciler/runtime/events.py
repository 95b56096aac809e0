"""The Engine's event stream: it wakes the loop, and says which containers deserve a closer look.

Nothing is decided by an event. A missed one costs latency, never correctness, since every tick lists everything; so
this thread only has to be quick, and to come back when the stream breaks. It then asks for what it has missed,
by the Engine's own clock.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping

from docker.types import CancellableStream

from reconciler.loud_thread import LoudThread
from reconciler.ports import Unavailable
from reconciler.runtime.deaths import Deaths
from reconciler.runtime.engine import Engine
from reconciler.runtime.images import HostImages
from reconciler.runtime.translate import Json, is_ours

FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 10.0
_PAUSE_GROWTH = 2.0

# Left out: the many events of health commands, copies and terminals, which change nothing of a container's state.
_OF_CONTAINERS = ["start", "die", "oom", "pause", "unpause", "rename", "destroy"]
_OF_IMAGES = ["pull", "load", "import", "tag", "untag", "delete"]
_FILTERS = {"type": ["container", "network", "image"], "event": _OF_CONTAINERS + _OF_IMAGES}


class EventWatch:
    """Follows the events of one instance's containers, from `start` to `close`, on a thread of its own.

    ``deaths`` learn of its containers, ``images`` that something happened to one, ``network_destroyed`` of the name of
    any network that is gone. ``begun`` is called whenever it begins to follow an Engine, which may be started anew by
    then. ``on_death_of`` names containers that are no replicas, and what to call at once when one of them has died.
    """

    def __init__(
        self,
        engine: Engine,
        instance: str,
        deaths: Deaths,
        images: HostImages,
        network_destroyed: Callable[[str], None],
        wake: Callable[[], None],
        *,
        begun: Callable[[], None] = lambda: None,
        on_death_of: Mapping[str, Callable[[], None]] | None = None,
    ) -> None:
        self._begun = begun
        self._on_death_of = on_death_of or {}
        self._engine = engine
        self._instance = instance
        self._deaths = deaths
        self._images = images
        self._network_destroyed = network_destroyed
        self._wake = wake
        self._closed = threading.Event()
        self._thread = LoudThread(self._run, "engine-events")
        self._stream: CancellableStream[Json] | None = None
        self._seen_until = ""
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._thread.ident is None:
            self._thread.start()

    def check(self) -> None:
        """Raises where a bug has ended it."""
        self._thread.check()

    def close(self) -> None:
        """End at once."""
        self._closed.set()
        if (stream := self._stream) is not None:
            _cut(stream)
        if self._thread.ident is not None:
            self._thread.join()

    def tell(self, event: Json) -> None:
        """Read one event: what it says goes where it is kept, and the loop is woken where it concerns us."""
        self._seen_until = f"{event['timeNano'] // 10**9}.{event['timeNano'] % 10**9:09d}"
        attributes = event["Actor"].get("Attributes") or {}
        if event["Type"] == "image":
            self._images.forget()
            self._wake()
            return
        if event["Type"] == "network":
            if event["Action"] == "destroy":
                self._network_destroyed(attributes.get("name", ""))
                self._wake()
            return
        if event["Action"] == "die" and (tell := self._on_death_of.get(attributes.get("name", ""))):
            tell()
        if not is_ours(attributes, self._instance):
            return
        container_id = event["Actor"]["ID"]
        match event["Action"]:
            case "start" | "destroy":
                self._deaths.started(container_id)
            case "oom":
                self._deaths.ran_out_of_memory(container_id)
            case "die":
                code = attributes.get("exitCode", "")
                self._deaths.died(container_id, int(code) if code.isdecimal() else None)
        self._wake()

    def _run(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(Unavailable):  # the loop meets it as well, and reports it
                self._follow()
            self._closed.wait(self._pause_seconds)
            self._pause_seconds = min(LAST_PAUSE_SECONDS, self._pause_seconds * _PAUSE_GROWTH)

    def _follow(self) -> None:
        """Read events until the stream ends."""
        with self._engine.read() as api:
            # The Engine takes parts of a second, which the library's types don't know.
            stream = api.events(decode=True, filters=_FILTERS, since=self._seen_until or None)  # type: ignore[call-overload]
            self._stream = stream
            try:
                if self._closed.is_set():
                    return
                self._pause_seconds = FIRST_PAUSE_SECONDS
                self._images.follow(True)
                self._begun()
                self._wake()  # for what may have happened meanwhile
                for event in stream:
                    self.tell(event)
            finally:
                self._deaths.missed()
                self._images.follow(False)
                self._stream = None
                _cut(stream)


def _cut(stream: CancellableStream[Json]) -> None:
    """Close a stream from whichever thread; one that has ended by itself has no socket any more to close."""
    with contextlib.suppress(OSError, AttributeError):
        stream.close()

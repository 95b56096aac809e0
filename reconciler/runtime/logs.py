"""The logs of one app's containers: line by line, merged in order of time, without the values of their secrets.

Decides which lines belong to whom and in which order they come. Only reads, and only of containers that are ours. It
holds no log in memory: a part of each container's at a time, however much there is.
"""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, Queue
from typing import Any

from docker.errors import APIError

from reconciler.loud_thread import LoudThread
from reconciler.model.observed import Container
from reconciler.ports import Unavailable
from reconciler.runtime.engine import Engine, sentence_of
from reconciler.runtime.translate import APP, Json, ownership_labels, read_listing, secret_lines, without_secrets

# The rest of a longer line is left out.
MAX_LINE_BYTES = 64 * 1024
# How often to look for containers that came, or came back.
LOOK_AGAIN_SECONDS = 1.0
_WAITING_LINES = 1000
# No such container; or one that is being removed.
_GONE = (404, 409)

_STAMP = re.compile(rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z) ?")


@dataclass(frozen=True, slots=True, order=True)
class LogLine:
    """One line that a replica wrote; ``at`` is when, as the Engine has it: RFC 3339, to the nanosecond. ``remark``: not
    written by it, but said of it."""

    at: str
    replica: str
    text: str = field(compare=False)
    container_id: str = field(default="", compare=False)
    remark: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose lines, and how many: of all replicas of an app or of one slot, at most the ``tail`` last of each, none
    before ``since`` (epoch seconds)."""

    app_name: str
    slot: int | None = None
    since: float | None = None
    tail: int = 100


class ContainerLogs:
    """What containers of one instance wrote, as the Engine keeps it. Raises Unavailable where no Engine answers."""

    def __init__(self, engine: Engine, instance: str, network: str) -> None:
        self._engine = engine
        self._instance = instance
        self._network = network

    def containers(self, selection: Selection) -> tuple[Container, ...]:
        """Those that there are now, by slot."""
        labels = ownership_labels(self._instance) | {APP: selection.app_name}
        wanted = {"label": [f"{key}={value}" for key, value in labels.items()]}
        with self._engine.read() as api:
            listed = api.containers(all=True, filters=wanted)
        try:
            containers = read_listing(listed, self._instance, self._network).containers
        except ValueError as error:
            raise Unavailable(f"the Docker Engine lists a container of ours oddly: {error}") from error
        ours = (container for container in containers if selection.slot in (None, container.slot))
        return tuple(sorted(ours, key=lambda container: (container.slot, container.name)))

    def written(self, selection: Selection) -> Iterator[LogLine]:
        """What they have written so far, in order of time."""
        lines = [self.lines_of(container, selection.since, selection.tail) for container in self.containers(selection)]
        yield from heapq.merge(*lines)

    def followed(self, selection: Selection) -> Iterator[LogLine]:
        """What they have written so far, and then whatever they write, also those that come later. Never ends."""
        read_until: dict[str, str] = {}
        known, begin = self.containers(selection), _stamp(time.time())
        past = [self.lines_of(container, selection.since, selection.tail) for container in known]
        for line in heapq.merge(*past):
            read_until[line.container_id] = line.at
            yield line
        follower = _Follower(self, {container.id: read_until.get(container.id) or begin for container in known})
        while True:
            for container in self.containers(selection):
                follower.read(container)
            yield from follower.lines(LOOK_AGAIN_SECONDS)

    def lines_of(
        self, container: Container, since: float | None, tail: int | None, *, follow: bool = False
    ) -> Iterator[LogLine]:
        """The lines of one container; a remark where its log can't be read, nothing where it is gone."""
        options: dict[str, Any] = {"tail": "all" if tail is None else tail, "follow": follow}
        if since is not None and since > 0:
            options["since"] = since
        try:
            with self._engine.reach() as api:
                config = api.inspect_container(container.id)["Config"]
                stream: Any = api.logs(container.id, stream=True, timestamps=True, **options)
                try:
                    for at, text in _split(stream, config):
                        yield LogLine(at, container.name, text, container.id)
                finally:
                    stream.close()
        except APIError as error:
            if error.status_code in _GONE:
                return
            text = f"(its log can't be read: {sentence_of(error)})"
            yield LogLine("", container.name, text, container.id, remark=True)


class _Follower:
    """Reads containers, each on a thread of its own; ``read_until`` has the time of the last line read of each."""

    def __init__(self, logs: ContainerLogs, read_until: dict[str, str]) -> None:
        self._logs = logs
        self._read_until = read_until
        self._queue: Queue[LogLine | Unavailable] = Queue(_WAITING_LINES)
        self._threads: dict[str, LoudThread] = {}
        self._unreadable: set[str] = set()

    def read(self, container: Container) -> None:
        """Read what it has written since, and on until it ends; it may be started again later."""
        thread = self._threads.get(container.id)
        if thread is not None:
            thread.check()
        if container.id in self._unreadable or (thread is not None and thread.is_alive()):
            return
        self._threads[container.id] = LoudThread(lambda: self._run(container), f"logs-{container.name}")
        self._threads[container.id].start()

    def lines(self, seconds: float) -> Iterator[LogLine]:
        """The lines that come within so many seconds."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with suppress(Empty):
                line = self._queue.get(timeout=left)
                if isinstance(line, Unavailable):
                    raise line
                yield line

    def _run(self, container: Container) -> None:
        before = self._read_until.get(container.id, "")
        try:
            for line in self._logs.lines_of(container, _second(before), None, follow=True):
                if line.remark:
                    self._unreadable.add(container.id)
                elif line.at <= before:
                    continue
                else:
                    self._read_until[container.id] = line.at
                self._queue.put(line)
        except Unavailable as error:
            self._queue.put(error)


def _stamp(at: float) -> str:
    """A moment as the Engine writes it."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S.%f}000Z"


def _second(stamp: str) -> float | None:
    """The whole second that a moment is in; None for none."""
    return datetime.fromisoformat(f"{stamp[:19]}+00:00").timestamp() if stamp else None


def _split(parts: Iterator[bytes], config: Json) -> Iterator[tuple[str, str]]:
    """Time and text of each line. The Engine sends lines, long ones in several parts, each with its time; of a terminal
    it sends what comes, byte by byte."""
    line = bytearray()
    for part in parts:
        if line and len(part) > 1:
            part = _STAMP.sub(b"", part, count=1) if _STAMP.match(part) else part
        room = MAX_LINE_BYTES - len(line)
        line += part if len(part) <= room else part[: max(0, room)]
        if part.endswith(b"\n"):
            yield _read(bytes(line), config)
            line.clear()
    if line:
        yield _read(bytes(line), config)


def _read(line: bytes, config: Json) -> tuple[str, str]:
    """Time and text of a line, the text without secrets; of one that was cut off, without the beginning of one."""
    stamp = _STAMP.match(line)
    at, text = (stamp[1].decode(), line[stamp.end() :]) if stamp else ("", line)
    shown = without_secrets(text.decode(errors="replace").rstrip("\r\n"), config)
    if len(line) < MAX_LINE_BYTES:
        return at, shown
    longest = max((len(secret) for secret in secret_lines(config)), default=0)
    return at, f"{shown[: len(shown) - longest]}…"

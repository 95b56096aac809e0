"""An open-loop load: requests leave on a schedule fixed beforehand, whatever becomes of the ones before.

What it measures is what clients notice while the system changes: what failed and how, how long answers took (from when
each request was due, so that a stalled system can't hide behind fewer requests), and for how long nothing was answered.
It runs in a process of its own and costs about a quarter of a millisecond of cpu a request, so that cores are left for
what is being measured. It never retries, except for the client whose very point it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import Literal


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of client: what it sends, and how often.

    Without ``keep_alive`` each request has a connection of its own; with it, ``clients`` take turns, each with one
    connection that it keeps, and opens anew once it has noticed that it was closed. A request sent on a kept connection
    that turns out to be closed has failed, unless ``retries``: then it goes out once more on a new one, as browsers
    and HTTP libraries do it.
    """

    name: str
    path: str
    per_second: float
    method: Literal["GET", "POST"] = "GET"
    keep_alive: bool = True
    retries: bool = False
    clients: int = 16
    timeout_seconds: float = 15.0

    @property
    def message(self) -> bytes:
        """A whole request."""
        body = b"x" * 256 if self.method == "POST" else b""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        kept = "" if self.keep_alive else "Connection: close\r\n"
        return f"{self.method} {self.path} HTTP/1.1\r\nHost: localhost\r\n{length}{kept}\r\n".encode() + body


def everyone(prefix: str = "/web", per_second: float = 100.0, slow_per_second: float = 1.0) -> tuple[Stream, ...]:
    """All kinds of clients of the demo app at ``prefix``, each sending so often; and requests of 5 s."""
    return (
        Stream("keep-alive GET", f"{prefix}/", per_second),
        Stream("keep-alive POST", f"{prefix}/echo", per_second, method="POST"),
        Stream("retrying GET", f"{prefix}/", per_second, retries=True),
        Stream("close GET", f"{prefix}/", per_second, keep_alive=False),
        Stream("5 s GET", f"{prefix}/slow?ms=5000", slow_per_second, keep_alive=False),
    )


def forgiving(prefix: str = "/web", per_second: float = 50.0) -> tuple[Stream, ...]:
    """The clients that no planned operation may ever fail: those that retry a closed idle connection, or have none."""
    return tuple(s for s in everyone(prefix, per_second) if s.name in ("retrying GET", "close GET"))


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that was not answered with 200. Times in epoch seconds.

    ``reason``: ``refused``, ``unreachable``, ``reset``, ``closed`` (without, or in the middle of, an answer),
    ``time-out``, or the status that was answered.
    """

    sent_at: float
    ended_at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of one stream's requests. ``lag_ms`` is how late the load itself sent one at worst."""

    sent: int
    retried: int
    failures: tuple[Failure, ...]
    p50_ms: float
    p99_ms: float
    longest_gap_seconds: float
    lag_ms: float

    @property
    def failed(self) -> int:
        return len(self.failures)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(failure.reason for failure in self.failures)


@dataclass
class Load:
    """``tallies``, by the stream's name, are there once the load has ended."""

    tallies: dict[str, Tally] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, Counter[str]]:
        """How often which kind of client failed in which way; empty where nothing did."""
        return {name: tally.reasons for name, tally in self.tallies.items() if tally.failures}


@contextlib.contextmanager
def load(port: int, streams: Sequence[Stream], *, host: str = "127.0.0.1") -> Iterator[Load]:
    """Load while the block runs; requests in flight at its end are still waited for."""
    ours, theirs = multiprocessing.Pipe()
    arguments = (host, port, tuple(streams), theirs)
    process = multiprocessing.get_context("spawn").Process(target=_run, args=arguments, daemon=True)
    process.start()
    theirs.close()
    running = Load()
    try:
        ours.recv()  # it has begun
        yield running
        ours.send("stop")
        running.tallies = ours.recv()
    finally:
        ours.close()
        process.join()


# -- in the process of its own ----------------------------------------------------------------------------------------


def _run(host: str, port: int, streams: tuple[Stream, ...], pipe: Pipe) -> None:
    asyncio.run(_all(host, port, streams, pipe))


async def _all(host: str, port: int, streams: tuple[Stream, ...], pipe: Pipe) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), stop.set)
    senders = [_Sender(stream, host, port) for stream in streams]
    pipe.send("begun")
    # Apart by a fraction of a period, so that streams of one rate don't all send at the same moments.
    offsets = (number / len(senders) / sender.stream.per_second for number, sender in enumerate(senders))
    await asyncio.gather(*(sender.run(offset, stop) for sender, offset in zip(senders, offsets, strict=True)))
    with contextlib.suppress(BrokenPipeError):  # whoever started us has given up
        pipe.send({sender.stream.name: sender.tally() for sender in senders})


class _Lost(Exception):
    """The connection ended before the answer did. ``untouched``: not a byte of an answer had come."""

    def __init__(self, reason: str, *, untouched: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.untouched = untouched


class _Connection(asyncio.Protocol):
    """One connection, with at most one request on it at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[int] | None = None
        self.open = True

    @property
    def idle(self) -> bool:
        return self.open and self._answer is None

    async def ask(self, message: bytes) -> int:
        """Send the request; the status of its answer. Raises _Lost."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        try:
            return await self._answer
        finally:
            self._answer = None

    def close(self) -> None:
        self.open = False
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or self._answer is None or self._answer.done():
            return
        headers = head.lower().split(b"\r\n")
        if len(body) < _content_length(headers):
            return
        self._received = b""
        if b"connection: close" in headers:
            self.close()
        self._answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._answer and not self._answer.done():
            reason = "reset" if error else "closed"
            self._answer.set_exception(_Lost(reason, untouched=not self._received))


def _content_length(headers: list[bytes]) -> int:
    return next((int(line[15:]) for line in headers if line.startswith(b"content-length:")), 0)


class _Sender:
    """Sends one stream's requests on time, and keeps what became of them."""

    def __init__(self, stream: Stream, host: str, port: int) -> None:
        self.stream = stream
        self._message = stream.message
        self._where = (host, port)
        self._kept: list[_Connection | None] = [None] * stream.clients
        self._sent = self._retried = 0
        self._lag_seconds = 0.0
        self._seconds: list[float] = []
        self._failures: list[Failure] = []
        self._answered_at: list[float] = []

    async def run(self, offset_seconds: float, stop: asyncio.Event) -> None:
        """Send until told to stop, then wait for what is in flight."""
        begin = time.monotonic() + offset_seconds
        self._answered_at.append(begin)
        async with asyncio.TaskGroup() as requests:
            for number in itertools.count():
                due = begin + number / self.stream.per_second
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))
                if stop.is_set():
                    break
                self._sent += 1
                self._lag_seconds = max(self._lag_seconds, time.monotonic() - due)
                requests.create_task(self._request(number % self.stream.clients, due))
        self._answered_at.append(time.monotonic())
        for connection in self._kept:
            if connection:
                connection.close()

    async def _request(self, client: int, due: float) -> None:
        sent_at = time.time()
        try:
            async with asyncio.timeout(self.stream.timeout_seconds):
                reason = await self._try(client)
        except TimeoutError:
            reason = "time-out"
            self._kept[client] = None
        if reason == "200":
            now = time.monotonic()
            self._seconds.append(now - due)
            self._answered_at.append(now)
        else:
            self._failures.append(Failure(sent_at, time.time(), reason))

    async def _try(self, client: int) -> str:
        """The status answered, or why there was no answer."""
        kept = self._kept[client]
        if kept is not None and kept.idle:
            try:
                return str(await kept.ask(self._message))
            except _Lost as lost:
                if not (self.stream.retries and lost.untouched):
                    return lost.reason
                self._retried += 1
        try:
            return str(await self._ask_anew(client))
        except _Lost as lost:
            return lost.reason
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "unreachable"

    async def _ask_anew(self, client: int) -> int:
        """One request on a new connection, which the client keeps afterwards."""
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, *self._where)
        if not self.stream.keep_alive:
            try:
                return await connection.ask(self._message)
            finally:
                connection.close()
        before, self._kept[client] = self._kept[client], connection
        if before and before.idle:
            before.close()
        return await connection.ask(self._message)

    def tally(self) -> Tally:
        spans = statistics.quantiles(self._seconds, n=100) if len(self._seconds) > 1 else [0.0] * 99
        moments = sorted(self._answered_at)
        return Tally(
            sent=self._sent,
            retried=self._retried,
            failures=tuple(self._failures),
            p50_ms=spans[49] * 1000,
            p99_ms=spans[98] * 1000,
            longest_gap_seconds=max(after - before for before, after in itertools.pairwise(moments)),
            lag_ms=self._lag_seconds * 1000,
        )

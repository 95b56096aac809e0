"""One check of one container: ask once, and say in a few words what came of it.

Every failure to answer is a failed check with a readable detail, never an exception: `decide` weighs answers, and a
misbehaving app must not be able to disturb more than its own verdict. So nothing here follows a redirect, keeps a
cookie, reads the environment's proxies, decompresses, or reads on for longer or further than its bounds.

Every answer begins with what was asked, so that people can ask the same: method, address and path, and nothing of what
a spec's headers, query and body hold. What a failing app said is shown without the values of its secrets, and not at
all while nobody can tell what those are.
"""

from __future__ import annotations

import errno
import functools
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

from reconciler.model.plan import ProbeTarget
from reconciler.model.spec_types import without_query
from reconciler.ports import Unavailable
from reconciler.probe.sockets import Connections
from reconciler.probe.trust import Trust, Untrusted

MAX_BODY_BYTES = 64 * 1024
MAX_DETAIL_LENGTH = 200
MAX_CODES_SHOWN = 8
_CHUNK_BYTES = 16 * 1024
_OF_THE_NETWORK = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}
_HEADERS = {"User-Agent": "orchestry-probe", "Accept": "*/*", "Connection": "close"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a check: whether it passed, and what was asked and found, in at most a line of printable text.
    ``unreached``: the network failed, and the program was not asked."""

    ok: bool
    detail: str
    unreached: bool = False


Check = Callable[[], Answer]
# Makes the secrets of one container unreadable in a text.
Redactor = Callable[[str], str]
# The redactor of a container, by its id. May raise Unavailable.
RedactorOf = Callable[[str], Redactor]


def check_for(
    target: ProbeTarget, connections: Connections, redactor_of: RedactorOf, secrets_dir: Path | None = None
) -> Check:
    """The check a target asks for, ready to be made any number of times, by one thread at a time. ``secrets_dir`` holds
    the CAs that replicas are known by."""
    protocol = target.check.protocol
    if protocol == "TCP":
        return TcpCheck(target, connections)
    trust = Trust(target.tls, secrets_dir, ("h2",) if protocol == "GRPC" else ("http/1.1",)) if target.tls else None
    if protocol == "GRPC":
        from reconciler.probe.grpc import GrpcCheck

        return GrpcCheck(target, connections, redactor_of, trust)
    return HttpCheck(target, connections, redactor_of, trust)


def asked_of(target: ProbeTarget) -> str:
    """What a check asks, as people would write it: ``GET http://172.18.0.4:8080/healthz``, ``tcp 172.18.0.4:5432``,
    ``grpc 172.18.0.4:9090 shop.Orders``."""
    place, check = f"{target.address}:{target.port}", target.check
    if check.protocol == "TCP":
        return f"tcp {place}"
    if check.protocol == "GRPC":
        return f"grpc{'s' if target.tls else ''} {place} {check.service}".rstrip()
    return _cut_off(f"{check.method} {check.protocol.lower()}://{place}{without_query(check.path)}")


class Excerpts:
    """What one app said, as far as it may be shown."""

    def __init__(self, target: ProbeTarget, redactor_of: RedactorOf) -> None:
        self._container_id = target.container_id
        self._redactor_of = redactor_of
        self._redactor: Redactor | None = None

    def of(self, text: str) -> str:
        """The first line of the text, printable and without the app's secrets."""
        if not text.strip():
            return ""
        try:
            if self._redactor is None:  # asked for once, by the first failure: an environment stays what it is
                self._redactor = self._redactor_of(self._container_id)
        except Unavailable:
            return "(not shown: the Engine can't tell which secrets may be in it)"
        # Before anything is cut off: a part of a secret would not be found.
        return _printable(self._redactor(text).lstrip().partition("\n")[0])


class TcpCheck:
    """A check that passes when the port accepts a connection."""

    def __init__(self, target: ProbeTarget, connections: Connections) -> None:
        self._target = target
        self._connections = connections

    def __call__(self) -> Answer:
        target = self._target
        asked = asked_of(target)
        try:
            self._connections.open(target.address, target.port, target.check.timeout_seconds).close()
        except OSError as error:
            detail = explain(error, target.check.timeout_seconds) or error
            return Answer(False, f"{asked}: {detail}", is_unreached(error))
        return Answer(True, f"{asked}: accepts connections")


class HttpCheck:
    """A check that passes when a complete answer with an expected status arrives in time, on a connection of its
    own."""

    def __init__(
        self, target: ProbeTarget, connections: Connections, redactor_of: RedactorOf, trust: Trust | None = None
    ) -> None:
        self._target = target
        self._excerpts = Excerpts(target, redactor_of)
        self._asked = asked_of(target)
        self._adapter = _BoundedAdapter(target, connections, trust)
        self._request: requests.PreparedRequest | None = None

    def __call__(self) -> Answer:
        timeout_seconds = self._target.check.timeout_seconds
        try:
            status, body = self._exchange(timeout_seconds)
        except Exception as error:  # noqa: BLE001 whatever bytes make the libraries raise, it is a failed check
            detail = explain(error, timeout_seconds) or self._excerpts.of(str(error)) or type(error).__name__
            return Answer(False, f"{self._asked}: {detail}", is_unreached(error))
        return self._judge(status, body)

    def _exchange(self, timeout_seconds: float) -> tuple[int, bytes]:
        """Status and the beginning of the body.

        By the adapter, not by a session: a session reads a redirect's whole body and parses its target even
        when told not to follow it.
        """
        if self._request is None:
            self._request = _prepare(self._target)
        with self._adapter.send(self._request, stream=True, timeout=timeout_seconds) as response:
            return response.status_code, _read_body(response.raw)

    def _judge(self, status: int, body: bytes) -> Answer:
        expected, answered = self._target.check.expected_status_codes, f"{self._asked}: answered {status}"
        if status in expected if expected else 200 <= status <= 299:
            return Answer(True, answered)
        excerpt = self._excerpts.of(body.decode(errors="replace"))
        wrong = f"{answered}, expected {' or '.join(map(str, expected[:MAX_CODES_SHOWN])) or '2xx'}"
        return Answer(False, f"{wrong}: {excerpt}" if excerpt else wrong)


class _BoundedAdapter(HTTPAdapter):
    """requests' transport to one port, over a new connection each time, so that a check proves that the app accepts."""

    def __init__(self, target: ProbeTarget, connections: Connections, trust: Trust | None) -> None:
        super().__init__()
        self._pool = urllib3.HTTPConnectionPool(target.address, target.port, maxsize=1)
        self._pool.ConnectionCls = functools.partial(_BoundedConnection, connections, trust)  # type: ignore[assignment]

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> urllib3.HTTPConnectionPool:
        return self._pool


class _BoundedConnection(HTTPConnection):
    """An HTTP connection, with TLS where there is a trust, whose time-out bounds everything from connecting to the last
    byte."""

    def __init__(self, connections: Connections, trust: Trust | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections = connections
        self._trust = trust

    def connect(self) -> None:
        assert self.timeout is not None
        try:
            connection = self._connections.open(self.host, self.port, self.timeout)
            try:
                self.sock = self._trust.over(connection) if self._trust else connection
            except BaseException:
                connection.close()
                raise
        except OSError as error:
            # In the pool's own words: it passes over a bare reset, and goes on without a socket.
            raise NewConnectionError(self, "can't connect") from error


def _prepare(target: ProbeTarget) -> requests.PreparedRequest:
    check = target.check
    headers = _HEADERS | {header.name: header.value for header in check.headers}
    url = f"{check.protocol.lower()}://{target.address}:{target.port}{check.path}"
    request = requests.Request(check.method, url, headers=headers, data=check.body.encode() or None).prepare()
    request.url = url  # as it is written: what is quoted in a query stays quoted
    return request


def _read_body(raw: urllib3.HTTPResponse) -> bytes:
    """The body up to the bound; what lies beyond it is not asked for."""
    body = b""
    while len(body) < MAX_BODY_BYTES and (chunk := raw.read(_CHUNK_BYTES, decode_content=False)):
        body += chunk
    return body


def explain(error: BaseException, timeout_seconds: float) -> str:
    """What went wrong, in words that make sense to whoever wrote the app; "" where only the library has words."""
    causes = list(_causes(error))
    if reasons := [str(cause) for cause in causes if isinstance(cause, Untrusted)]:
        return reasons[0]
    for cause in causes:
        match cause:
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {cause.verify_message}"
            case ssl.SSLError():
                return f"no TLS: {(cause.reason or 'broken off').replace('_', ' ').lower()}"
            case TimeoutError():
                return f"no answer within {timeout_seconds:g} s"
            case ConnectionRefusedError():
                return "connection refused"
            case RemoteDisconnected() | IncompleteRead() | ConnectionResetError() | BrokenPipeError():
                return "closed the connection before the answer was complete"
            case BadStatusLine():
                return "answered with something that is not HTTP"
            case OSError(errno=int(number)):
                return os.strerror(number).lower()
    return ""


def is_unreached(error: BaseException) -> bool:
    """Whether it is the network that failed."""
    return any(isinstance(cause, OSError) and cause.errno in _OF_THE_NETWORK for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors that a library has wrapped into this one, the innermost first."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    return reversed(chain)


def _printable(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * MAX_DETAIL_LENGTH]).strip()
    return _cut_off(shown)


def _cut_off(text: str) -> str:
    return text if len(text) <= MAX_DETAIL_LENGTH else text[: MAX_DETAIL_LENGTH - 1] + "…"

"""The standard gRPC health check (grpc.health.v1.Health/Check) of one replica: one call, on a connection of its own.

HTTP/2 is a library's (h2), which opens no connection and waits for nothing, so that the bounds of a check are those of
its socket, and a check that hangs is cut off with the others. What is asked and answered is two fields of protobuf, by
hand: a name, and a number. Apart from `checks`, so that only whoever has such a check loads the library.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from reconciler.model.plan import ProbeTarget
from reconciler.probe.checks import Answer, Excerpts, RedactorOf, asked_of, explain, is_unreached
from reconciler.probe.sockets import Connections
from reconciler.probe.trust import Trust

MAX_ANSWER_BYTES = 64 * 1024
_CHUNK_BYTES = 16 * 1024
_PATH = "/grpc.health.v1.Health/Check"
_SERVING = 1
_STATUSES = {0: "UNKNOWN", _SERVING: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_CODES = {
    "5": "the app knows no such service (NOT_FOUND)",
    "12": "the app has no grpc.health.v1.Health (UNIMPLEMENTED)",
}


class GrpcCheck:
    """A check that passes when the app says in time that it is SERVING."""

    def __init__(
        self, target: ProbeTarget, connections: Connections, redactor_of: RedactorOf, trust: Trust | None
    ) -> None:
        self._target = target
        self._connections = connections
        self._excerpts = Excerpts(target, redactor_of)
        self._trust = trust
        self._asked = asked_of(target)

    def __call__(self) -> Answer:
        try:
            headers, body = self._call()
        except h2.exceptions.ProtocolError:
            return Answer(False, f"{self._asked}: answered with something that is not HTTP/2")
        except Exception as error:  # noqa: BLE001 whatever bytes make the libraries raise, it is a failed check
            detail = explain(error, self._target.check.timeout_seconds) or self._excerpts.of(str(error))
            return Answer(False, f"{self._asked}: {detail or type(error).__name__}", is_unreached(error))
        return self._judge(headers, body)

    def _call(self) -> tuple[dict[str, str], bytes]:
        """The headers of the answer, those after its body included, and the body."""
        target = self._target
        opened = self._connections.open(target.address, target.port, target.check.timeout_seconds)
        with opened:
            connection = self._trust.over(opened) if self._trust else opened
            state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
            state.initiate_connection()
            state.send_headers(1, list(self._headers()))
            state.send_data(1, _message(target.check.service), end_stream=True)
            return _answer(state, connection)

    def _headers(self) -> Iterator[tuple[str, str]]:
        target = self._target
        own = {header.name.lower(): header.value for header in target.check.headers}
        yield ":method", "POST"
        yield ":scheme", "https" if self._trust else "http"
        yield ":authority", own.pop("host", f"{target.address}:{target.port}")
        yield ":path", _PATH
        yield "te", "trailers"
        yield "content-type", "application/grpc"
        yield from ({"user-agent": "orchestry-probe"} | own).items()

    def _judge(self, headers: dict[str, str], body: bytes) -> Answer:
        code, status = headers.get("grpc-status"), headers.get(":status", "")
        if code is None:
            return Answer(False, f"{self._asked}: answered {status}, and no gRPC")
        if code != "0":
            said = self._excerpts.of(unquote(headers.get("grpc-message", "")))
            words = _CODES.get(code, f"answered with the gRPC status {self._excerpts.of(code)}")
            return Answer(False, f"{self._asked}: {words}{f': {said}' if said else ''}")
        serving = _serving_status(body)
        return Answer(serving == _SERVING, f"{self._asked}: {_STATUSES.get(serving, f'status {serving}')}")


def _message(service: str) -> bytes:
    """A HealthCheckRequest, with the frame gRPC puts around it: the service is field 1."""
    name = service.encode()
    size = len(name).to_bytes(1, "big") if len(name) < 128 else bytes([len(name) & 127 | 128, len(name) >> 7])
    message = b"\x0a" + size + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _serving_status(body: bytes) -> int:
    """The status of a HealthCheckResponse, field 1, which a 0 leaves out."""
    message = body[5:]
    return message[1] if message[:1] == b"\x08" and len(message) > 1 else 0


def _answer(state: h2.connection.H2Connection, connection: Any) -> tuple[dict[str, str], bytes]:
    """The answer on the one stream there is. Raises ConnectionError where the app breaks it off."""
    headers: dict[str, str] = {}
    body = b""
    while True:
        connection.sendall(state.data_to_send())
        received = connection.recv(_CHUNK_BYTES)
        if not received:
            raise ConnectionResetError
        if received.startswith(b"HTTP/1"):  # the library would wait for a frame of four megabytes
            raise h2.exceptions.ProtocolError
        for event in state.receive_data(received):
            match event:
                case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                    headers |= {str(name): str(value) for name, value in event.headers or ()}
                case h2.events.DataReceived():
                    body += event.data or b""
                    state.acknowledge_received_data(event.flow_controlled_length or 0, 1)
                case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                    raise ConnectionResetError
                case h2.events.StreamEnded():
                    return headers, body
        if len(body) > MAX_ANSWER_BYTES:
            raise ValueError("answered with more than a health check has to say")

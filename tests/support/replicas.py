"""Replicas for tests of the edge: small real HTTP servers that remember what they were asked, and misbehave on request.

What a replica does is asked for in the query: ``?status=500``, ``?wait`` (until `release`), ``?slow=0.2`` (seconds),
``?drop`` (read the request, close without an answer), ``?accel=/path`` (tell nginx to go there instead),
``?header=1000`` (a header of so many bytes), ``?stream`` (a first piece, a last one once it is released, and the end of
the connection). A websocket request is upgraded, and what comes is sent back.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from reconciler.model.routes import Server


class Request(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Replica:
    """One server, at an address of its own. ``name`` stands in the header ``X-Replica`` of each answer."""

    def __init__(self, name: str, address: str, secret: Path | None = None) -> None:
        self.name = name
        self.requests: list[Request] = []
        self._gate = threading.Event()
        self.connections = 0
        self.received_bytes = 0  # of bodies, also of one that is still being read
        self._server = _Server((address, 0), _handler(self))
        if secret:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(secret / "tls.crt", secret / "tls.key")
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.address, self.port = address, self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def server(self, *, draining: bool = False, weight: int = 1) -> Server:
        """It as a route table names it."""
        return Server(self.name, self.address, self.port, draining=draining, weight=weight)

    def release(self) -> None:
        """Let the requests that wait be answered, and all later ones at once."""
        self._gate.set()

    def wait(self) -> None:
        assert self._gate.wait(30), f"{self.name} was never released"

    def stop(self) -> None:
        """Refuse connections from now on, and end those there are."""
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._server.end_connections()
        self._thread.join()


@contextmanager
def replicas(*names: str, addresses: tuple[str, ...] = (), secret: Path | None = None) -> Iterator[list[Replica]]:
    """Running replicas; by default each at a loopback address of its own. Over TLS with the certificate and key of a
    secret."""
    wanted = addresses or tuple(f"127.0.0.{number}" for number in range(2, 2 + len(names)))
    with ExitStack() as stack:
        started = [Replica(name, address, secret) for name, address in zip(names, wanted, strict=True)]
        for replica in started:
            stack.callback(replica.stop)
        yield started


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, *args: object) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)  # type: ignore[arg-type]

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        self._open.add(request)
        super().process_request(request, client_address)

    def end_connections(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that nginx closed is nothing to report."""


def _handler(replica: Replica) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"replica": replica})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    replica: Replica

    def setup(self) -> None:
        super().setup()
        self.replica.connections += 1

    def _answer(self) -> None:
        body = self._read_body()
        self.replica.requests.append(Request(self.command, self.path, dict(self.headers), body))
        asked = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if self.headers.get("Upgrade") == "websocket":
            self._echo()
        elif "drop" in asked:
            self.close_connection = True
        elif "stream" in asked:
            self._stream()
        else:
            self._take_time(asked)
            headers = {"X-Accel-Redirect": asked["accel"]} if "accel" in asked else {}
            headers |= {"X-Large": "x" * int(asked["header"])} if "header" in asked else {}
            self._send(int(asked.get("status", 200)), headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def _read_body(self) -> bytes:
        body, length = b"", int(self.headers.get("Content-Length", 0))
        while len(body) < length and (piece := self.rfile.read1(length - len(body))):
            body += piece
            self.replica.received_bytes += len(piece)
        return body

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"first")
        self.replica.wait()
        self.wfile.write(b"last")

    def _take_time(self, asked: dict[str, str]) -> None:
        if "wait" in asked:
            self.replica.wait()
        if "slow" in asked:
            time.sleep(float(asked["slow"]))

    def _send(self, status: int, headers: dict[str, str]) -> None:
        text = self.replica.name.encode()
        self.send_response(status)
        for name, value in (headers | {"X-Replica": self.replica.name, "Content-Length": str(len(text))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _echo(self) -> None:
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "upgrade")
        self.end_headers()
        self.close_connection = True
        while received := self.connection.recv(1024):
            self.connection.sendall(received)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

"""A real gRPC server and client for tests, each a process of its own: what the library starts ends with it.

``serve ADDRESS [CERTIFICATE KEY]`` prints its port; ``call PORT AUTHORITY HOST`` calls until its input ends, and then
prints what came of it, by outcome.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from reconciler.model.routes import Server
from tests.support.waiting import eventually

PIECES = 5
KNOWN = {b"": 1, b"\x0a\x0bshop.Orders": 1, b"\x0a\x04sick": 2}  # services, as asked about, and their status


class GrpcReplica:
    """A server as a process, at an address of its own."""

    def __init__(self, name: str, address: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.name, self.address, self.process = name, address, process
        self.port = int(process.stdout.readline())

    def server(self, **marks: Any) -> Server:
        """It as a route table names it."""
        return Server(self.name, self.address, self.port, **marks)

    def stop(self) -> None:
        """At once, with whatever it is at."""
        _end(self.process)


@contextmanager
def grpc_replica(name: str, address: str, secret: Path | None = None) -> Iterator[GrpcReplica]:
    """A running server; over TLS with the certificate and key of a secret."""
    files = [str(secret / "tls.crt"), str(secret / "tls.key")] if secret else []
    process = _start("serve", address, *files)
    try:
        yield GrpcReplica(name, address, process)
    finally:
        _end(process)


class Caller:
    """A client that calls on and on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process, self._output = process, process.stdout
        self._lines: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, more: int) -> None:
        """Until so many more calls have ended."""
        wanted = self._calls() + more
        eventually(lambda: self._calls() >= wanted)

    @property
    def headers(self) -> dict[str, str]:
        """What the server was told beside the last call."""
        headers: dict[str, str] = json.loads(self._lines[-1])
        return headers

    def outcomes(self) -> dict[str, int]:
        """What came of all calls: how many by outcome, once it has ended."""
        _end(self._process, kill=False)
        self._reader.join()
        outcomes: dict[str, int] = json.loads(self._lines[-1])
        return outcomes

    def _calls(self) -> int:
        return len(self._lines)

    def _read(self) -> None:
        for line in self._output:
            self._lines.append(line)


@contextmanager
def calling(port: int, authority: Path, host: str) -> Iterator[Caller]:
    """A client of the edge that calls one method after another, unary and streaming, over one channel."""
    process = _start("call", str(port), str(authority), host)
    try:
        yield Caller(process)
    finally:
        _end(process)


def _start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", __name__, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _end(process: subprocess.Popen[str], *, kill: bool = True) -> None:
    if process.stdin and not process.stdin.closed:
        process.stdin.close()
    if kill:
        process.kill()
    process.wait(timeout=30)
    if kill and process.stdout:
        process.stdout.close()


# ---- in the process


def _serve(address: str, *files: str) -> None:
    import grpc

    def check(request: bytes, context: Any) -> bytes:
        if request not in KNOWN:
            context.abort(grpc.StatusCode.NOT_FOUND, "who is that?")
        return bytes([8, KNOWN[request]])

    def watch(request: bytes, _: Any) -> Iterator[bytes]:
        for number in range(PIECES):
            time.sleep(0.02)
            yield request + str(number).encode()

    def talk(requests: Iterator[bytes], _: Any) -> Iterator[bytes]:
        yield from requests

    def place(request: bytes, context: Any) -> bytes:
        context.send_initial_metadata((("x-accel-redirect", "/nowhere"),))  # which nginx is not to follow
        sent = {key: value for key, value in context.invocation_metadata() if key.startswith("x-")}
        return json.dumps({"request": request.decode(), "port": port, **sent}).encode()

    orders = {
        "Place": grpc.unary_unary_rpc_method_handler(place),
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
    }
    health = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("shop.Orders", orders),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
        )
    )
    place_at = f"{address}:0"
    if files:
        certificate, key = (Path(file).read_bytes() for file in files)
        port = server.add_secure_port(place_at, grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port(place_at)
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None)


def _call(port: str, authority: str, host: str) -> None:
    import grpc

    ended: list[bool] = []
    Thread(target=lambda: ended.append(bool(sys.stdin.read()) or True), daemon=True).start()
    credentials = grpc.ssl_channel_credentials(Path(authority).read_bytes())
    options = [("grpc.ssl_target_name_override", host), ("grpc.default_authority", host)]
    outcomes: Counter[str] = Counter()
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        unary, stream = channel.unary_unary("/shop.Orders/Place"), channel.unary_stream("/shop.Orders/Watch")
        both = channel.stream_stream("/shop.Orders/Talk")
        answer: dict[str, Any] = {}
        while not ended:
            try:
                answer = json.loads(unary(b"one", timeout=20))
                assert answer.pop("request") == "one"
                assert list(stream(b"n", timeout=20)) == [f"n{number}".encode() for number in range(PIECES)]
                assert list(both(iter((b"a", b"b")), timeout=20)) == [b"a", b"b"]
                outcomes["well"] += 1
            except grpc.RpcError as error:
                outcomes[f"{error.code().name}: {error.details()}"] += 1
            print(json.dumps(answer), flush=True)
    print(json.dumps(outcomes), flush=True)


if __name__ == "__main__":
    {"serve": _serve, "call": _call}[sys.argv[1]](*sys.argv[2:])

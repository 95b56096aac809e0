"""A relay between a client and a server's socket, so that a test can cut the line, slow it down, and put TLS on it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Address = str | tuple[str, int]


class Relay:
    """Listens on a unix socket's path or on a loopback port, and passes everything on to another such socket.

    Where ``refused`` is set, a client that sends anything with these bytes in it is cut off instead. Answers come at
    ``bytes_per_second``, ``answered_bytes`` have come altogether; where ``allowed_bytes`` is set, the line is cut after
    so many more of them. Where ``unanswered`` is set, what a client sends with these bytes in it is passed on, and the
    line cut before the answer. As long as ``flowing`` isn't set, nothing is answered, and nobody is cut off.
    """

    refused = b""
    unanswered = b""
    bytes_per_second: float = 0
    answered_bytes = 0
    allowed_bytes: int | None = None

    def __init__(self, listen: Address, target: Address, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self.flowing = threading.Event()
        self.flowing.set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(_family(listen))
        self._listener.bind(listen)
        self._listener.listen(64)
        self.port = 0 if isinstance(listen, str) else int(self._listener.getsockname()[1])
        self._start(self._accept)

    def cut(self) -> int:
        """End every connection; how many there were. New ones are accepted as before."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        return len(connections)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.flowing.set()
        self.cut()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(OSError))
            stack.enter_context(client)
            if self._tls is not None:
                client = stack.enter_context(self._tls.wrap_socket(client, server_side=True))
            server = stack.enter_context(socket.socket(_family(self._target)))
            server.connect(self._target)
            with self._lock:
                self._open |= {client, server}
            mute = threading.Event()
            answers = threading.Thread(
                target=_copy, args=(server, client, lambda data: mute.is_set() or self._answered(data)), daemon=True
            )
            answers.start()
            _copy(client, server, lambda data: self._refuses(data, mute))
            answers.join()
            with self._lock:
                self._open -= {client, server}

    def _refuses(self, data: bytes, mute: threading.Event) -> bool:
        """Whether a client is cut off for what it sends, at once or, by ``mute``, before it is answered."""
        if self.unanswered and self.unanswered in data:
            mute.set()
        return bool(self.refused) and self.refused in data

    def _answered(self, data: bytes) -> bool:
        """Count an answer, and take the time for it; whether it is too much."""
        self.flowing.wait()
        with self._lock:
            self.answered_bytes += len(data)
            if self.allowed_bytes is not None:
                self.allowed_bytes = max(0, self.allowed_bytes - len(data))
        if self.bytes_per_second:
            time.sleep(len(data) / self.bytes_per_second)
        return self.allowed_bytes == 0


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_UNIX if isinstance(address, str) else socket.AF_INET


def _copy(source: socket.socket, sink: socket.socket, refuse: Callable[[bytes], bool] = lambda _: False) -> None:
    """Until either end is over, or has sent something to refuse; then both are."""
    with contextlib.suppress(OSError):
        while (data := source.recv(16384)) and not refuse(data):
            sink.sendall(data)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay(listen: Address, target: Address, tls: ssl.SSLContext | None = None) -> Iterator[Relay]:
    made = Relay(listen, target, tls)
    try:
        yield made
    finally:
        made.close()


def make_certificates(directory: Path) -> ssl.SSLContext:
    """ca.pem, cert.pem and key.pem as docker's clients want them; the context of a server that insists on them."""
    key, ca = directory / "key.pem", directory / "ca.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, *subject, "-keyout", key, "-out", ca], check=True, capture_output=True, timeout=60)
    (directory / "cert.pem").write_bytes(ca.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context

"""A git server over https with a password, made of git's own http-backend."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.nginx import make_certificate
from tests.support.repositories import Repository

USER, PASSWORD = "reader", "s3cr@t"


@contextlib.contextmanager
def served(
    repository: Repository, place: Path, host: str = "localhost", *, old: bool = False, refusal: int = 401
) -> Iterator[tuple[int, Path]]:
    """Serve a repository as ``/specs.git``; gives the port on the host and the certificate to trust. An ``old`` server
    knows version 0 of git's protocol only; ``refusal`` is the status of its answer to other credentials."""
    certificate = make_certificate(place / "tls", host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, place / "tls" / "tls.key")
    kind = _ServerOfIPv6 if ":" in host else ThreadingHTTPServer
    server = kind((host if ":" in host else "127.0.0.1", 0), _handler(repository.path / ".git", old, refusal))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], certificate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _ServerOfIPv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


def _handler(git_dir: Path, old: bool, refusal: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if self.headers.get("Authorization") != wanted:
                self.send_response(refusal)
                if refusal == 401:
                    self.send_header("WWW-Authenticate", 'Basic realm="specs"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            answer = subprocess.run(
                ["git", "http-backend"],
                input=body,
                env=self._cgi(path, query),
                capture_output=True,
                check=True,
                timeout=60,
            ).stdout
            head, _, content = answer.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode("ascii").splitlines())
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in (fields | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client is gone
                self.wfile.write(content)

        def _cgi(self, path: str, query: str) -> dict[str, str]:
            return os.environ | {
                "GIT_PROJECT_ROOT": str(git_dir),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": "" if old else self.headers.get("Git-Protocol", ""),
                "PATH_INFO": path.removeprefix("/specs.git"),
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "REMOTE_USER": USER,
                "REMOTE_ADDR": "127.0.0.1",
            }

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler

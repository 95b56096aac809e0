"""The TLS of a check: a replica is known by what its spec says (`UpstreamTls`), and by nothing else.

A CA is read from the secrets when its file changes; where it is gone, what was read last counts, as at the edge. It
must never hand out a connection whose other end it doesn't know, and all of it takes place within the connection's own
time.
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from urllib3.util.ssltransport import SSLTransport

from reconciler.model.spec import UpstreamTls
from reconciler.probe.sockets import BoundedSocket


class Untrusted(Exception):
    """The other end can't be known, or is another; the message says why."""


class Trust:
    """By what one replica is known. ``protocols`` are those to agree on (ALPN), none where that doesn't matter."""

    def __init__(self, tls: UpstreamTls, secrets_dir: Path | None, protocols: tuple[str, ...] = ()) -> None:
        self._tls = tls
        self._file = secrets_dir / tls.ca / "ca.crt" if secrets_dir and tls.ca else None
        self._protocols = protocols
        self._read: tuple[object, ssl.SSLContext] | None = None

    def over(self, connection: BoundedSocket) -> SSLTransport:
        """TLS over this connection. Raises Untrusted, and OSError, of which an SSLError is one."""
        context = self._context() if self._tls.fingerprint is None else _trusting_nobody()
        if self._protocols:
            context.set_alpn_protocols(list(self._protocols))
        transport = SSLTransport(connection, context, server_hostname=self._tls.server_name)
        if self._tls.fingerprint is not None:
            self._check_fingerprint(transport)
        return transport

    def _check_fingerprint(self, transport: SSLTransport) -> None:
        shown = hashlib.sha256(transport.getpeercert(binary_form=True) or b"").hexdigest()
        if shown != self._tls.trust:
            raise Untrusted(f"its certificate has another fingerprint: {shown}")

    def _context(self) -> ssl.SSLContext:
        if self._file is None:
            raise Untrusted(f"TLS secret {self._tls.ca}: the controller has no secrets directory (--secrets-dir)")
        try:
            stat = self._file.stat()
            stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if self._read is None or self._read[0] != stamp:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(self._file)
                self._read = stamp, context
        except OSError as error:  # an SSLError is one
            if self._read is None:
                reason = getattr(error, "reason", None) or error.strerror
                raise Untrusted(f"TLS secret {self._tls.ca}: ca.crt can't be read: {reason}") from error
        return self._read[1]


def _trusting_nobody() -> ssl.SSLContext:
    """For a certificate that is looked at afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

"""Certificates and keys, from the secrets directory into files of the edge's own.

Decides which content of a secret is in force: the newest that holds together, under names that change with the
content, so that a changed secret is a changed configuration and an old configuration stays valid. A secret that was
broken by its last change keeps its last good content, and says so. Tells until when what is served is valid, and judges
nothing by it. Whatever is wrong with a secret is the problem of its apps alone, while copies that can't be written are
the edge's. It must never put a key into a message.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.edge.virtual_servers import Certificate, secrets_of
from reconciler.model.certificates import ServedCertificate
from reconciler.model.routes import RouteTable

_UNREADABLE: Mapping[type[OSError], str] = {
    FileNotFoundError: "is missing",
    PermissionError: "may not be read",
    IsADirectoryError: "is a directory instead of a file",
    NotADirectoryError: "is missing, since the secret is a file instead of a directory",
}


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a secret's files were when they were last read (inode, size, time), and what came of reading them."""

    stamp: tuple[tuple[int, int, int], ...]
    certificate: Certificate | None
    problem: str


class Certificates:
    """The secrets that route tables name, read anew only when their files change."""

    def __init__(self, assets: Path, secrets_dir: Path | None) -> None:
        self._assets = assets
        self._secrets_dir = secrets_dir
        self._readings: dict[str, _Reading] = {}
        self._served: dict[str, ServedCertificate | None] = {}

    def read(
        self, table: RouteTable, in_force: Mapping[str, Certificate]
    ) -> tuple[dict[str, Certificate], dict[str, str]]:
        """Certificates by secret name, and problems by secret name. ``in_force``: what is being served."""
        certificates, problems = {}, {}
        trusts = {app.upstream.tls.trust for app in table.apps if app.upstream.tls and app.upstream.tls.ca}
        for name in (*secrets_of(table), *sorted(trusts)):
            reading = self._look(name)
            if reading.problem:
                problems[name] = reading.problem
            if certificate := reading.certificate or in_force.get(name):
                certificates[name] = certificate
        return certificates, problems

    def validity(self, in_use: Iterable[Certificate]) -> tuple[ServedCertificate, ...]:
        """Until when certificates are valid, of those whose copies tell. Each copy is read once: its name is its
        content's."""
        self._served = {
            each.certificate_file: self._served.get(each.certificate_file) or self._read_copy(each)
            for each in in_use
            if each.key_file
        }
        return tuple(served for served in self._served.values() if served)

    def _read_copy(self, certificate: Certificate) -> ServedCertificate | None:
        # Imported here: it takes 17 MB, and few hosts serve TLS.
        from cryptography import x509

        try:
            content = (self._assets / Path(certificate.certificate_file).name).read_bytes()
            own = x509.load_pem_x509_certificate(content)
        except (OSError, ValueError, x509.InvalidVersion):
            return None  # nginx serves it all the same, and nobody can say until when
        bounds = (own.not_valid_before_utc.timestamp(), own.not_valid_after_utc.timestamp())
        return ServedCertificate(certificate.secret, *bounds)

    def _look(self, name: str) -> _Reading:
        """What is in a secret now: the pair in it or, by ``NAME/ca.crt``, the certificate of a CA."""
        secret, _, authority = name.partition("/")
        if self._secrets_dir is None:
            return _Reading((), None, f"TLS secret {secret}: the controller has no secrets directory (--secrets-dir)")
        parts = (authority,) if authority else ("tls.crt", "tls.key")
        paths = tuple(self._secrets_dir / secret / part for part in parts)
        try:
            stamp = tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in map(Path.stat, paths))
            known = self._readings.get(name)
            if known and known.stamp == stamp and self._present(known.certificate):
                return known
            contents = (_authority(*paths),) if authority else _matching(*paths)
        except ssl.SSLError as error:
            reason = error.reason or "not in PEM form"
            wrong = f"{authority} has no certificate of a CA" if authority else "certificate and key don't fit"
            self._readings[name] = _Reading(stamp, None, f"TLS secret {secret}: {wrong}: {reason}")
            return self._readings[name]
        except OSError as error:
            return _Reading((), None, f"TLS secret {secret}: {_unreadable(error)}")
        self._readings[name] = _Reading(stamp, self._adopt(secret, contents), "")
        return self._readings[name]

    def _present(self, certificate: Certificate | None) -> bool:
        names = (certificate.certificate_file, certificate.key_file) if certificate else ()
        return all((self._assets / Path(name).name).exists() for name in names if name)

    def _adopt(self, secret: str, contents: Sequence[bytes]) -> Certificate:
        """Copy a certificate and, where it has one, its key."""
        digest = hashlib.sha256(b"\0".join(contents)).hexdigest()[:12]
        file_names = [f"{secret}-{digest}.{ending}" for ending, _ in zip(("crt", "key"), contents, strict=False)]
        for file_name, content in zip(file_names, contents, strict=True):
            write_private(self._assets / file_name, content)
        return Certificate(secret, *(f"assets/{file_name}" for file_name in file_names))


def _matching(certificate_path: Path, key_path: Path) -> tuple[bytes, bytes]:
    """What is in both files. Raises ssl.SSLError where they don't hold together, OSError where they can't be read."""
    contents = certificate_path.read_bytes(), key_path.read_bytes()
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_path, key_path, password=lambda: "")
    return contents


def _authority(path: Path) -> bytes:
    """What is in the file. Raises ssl.SSLError where that is no certificate, OSError where it can't be read."""
    content = path.read_bytes()
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    return content


def _unreadable(error: OSError) -> str:
    part = Path(error.filename).name if error.filename else "certificate or key"
    return f"{part} " + _UNREADABLE.get(type(error), f"can't be read: {error.strerror}")


def write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)

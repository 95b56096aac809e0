"""The certificates that fingerprints name, by which replicas are known.

nginx can't be told a fingerprint. So the certificate that has it is fetched from a replica, and is then the only one
that nginx trusts for that app: a self-signed certificate is its own CA, and of others nginx would want the CA. It is
fetched once, in the background, and nginx keeps its copy. It must never hand out a certificate of another fingerprint,
and a replica that doesn't answer must not hold up tick after tick: only the first search is waited for, and two seconds
at most, as where all is well it takes a moment, and nobody is to be told of a trouble that there is not.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from reconciler.edge.certificates import write_private
from reconciler.edge.virtual_servers import Certificate
from reconciler.loud_thread import LoudThread
from reconciler.model.routes import AppRoutes, RouteTable, Server, Upstream

_ANSWER_SECONDS = 5.0
_FIRST_SEARCH_SECONDS = 2.0


class Fingerprints:
    """The certificates of the fingerprints that route tables name."""

    def __init__(self, assets: Path) -> None:
        self._assets = assets
        self._searches: dict[str, _Search] = {}

    def read(
        self, table: RouteTable, in_force: Mapping[str, Certificate]
    ) -> tuple[dict[str, Certificate], dict[str, str]]:
        """Certificates by fingerprint, and problems by fingerprint. ``in_force``: what is being served. An app without
        a server is nobody's trouble yet."""
        certificates, problems = {}, {}
        # Of apps that share one, an app that has somebody to ask comes last, and stays.
        apps = sorted(table.apps, key=lambda app: bool(app.live))
        wanted = {tls.trust: app for app in apps if (tls := app.upstream.tls) and tls.fingerprint}
        self._searches = {name: search for name, search in self._searches.items() if name in wanted}
        for fingerprint, app in wanted.items():
            known = in_force.get(fingerprint)
            if known and (self._assets / Path(known.certificate_file).name).exists():
                certificates[fingerprint] = known
            elif found := self._found(fingerprint, app):
                certificates[fingerprint] = self._adopt(fingerprint, found)
            elif app.live:
                problems[fingerprint] = f"edge.upstreamTLS: {self._searches[fingerprint].reason}"
        return certificates, problems

    def _found(self, fingerprint: str, app: AppRoutes) -> bytes:
        """The certificate, as far as it was found; else it is searched for."""
        search = self._searches.get(fingerprint)
        if search and (search.found or search.under_way()):
            return search.found
        if app.live:
            self._searches[fingerprint] = again = _Search(fingerprint, app)
            again.start(0.0 if search else _FIRST_SEARCH_SECONDS)
            return again.found
        return b""

    def _adopt(self, fingerprint: str, certificate: bytes) -> Certificate:
        name = f"fingerprint-{fingerprint[:12]}.crt"
        write_private(self._assets / name, ssl.DER_cert_to_PEM_cert(certificate).encode())
        return Certificate(fingerprint, f"assets/{name}", server_name=_name_in(certificate))


class _Search:
    """One search through an app's servers. ``found`` is the certificate, empty as long as it wasn't found; ``reason``
    says why."""

    def __init__(self, fingerprint: str, app: AppRoutes) -> None:
        self.found = b""
        self.reason = f"no replica has shown the certificate of fingerprint {fingerprint[:12]}… yet"
        self._fingerprint = fingerprint
        self._app = app
        self._thread = LoudThread(self._ask, "edge-fingerprint")

    def start(self, wait_seconds: float) -> None:
        self._thread.start()
        self._thread.join(wait_seconds)

    def under_way(self) -> bool:
        self._thread.check()
        return self._thread.is_alive()

    def _ask(self) -> None:
        for server in self._app.live:
            try:
                shown = _shown_by(server, self._app.upstream)
            except OSError as error:
                self.reason = f"{server.name} shows no certificate: {getattr(error, 'reason', None) or error}"
                continue
            fingerprint = hashlib.sha256(shown).hexdigest()
            if fingerprint != self._fingerprint:
                self.reason = f"the certificate of {server.name} has another fingerprint: {fingerprint}"
            elif unfit := _unfit(shown):
                self.reason = f"the certificate of {server.name} {unfit}"
            else:
                self.found = shown
                return


def _shown_by(server: Server, upstream: Upstream) -> bytes:
    """The certificate that a server shows, whoever it is. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if upstream.protocol == "GRPC":
        context.set_alpn_protocols(["h2"])
    name = upstream.tls.server_name if upstream.tls else None
    with (
        socket.create_connection((server.address, server.port), timeout=_ANSWER_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=name) as encrypted,
    ):
        return encrypted.getpeercert(binary_form=True) or b""


def _unfit(certificate: bytes) -> str:
    """Why nginx can't know a replica by this certificate; "" where it can."""
    try:
        if not _is_self_signed(certificate):
            return "isn't self-signed, and nginx needs its CA: give ca instead"
        return "" if _name_in(certificate) else "is for no name, which nginx needs"
    except Exception:  # noqa: BLE001 a replica may show anything, and the library has many errors for it
        return "can't be read"


def _is_self_signed(certificate: bytes) -> bool:
    from cryptography import x509  # imported here, as in `certificates`

    own = x509.load_der_x509_certificate(certificate)
    return own.issuer == own.subject


def _name_in(certificate: bytes) -> str:
    """A name that the certificate is for, "" where it is for none: the first DNS name or, without any, the common
    name."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    own = x509.load_der_x509_certificate(certificate)
    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known_as = [str(name) for name in names.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:
        known_as = []
    known_as += [str(attribute.value) for attribute in own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return next((name.replace("*", "replica", 1) for name in known_as if _is_plain(name)), "")


def _is_plain(name: str) -> bool:
    """Whether a name may stand in nginx's configuration: it comes from a replica, so nothing else may."""
    return bool(name) and all(letter.isascii() and (letter.isalnum() or letter in "-._*") for letter in name)

"""The route table regrouped as nginx wants it: a virtual server for each host, with a location for each path.

Decides that the longest path wins among all routes that fit a host, and that of equal paths the more exact host wins:
``shop.example.com`` before ``*.example.com`` before any host. A route without a host is therefore part of every
virtual server, and a certificate serves every host it fits that has none of its own. It must never drop a claim
silently: two routes of one host and path stay two, and nginx refuses the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from reconciler.model.routes import AppRoutes, RouteTable
from reconciler.model.spec import Route


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as files under names that change with their content.

    One that replicas are known by has no key; ``server_name`` is the name it is for, where a fingerprint names it.
    """

    secret: str
    certificate_file: str
    key_file: str = ""
    server_name: Annotated[str, Field(exclude_if=lambda name: not name)] = ""


@dataclass(frozen=True, slots=True)
class Location:
    """One route of one app, as a part of a virtual server."""

    app: AppRoutes
    route: Route
    trusted: Certificate | None = None  # by which the app's replicas are known

    @property
    def path(self) -> str:
        """The path without a trailing slash: ``/web`` and ``/web/`` claim the same requests; empty for the root."""
        return self.route.path.rstrip("/")


@dataclass(frozen=True, slots=True)
class VirtualServer:
    """One host (None: any other) with its locations, longest path first, and its certificate where it has one."""

    host: str | None
    locations: tuple[Location, ...]
    certificate: Certificate | None = None


def secrets_of(table: RouteTable) -> list[str]:
    """The names of all TLS secrets that routes ask for, in order."""
    return sorted({route.tls.secret for app in table.apps for route in app.routes if route.tls})


def trusts_of(table: RouteTable) -> list[str]:
    """The names of all certificates that replicas are known by, in order."""
    return sorted({app.upstream.tls.trust for app in table.apps if app.upstream.tls})


def virtual_servers(table: RouteTable, certificates: Mapping[str, Certificate]) -> tuple[VirtualServer, ...]:
    """One for every host of the table, that for any other host first. ``certificates`` by secret name."""
    by_host: dict[str | None, list[Location]] = {None: []}
    for app in table.apps:
        for route in app.routes:
            trusted = certificates.get(app.upstream.tls.trust) if app.upstream.tls else None
            by_host.setdefault(route.host, []).append(Location(app, route, trusted))
    hosts = sorted(by_host, key=lambda host: host or "")
    return tuple(_virtual_server(host, by_host, certificates) for host in hosts)


def _virtual_server(
    host: str | None, by_host: Mapping[str | None, list[Location]], certificates: Mapping[str, Certificate]
) -> VirtualServer:
    fitting = [by_host.get(each, []) for each in (host, *_wider_hosts(host))]
    locations: list[Location] = []
    for claims in fitting:
        taken = {location.path for location in locations}
        locations += [location for location in claims if location.path not in taken]
    locations.sort(key=lambda location: (-len(location.path), location.path, location.app.app_name))
    secrets = [location.route.tls.secret for claims in fitting for location in claims if location.route.tls]
    certificate = next((certificates[secret] for secret in secrets if secret in certificates), None)
    return VirtualServer(host, tuple(locations), certificate)


def _wider_hosts(host: str | None) -> Iterable[str | None]:
    """The hosts that a request for this one fits as well, the most exact first."""
    if host is None:
        return
    labels = host.removeprefix("*.").split(".")
    for start in range(1, len(labels)):
        yield "*." + ".".join(labels[start:])
    yield None

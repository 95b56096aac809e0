"""Which requests belong to whom: the route table regrouped as nginx wants it, by host and path.

Decides that the longest path wins among all routes that fit a host, and that of equal paths the more exact host wins:
``shop.example.com`` before ``*.example.com`` before any host. A route without a host is therefore part of every
site, and a certificate serves every host it fits that has none of its own. It must never drop a claim silently: two
routes of one host and path stay two, and nginx refuses the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.model.routes import AppRoutes, RouteTable
from reconciler.model.spec import Route


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as files under names that change with their content."""

    secret: str
    certificate_file: str
    key_file: str


@dataclass(frozen=True, slots=True)
class Place:
    """One route of one app."""

    app: AppRoutes
    route: Route

    @property
    def path(self) -> str:
        """The path without a trailing slash: ``/web`` and ``/web/`` claim the same requests; empty for the root."""
        return self.route.path.rstrip("/")


@dataclass(frozen=True, slots=True)
class Site:
    """One host (None: any other) with its places, longest path first, and its certificate where it has one."""

    host: str | None
    places: tuple[Place, ...]
    certificate: Certificate | None = None


def secrets_of(table: RouteTable) -> list[str]:
    """The names of all TLS secrets that routes ask for, in order."""
    return sorted({route.tls.secret for app in table.apps for route in app.routes if route.tls})


def sites(table: RouteTable, certificates: Mapping[str, Certificate]) -> tuple[Site, ...]:
    """Every host of the table, the site for any other host first. ``certificates`` by secret name."""
    by_host: dict[str | None, list[Place]] = {None: []}
    for app in table.apps:
        for route in app.routes:
            by_host.setdefault(route.host, []).append(Place(app, route))
    hosts = sorted(by_host, key=lambda host: host or "")
    return tuple(_site(host, by_host, certificates) for host in hosts)


def _site(host: str | None, by_host: Mapping[str | None, list[Place]], certificates: Mapping[str, Certificate]) -> Site:
    fitting = [by_host.get(each, []) for each in (host, *_wider_hosts(host))]
    places: list[Place] = []
    for claims in fitting:
        taken = {place.path for place in places}
        places += [place for place in claims if place.path not in taken]
    places.sort(key=lambda place: (-len(place.path), place.path, place.app.app_name))
    secrets = [place.route.tls.secret for claims in fitting for place in claims if place.route.tls]
    certificate = next((certificates[secret] for secret in secrets if secret in certificates), None)
    return Site(host, tuple(places), certificate)


def _wider_hosts(host: str | None) -> Iterable[str | None]:
    """The hosts that a request for this one fits as well, the most exact first."""
    if host is None:
        return
    labels = host.removeprefix("*.").split(".")
    for start in range(1, len(labels)):
        yield "*." + ".".join(labels[start:])
    yield None

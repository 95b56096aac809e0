"""The route table: which requests go to which replicas. Typed values only; rendering is the edge's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from reconciler.model.certificates import ServedCertificate
from reconciler.model.spec import App, EdgeOptions, Protocol, Route, UpstreamTls, main_port


@dataclass(frozen=True, slots=True)
class Server:
    """One replica that may receive requests. A draining one is kept in the file, marked ``down``.

    ``weight`` is its share among its app's servers (a canary's is small).
    """

    name: str
    address: str
    port: int
    draining: bool = False
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Upstream:
    """How an app's servers are spoken to: in which language and, where that is encrypted, how each is known."""

    protocol: Protocol = "HTTP"
    tls: UpstreamTls | None = None

    @classmethod
    def of(cls, app: App) -> Upstream:
        """How replicas of this app are spoken to."""
        port = main_port(app.spec.type, app.spec.ports)
        if port is None or port.protocol in ("HTTP", "TCP"):
            return PLAIN
        return cls(port.protocol, app.upstream_tls)


PLAIN = Upstream()


@dataclass(frozen=True, slots=True)
class AppRoutes:
    """One app's part of the route table. Without a server that is not draining, its routes answer 503."""

    app_name: str
    routes: tuple[Route, ...]
    servers: tuple[Server, ...]
    options: EdgeOptions = EdgeOptions()
    # Written down only where it says something, so that tables of before are written as they were.
    upstream: Annotated[Upstream, Field(exclude_if=lambda upstream: upstream == PLAIN)] = PLAIN

    @property
    def live(self) -> tuple[Server, ...]:
        """The servers that get new requests."""
        return tuple(server for server in self.servers if not server.draining)


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All apps that have routes, ordered by name."""

    apps: tuple[AppRoutes, ...] = ()

    def routed_names(self) -> frozenset[str]:
        """Names of the replicas that may receive new requests."""
        return frozenset(server.name for part in self.apps for server in part.live)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An app whose configuration the edge would not take; the others were published without it."""

    app_name: str
    message: str


@dataclass(frozen=True, slots=True)
class Publication:
    """What the edge serves after a publish.

    ``table`` is what is really being served: a refused app appears there as it was before, or not at all.
    ``generation`` names the published configuration; ``how`` is ``unchanged``, ``pushed`` (no reload) or ``reloaded``.
    ``certificates`` are those in use, as far as it can be told until when they are valid. ``news`` is told once,
    ``notices`` are so for as long as they are given.
    """

    table: RouteTable
    generation: str
    how: str
    refusals: tuple[Refusal, ...] = ()
    certificates: tuple[ServedCertificate, ...] = ()
    news: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

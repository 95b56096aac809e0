"""The replicas of a table as text: what nginx with Lua starts with, and what is pushed into it when they change.

The format is told in ``lua/orchestry.lua``. Weight 0 stands for a draining replica: it takes no new requests, and the
ones it has are still counted. The first line names the whole list by its content, so that either side can tell
whether the other one holds the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.model.routes import PLAIN, AppRoutes, RouteTable


@dataclass(frozen=True, slots=True)
class ServerList:
    """The list of all replicas: ``digest`` names its content, ``lines_by_app`` is all of it."""

    digest: str
    lines_by_app: dict[str, str]

    @classmethod
    def of(cls, table: RouteTable) -> ServerList:
        lines_by_app = {pool_of(app): _lines(app) for app in table.apps}
        digest = hashlib.sha256(repr(lines_by_app).encode()).hexdigest()[:12]
        return cls(digest, lines_by_app)

    @property
    def text(self) -> str:
        return self._text(self.lines_by_app)

    def changes_from(self, before: ServerList) -> str:
        """The text for the apps that differ, of lists that name the same apps."""
        return self._text(name for name, lines in self.lines_by_app.items() if lines != before.lines_by_app.get(name))

    def _text(self, names: Iterable[str]) -> str:
        parts = [f"app {name}\n{self.lines_by_app[name]}" for name in names]
        return f"digest {self.digest}\n{''.join(parts)}"


def pool_of(app: AppRoutes) -> str:
    """The name of an app's replicas: its own where they are spoken to in plain HTTP. Elsewhere another for each way,
    since workers of before go on choosing by the name that they know, and speak as they did."""
    if app.upstream == PLAIN:
        return app.app_name
    return f"{app.app_name}/{hashlib.sha256(repr(app.upstream).encode()).hexdigest()[:8]}"


def _lines(app: AppRoutes) -> str:
    return "".join(
        f"{server.address} {server.port} {0 if server.draining else server.weight}\n" for server in app.servers
    )

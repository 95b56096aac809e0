"""No edge: apps are reached by their containers' addresses alone, and every table counts as served."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from reconciler.model.routes import Publication, RouteTable


class NoEdge:
    """`ports.Edge` that routes nothing."""

    access_log: Path | None = None

    def publish(self, table: RouteTable) -> Publication:
        return Publication(table, "none", "unchanged")

    def open_requests(self) -> Mapping[str, int]:
        return {}

    def requests_left(self, addresses: Collection[str]) -> Mapping[str, int]:  # noqa: ARG002
        return {}

    def describe(self) -> str:
        return "none"

    def reopen_logs(self) -> None:
        """There are none."""

    def shut_down(self) -> None:
        """There is nothing to end."""

    def close(self) -> None:
        """There is nothing to release."""

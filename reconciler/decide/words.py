"""Words: how versions, volumes, routes and exits are told to people, wherever a sentence needs them."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model.spec import Route, Volume
from reconciler.model.version import Version, short


def naming(version: Version) -> str:
    """A version in a few words."""
    return f"{version.app.spec.image} of revision {short(version.revision)} (spec {version.spec_hash})"


def naming_volumes(volumes: Iterable[Volume]) -> str:
    """Volumes by what people call them."""
    return " and ".join(f"volume {v.name}" if v.name else f"hostPath {v.host_path}" for v in volumes)


def route_text(route: Route) -> str:
    """A route as people write it: ``shop.example.com/`` or ``*/web``."""
    return f"{route.host or '*'}{route.path}"


def exit_words(exit_code: int | None) -> str:
    """How a program ended."""
    return "exited" if exit_code is None else f"exited with code {exit_code}"

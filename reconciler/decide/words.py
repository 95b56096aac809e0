"""Words: how versions, volumes, routes and exits are told to people, wherever a sentence needs them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from reconciler.model.certificates import ServedCertificate
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


def expiry_words(certificate: ServedCertificate) -> str:
    """When a certificate's validity ends, or has ended: ``expires on 2026-11-24 15:12 UTC``."""
    verb = "expired" if certificate.standing == "expired" else "expires"
    return f"{verb} on {datetime.fromtimestamp(certificate.not_after, UTC):%Y-%m-%d %H:%M} UTC"


def exit_words(exit_code: int | None, out_of_memory: str = "") -> str:
    """How a program ended. ``out_of_memory``: what is to be said where the kernel ended it for want of memory."""
    words = "exited" if exit_code is None else f"exited with code {exit_code}"
    return f"{words}, {out_of_memory}" if out_of_memory else words


def out_of_memory_words(limit_bytes: int | None) -> str:
    """How it came that the kernel ended a program for want of memory, by the limit that it has."""
    if limit_bytes is None:
        return "OOMKilled: the host had no memory left, and it has no limit of its own (spec.resources.memory)"
    return f"OOMKilled: it needed more than its limit of {_size(limit_bytes)} (spec.resources.memory)"


def _size(size_bytes: int) -> str:
    units = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
    return next((f"{size_bytes // unit} {name}" for unit, name in units if size_bytes % unit == 0), f"{size_bytes} B")


def queued_words(behind: int | None, kind: str = "action") -> str:
    """What is said of an action in flight that has not begun, since so many others come first; "" of one that has."""
    if behind is None:
        return ""
    return f", queued behind {behind} other {kind}{'' if behind == 1 else 's'}"

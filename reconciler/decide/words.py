"""Words: how versions, routes, exits and changed fields are told to people, wherever a sentence needs them.

What may well be a secret is never told: of variables only names, of arguments only that they changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconciler.model.secrets import changed as changed_secrets
from reconciler.model.spec import Route, Volume
from reconciler.model.version import Version, container_fields, short

_PRIVATE = frozenset({"args", "command"})


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


def differences(old: Version | None, new: Version) -> tuple[str, ...]:
    """What differs for containers, each field as ``spec.image: web:1 → web:2``; empty where ``old`` is unknown."""
    if old is None or old.spec_hash == new.spec_hash:
        return ()
    before, after = container_fields(old.app), container_fields(new.app)
    changed = [
        f"spec.{name}: {_brief(name, before.get(name), after.get(name))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    paths = sorted(old.files.keys() | new.files.keys())
    changed += [f"file {path}: content" for path in paths if old.files.get(path) != new.files.get(path)]
    return (*changed, *(f"secret {name}: changed" for name in changed_secrets(old.secrets, new.secrets)))


def _brief(field: str, before: Any, after: Any) -> str:
    """What changed, without what may well be a password: of variables only names, of arguments nothing."""
    if field == "environment":
        old, new = ({variable["name"]: variable for variable in value or ()} for value in (before, after))
        return ", ".join(name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)) or "order"
    return "changed" if field in _PRIVATE else f"{_shortened(before)} → {_shortened(after)}"


def _shortened(value: Any) -> str:
    text = "none" if value in (None, [], {}) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"

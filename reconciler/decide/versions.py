"""Which version of an app is aimed at, and which one a container came from."""

from __future__ import annotations

from typing import Any

from reconciler.model.desired import Version, container_fields, short
from reconciler.model.state import AppState

# Why a version failed whose trial went badly: unlike others that failed, none of it serves any more.
CANARY_FAILED = "CanaryFailed"

_PRIVATE = frozenset({"args", "command"})


def target_of(app: AppState) -> Version:
    """The version to converge to: the newest one or, after it failed and is to be rolled back, the last stable one."""
    if app.failed and app.stable is not None and app.version.app.spec.strategy.on_failure == "rollback":
        return app.stable
    return app.version


def is_change(app: AppState, target: Version) -> bool:
    """Whether the target replaces another version: what a first deploy, a rollback and scaling never do."""
    return app.stable is not None and app.stable.spec_hash != target.spec_hash


def version_for(app: AppState, spec_hash: str) -> Version:
    """The version a container with this hash came from, as far as it is still known; else the newest."""
    if spec_hash == app.version.spec_hash:
        return app.version
    known = (app.stable, *app.former)
    return next((version for version in known if version and version.spec_hash == spec_hash), app.version)


def naming(version: Version) -> str:
    """A version in a few words."""
    return f"{version.app.spec.image} of revision {short(version.revision)} (spec {version.spec_hash})"


def differences(old: Version | None, new: Version) -> tuple[str, ...]:
    """The container fields that differ, each as ``spec.image: web:1 → web:2``; empty where ``old`` is unknown."""
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
    return tuple(changed)


def _brief(field: str, before: Any, after: Any) -> str:
    """What changed, without what may well be a password: of variables only names, of arguments nothing."""
    if field == "environment":
        old, new = ({variable["name"]: variable for variable in value or ()} for value in (before, after))
        return ", ".join(name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)) or "order"
    return "changed" if field in _PRIVATE else f"{_short(before)} → {_short(after)}"


def _short(value: Any) -> str:
    text = "none" if value in (None, [], {}) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"

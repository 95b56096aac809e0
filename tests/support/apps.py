"""Builders for apps and versions, so that a test names only what it is about."""

from __future__ import annotations

import json
from typing import Any

from reconciler.model.desired import Desired, Problem
from reconciler.model.spec import App
from reconciler.model.version import Version


def app(name: str = "web", *, replicas: int | None = 2, scaling: dict[str, Any] | None = None, **spec: Any) -> App:
    """An app from YAML-shaped values. ``replicas`` asks for manual scaling; None for the ``scaling`` given.

    ``health_check`` goes to the document, ``labels`` to ``metadata``; ``strategy`` and everything else to ``spec``.
    """
    health_check = spec.pop("health_check", {"path": "/healthz"})
    spec.setdefault("image", "demo:1")
    if spec.get("type") != "worker":
        spec.setdefault("ports", [{"containerPort": 8080, "protocol": "HTTP"}])
    else:
        health_check = None
    metadata = {"name": name, "labels": spec.pop("labels", {})}
    document: dict[str, Any] = {"apiVersion": "v1", "kind": "App", "metadata": metadata, "spec": spec}
    document["scaling"] = scaling if replicas is None else {"mode": "manual", "replicas": replicas, **(scaling or {})}
    if health_check is not None:
        document["healthCheck"] = health_check
    return App.model_validate_json(json.dumps(document))


def version(name: str = "web", *, revision: str = "r1", files: dict[str, bytes] | None = None, **spec: Any) -> Version:
    """An app as a revision has it. ``files`` are contents by path; which of them are mounted is ``mounts``."""
    if mounts := spec.pop("mounts", None):
        spec["files"] = mounts
    return Version.of(app(name, **spec), revision, f"{name}.yaml", files)


def desired(*versions: Version, revision: str = "r1", problems: tuple[Problem, ...] = ()) -> Desired:
    return Desired(revision, {v.name: v for v in versions}, problems)

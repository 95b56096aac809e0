"""What a revision of the source asks for: app versions, and the problems found on the way.

A broken file is a value here (`Problem`), never an exception: bad input must not take the good input with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.model.spec import App

# What a running container cannot change without being created anew. Everything absent here (replicas, scaling,
# health, routes, strategy, pull policy) takes effect without touching a container.
_CONTAINER_FIELDS = (
    "type",
    "image",
    "command",
    "args",
    "working_dir",
    "ports",
    "resources",
    "environment",
    "volumes",
    "files",
    "restart_token",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the source, with everything its author needs to mend it.

    ``line`` counts from 1 and is None where a whole file is meant. ``found`` never holds a secret value.
    """

    path: str
    line: int | None
    field: str
    found: str
    expected: str
    app_name: str | None = None

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        subject = f"{self.field}: " if self.field else ""
        return f"{place}: {subject}found {self.found}; expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Version:
    """One app as one revision has it.

    ``revision`` is the commit (or the directory's digest) it was read from; ``path`` its file, relative to the
    source; ``files`` the content of ``spec.files`` by path, taken from the same snapshot; ``spec_hash`` names
    what containers are created from, so equal hashes mean that nothing has to be recreated.
    """

    app: App
    revision: str
    path: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    spec_hash: str = ""

    @classmethod
    def of(cls, app: App, revision: str, path: str, files: Mapping[str, bytes] | None = None) -> Version:
        contents = dict(files or {})
        return cls(app, revision, path, contents, _digest(container_fields(app), contents))

    @property
    def name(self) -> str:
        return self.app.metadata.name


@dataclass(frozen=True, slots=True)
class Desired:
    """All that one snapshot of the source asks for.

    ``revision`` names the snapshot; ``notices`` are things people should know that are nobody's error, such as
    uncommitted changes that were ignored.
    """

    revision: str
    apps: Mapping[str, Version]
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()


def short(revision: str) -> str:
    """A revision as people write it: the first twelve characters of a commit."""
    return revision[:12] if len(revision) == 40 else revision


def container_fields(app: App) -> dict[str, Any]:
    """The part of a spec that containers are created from, as plain JSON values under their YAML names."""
    return app.spec.model_dump(mode="json", by_alias=True, include=set(_CONTAINER_FIELDS), exclude_none=True)


def _digest(fields: dict[str, Any], files: Mapping[str, bytes]) -> str:
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    text = json.dumps({"container": fields, "files": digests}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]

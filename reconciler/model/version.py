"""A version: one app as one revision has it, and the spec hash that names what its containers are created from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.model.defaults import FIRST_EDITION, ContainerDefaults, defaults_of, latest_edition
from reconciler.model.image import ResolvedImage
from reconciler.model.spec import (
    App,
    AppSpec,
    ContainerPort,
    File,
    Part,
    PlainVariable,
    Resources,
    SdkVariable,
    SecretVariable,
    Volume,
)

# What a running container cannot change without being created anew. Everything absent here (replicas, scaling,
# health, routes, strategy, pull policy) takes effect without touching a container.
CONTAINER_FIELDS = frozenset(
    {
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
    }
)

# The container fields of the first release, and theirs in turn: these stand in every hash, given or not. Any field that
# came later enters a hash only where a spec gives it, so that its coming recreates nothing. Nothing is added here.
_FIRST_FIELDS: Mapping[type[Part], frozenset[str]] = {
    AppSpec: frozenset(CONTAINER_FIELDS),
    ContainerPort: frozenset({"name", "container_port", "protocol"}),
    Resources: frozenset({"cpu", "memory", "pids"}),
    PlainVariable: frozenset({"name", "value"}),
    SdkVariable: frozenset({"name", "source", "key"}),
    SecretVariable: frozenset({"name", "source", "key", "field"}),
    Volume: frozenset({"name", "host_path", "mount_path", "read_only"}),
    File: frozenset({"path", "mount_path", "mode"}),
}


@dataclass(frozen=True, slots=True)
class Version:
    """An app as one revision has it.

    ``revision`` is the commit (or the directory's digest) it was read from; ``path`` its file, relative to the
    source; ``files`` the content of ``spec.files`` by path, taken from the same snapshot; ``spec_hash`` names
    what containers are created from, so equal hashes mean that nothing has to be recreated. ``defaults`` is the
    edition of container defaults they are created with; ``image`` is what its reference to an image meant when it was
    applied, None before that is known.
    """

    app: App
    revision: str
    path: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    spec_hash: str = ""
    defaults: int = FIRST_EDITION
    image: ResolvedImage | None = None

    @classmethod
    def of(cls, app: App, revision: str, path: str, files: Mapping[str, bytes] | None = None) -> Version:
        """The version as the source has it now, with the latest defaults."""
        contents = dict(files or {})
        return cls(app, revision, path, contents, _digest(container_fields(app), contents), latest_edition())

    @property
    def name(self) -> str:
        return self.app.metadata.name

    def like(self, sibling: Version) -> Version:
        """This version with what was recorded of one with the same spec hash: replicas of it are alike, whenever they
        are made."""
        return replace(self, defaults=sibling.defaults, image=sibling.image)

    @property
    def image_reference(self) -> str:
        """What its containers are created from."""
        return self.image.reference if self.image else self.app.spec.image

    @property
    def container_defaults(self) -> ContainerDefaults:
        return defaults_of(self.defaults)


def short(revision: str) -> str:
    """A revision as people write it: the first twelve characters of a commit, be its name of 40 or of 64."""
    return revision[:12] if len(revision) in (40, 64) else revision


def container_fields(app: App) -> dict[str, Any]:
    """The part of a spec that containers are created from, as plain JSON values under their YAML names."""
    return _hashed(app.spec, CONTAINER_FIELDS)


def _hashed(part: Part, names: frozenset[str] | None = None) -> dict[str, Any]:
    first = _FIRST_FIELDS.get(type(part), frozenset())
    fields = {}
    for name, info in type(part).model_fields.items():
        value = getattr(part, name)
        known = names is None or name in names
        if known and value is not None and (name in first or name in part.model_fields_set):
            fields[info.alias or name] = _plain(value)
    return fields


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return _hashed(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _digest(fields: dict[str, Any], files: Mapping[str, bytes]) -> str:
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    text = json.dumps({"container": fields, "files": digests}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]

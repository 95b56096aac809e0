"""A version: one app as one revision has it, and the spec hash that names what its containers are created from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.model.change import Change
from reconciler.model.defaults import FIRST_EDITION, ContainerDefaults, defaults_of, latest_edition
from reconciler.model.image import ResolvedImage
from reconciler.model.secrets import combined
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
        "init",
        "logging",
    }
)
_LATER_FIELDS = frozenset({"init", "logging"})

# The container fields of the first release, and theirs in turn: these stand in every hash, given or not. Any field that
# came later enters a hash only where a spec gives it, so that its coming recreates nothing. Nothing is added here.
_FIRST_FIELDS: Mapping[type[Part], frozenset[str]] = {
    AppSpec: CONTAINER_FIELDS - _LATER_FIELDS,
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
    applied, None before that is known. ``secrets`` are the digests of those they are created with, empty before those
    are known; ``secrets_turn`` is how often they have changed under it, each time for another spec hash. ``change`` is
    the commit that made the app what it is, where that is known: versions that differ in nothing else are equal.
    """

    app: App
    revision: str
    path: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    spec_hash: str = ""
    defaults: int = FIRST_EDITION
    image: ResolvedImage | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    secrets_turn: int = 0
    change: Change | None = field(default=None, compare=False)

    @classmethod
    def of(cls, app: App, revision: str, path: str, files: Mapping[str, bytes] | None = None) -> Version:
        """The version as the source has it now, with the latest defaults."""
        contents = dict(files or {})
        return cls(app, revision, path, contents, _digest(container_fields(app), contents), latest_edition())

    @property
    def name(self) -> str:
        return self.app.metadata.name

    def like(self, sibling: Version) -> Version:
        """This version with what was recorded of one whose spec says the same: replicas of it are alike, whenever they
        are made."""
        return replace(
            self,
            spec_hash=sibling.spec_hash,
            defaults=sibling.defaults,
            image=sibling.image,
            secrets=sibling.secrets,
            secrets_turn=sibling.secrets_turn,
        )

    @property
    def text_hash(self) -> str:
        """The spec hash by what the spec says alone, as a version has it that comes from the source."""
        return _digest(container_fields(self.app), self.files) if self.secrets_turn else self.spec_hash

    def with_changed_secrets(self, digests: Mapping[str, str]) -> Version:
        """The version after its secrets have changed: its containers have to be created anew."""
        spec_hash = hash_with_secrets(self.text_hash, combined(digests))
        return replace(self, spec_hash=spec_hash, secrets=digests, secrets_turn=self.secrets_turn + 1)

    def with_secrets_of(self, newest: Version) -> Version:
        """This version, to be created with the secrets that were noticed for the newest: those of before are gone. On
        others, which the newest doesn't use, nobody insists."""
        noticed = {name: newest.secrets[name] for name in self.secrets if name in newest.secrets}
        return self if noticed == self.secrets else replace(self, secrets=noticed)

    @property
    def image_reference(self) -> str:
        """What its containers are created from."""
        return self.image.reference if self.image else self.app.spec.image

    @property
    def container_defaults(self) -> ContainerDefaults:
        return defaults_of(self.defaults)


def hash_with_secrets(text_hash: str, secrets_digest: str) -> str:
    """The spec hash of a version whose secrets have changed under it, to these."""
    return hashlib.sha256(f"{text_hash} {secrets_digest}".encode()).hexdigest()[:12]


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

"""Images: what a reference in a spec means, and what it meant when its version was applied.

A tag can come to mean something else at any time; a build can't. So a reference is resolved once for a version, and its
replicas are made from that very build ever after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Image:
    """An image on the host: the Engine's ``id`` of it (``sha256:…``), and the references by which repositories know it
    (``NAME@sha256:…``)."""

    id: str
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """The image that a version's reference meant when it was applied: its ``id``, and the reference by which it can be
    pulled again (``NAME@sha256:…``), "" for one that was built or loaded on the host."""

    id: str
    digest: str = ""

    @property
    def reference(self) -> str:
        """What it is created from: by its digest or, where it has none, by its id."""
        return self.digest or self.id

    @property
    def bare(self) -> str:
        """The same without a name: ``sha256:…``."""
        return self.reference.rpartition("@")[2]

    @property
    def short(self) -> str:
        """What tells it from others, for people."""
        return self.bare[:19]


def resolved(reference: str, images: Mapping[str, Image]) -> ResolvedImage | None:
    """What a reference means on this host now; None where nothing has that name. ``images`` are those that are there,
    by each of their familiar names."""
    image = images.get(familiar(reference))
    return _of(reference, image) if image else None


def resolved_id(image_id: str, reference: str, images: Mapping[str, Image]) -> ResolvedImage:
    """The image of this id, which a replica was made from when ``reference`` meant it."""
    return _of(reference, images.get(image_id, Image(image_id)))


def familiar(reference: str) -> str:
    """A reference in the Engine's own short form, by which images are listed: without what everybody leaves out, and
    with the tag where nothing else is said."""
    name, _, digest = reference.removeprefix("docker.io/").removeprefix("library/").partition("@")
    repository, _, tag = name.rpartition(":")
    tagged = bool(repository) and "/" not in tag
    if digest:
        return f"{repository if tagged else name}@{digest}"
    return name if tagged else f"{name}:latest"


def registry_of(reference: str) -> str:
    """The registry that a reference is pulled from, by Docker's rule: the part before the first slash is a host if it
    looks like one."""
    host, slash, _ = reference.partition("/")
    return host if slash and ("." in host or ":" in host or host == "localhost") else "docker.io"


def _of(reference: str, image: Image) -> ResolvedImage:
    repository = _repository(reference)
    return ResolvedImage(image.id, next((name for name in image.digests if _repository(name) == repository), ""))


def _repository(reference: str) -> str:
    name = familiar(reference)
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]

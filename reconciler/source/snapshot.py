"""What every kind of source hands over: one moment of its files, named by content.

Decides which files are specs and what may be read at all. A name ending in .yaml or .yml is a spec, unless it or a
directory above it is hidden. Symbolic links, submodules and devices are never followed or opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from reconciler.model.change import Change

MAX_CONTENT_BYTES = 1024 * 1024
MAX_TOTAL_BYTES = 64 * 1024 * 1024
MAX_ENTRIES = 20_000

Kind = Literal["file", "symbolic link", "submodule", "special file", "file without its content"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, by its path below the source's directory (with /). ``blob`` names the content as git does."""

    path: str
    kind: Kind
    blob: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """Something that an app is made of: a file, whose content ``blob`` names or, by a digest of its ``text``, a
    document of it, which may be one ``of_several``."""

    path: str
    blob: str = field(compare=False)
    text: str
    of_several: bool = field(default=False, compare=False)

    @classmethod
    def whole(cls, path: str, blob: str) -> Part:
        """A file as a whole."""
        return cls(path, blob, blob)


def untold(_parts: Sequence[Part]) -> Mapping[Part, Change]:
    """What is known of changes where there is no history."""
    return {}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a source at one moment. ``contents`` reads files of this moment by path; it raises Unavailable
    rather than mix two. ``changes`` says what changed parts of it last, the newest first, as far as there is any
    history."""

    revision: str
    entries: Mapping[str, Entry]
    contents: Callable[[Sequence[Entry]], Mapping[str, bytes]]
    changes: Callable[[Sequence[Part]], Mapping[Part, Change]] = untold


def is_spec(path: str) -> bool:
    return path.endswith((".yaml", ".yml")) and not is_hidden(path)


def misnamed(path: str) -> str:
    """The path that a file should have to be a spec, where only its ending's spelling keeps it from being one; else
    nothing."""
    stem, dot, ending = path.rpartition(".")
    meant = f"{stem}{dot}{ending.lower()}"
    return meant if meant != path and is_spec(meant) else ""


def is_hidden(path: str) -> bool:
    return path.startswith(".") or "/." in path


def is_in_hidden_directory(path: str) -> bool:
    """Whether a file lies in a hidden directory, and so is no part of a snapshot at all."""
    return is_hidden(path.rpartition("/")[0])


def blob_name(content: bytes, algorithm: str = "sha1") -> str:
    """The name git gives a file of this content. An identity, not a protection."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    digest.update(b"blob %d\0" % len(content))
    digest.update(content)
    return digest.hexdigest()

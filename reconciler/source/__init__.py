"""The desired state: snapshots of git or of a directory, and strict YAML that becomes app specs.

``open_source`` is what the loop reads from; ``validate`` and ``json_schema`` serve the commands of the same names. The
modules from ``document`` to ``specs`` turn bytes into apps and know nothing of git; ``directory``, ``worktree`` and
``remote`` decide which bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reconciler.ports import Source
from reconciler.source.schema import json_schema
from reconciler.source.validation import Caution, Validation, format_validation, validate

# How long a start waits for the first reading: over the network it may never come, from a disk it hardly ever lasts.
FIRST_FETCH_SECONDS = 10.0
_FIRST_LOOK_SECONDS = 120.0


def open_source(
    source: str,
    *,
    branch: str | None = None,
    path: str | None = None,
    state_dir: Path,
    wake: Callable[[], None],
    fetch_interval_seconds: float = 30.0,
    fetch_silence_seconds: float = 60.0,
    first_fetch_seconds: float | None = FIRST_FETCH_SECONDS,
    allow_file_urls: bool = False,
) -> Source:
    """Open a directory, a git work tree, a bare repository or a git URL.

    ``path`` is a directory below it; ``wake`` is called, from any thread, when there is something new. It is read once
    before this returns, unless that takes longer than two minutes for a path, ``first_fetch_seconds`` for a URL (None:
    as long as it takes). Raises ValueError, with the remedy, for a source that can never work; one that just can't be
    read now raises Unavailable when it is read.
    """
    # GitPython takes a tenth of a second to import; commands that only validate shouldn't pay for it.
    from reconciler.source.local import LocalSource
    from reconciler.source.remote import RemoteSource
    from reconciler.source.urls import checked_branch, checked_directory, checked_remote, is_url

    if branch is not None:
        checked_branch(branch)
    if not is_url(source) or Path(source).exists():
        local = LocalSource(Path(source).absolute() / checked_directory(path or ""), branch, wake)
        local.wait_for_first_reading(_FIRST_LOOK_SECONDS)
        return local
    remote = checked_remote(source, allow_file=allow_file_urls)
    directory = checked_directory(path or "")
    opened = RemoteSource(
        remote, branch, directory, state_dir, wake, fetch_interval_seconds, silence_seconds=fetch_silence_seconds
    )
    opened.wait_for_first_reading(first_fetch_seconds)
    return opened


__all__ = [
    "FIRST_FETCH_SECONDS",
    "Caution",
    "Validation",
    "format_validation",
    "json_schema",
    "open_source",
    "validate",
]

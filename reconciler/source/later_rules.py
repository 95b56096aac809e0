"""Rules that came after the first version: a spec in the source must keep them, one on record need not.

The model can't hold them, since what an earlier version has recorded is read by it as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.spec import MAX_LABELS, App
from reconciler.source.document import Fault


def faults(app: App) -> Iterator[Fault]:
    """What is wrong with the app by these rules."""
    yield from _too_many_labels(app)
    yield from _files_in_read_only_volumes(app)


def _too_many_labels(app: App) -> Iterator[Fault]:
    count = len(app.metadata.labels)
    if count > MAX_LABELS:
        yield Fault(("metadata", "labels"), 0, f"{count} labels", f"at most {MAX_LABELS} labels")


def _files_in_read_only_volumes(app: App) -> Iterator[Fault]:
    """Files that could never be placed."""
    for index, file in enumerate(app.spec.files):
        if volume := app.spec.read_only_around(file):
            found = f'"{file.mount_path}" inside the volume at {volume.mount_path}, which is readOnly'
            yield Fault(("spec", "files", index, "mountPath"), 0, found, "a path outside of volumes that are readOnly")

"""Whether the disk of the state directory is full, before anything there has to be written in need of room."""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.model.observed import Outage

# Less than one transaction of a database may need.
_MIN_FREE_BYTES = 128 * 1024


def fullness(state_dir: Path) -> Outage | None:
    """The outage that a full disk is; None where there is room, or nothing can be told."""
    try:
        disk = os.statvfs(state_dir)
    except OSError:
        return None
    # What a file system keeps back for root is room for root.
    blocks, inodes = (disk.f_bfree, disk.f_ffree) if os.geteuid() == 0 else (disk.f_bavail, disk.f_favail)
    if disk.f_blocks and blocks * disk.f_frsize < _MIN_FREE_BYTES:
        return Outage("disk", f"less than {_MIN_FREE_BYTES >> 10} KiB are left at {state_dir}; make room there")
    if disk.f_files and not inodes:
        return Outage("disk", f"no file can be made at {state_dir}; remove some there")
    return None

"""What a replica may mount: the volumes that `volumes` lets it, and host paths that settings allow.

Asked before anything is created, or stopped for it. What is refused is no fault of the spec's: a setting, or people at
the host, can mend it. So it is tried again later.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from reconciler.model.reasons import Reason
from reconciler.model.version import Version
from reconciler.ports import Rejected
from reconciler.runtime.client import BoundedClient
from reconciler.runtime.translate import volume_name
from reconciler.runtime.volumes import Volumes


class MountPolicy:
    """The rule by which an instance mounts things. ``allow_host_paths`` are the directories that specs may name."""

    def __init__(self, instance: str, volumes: Volumes, allow_host_paths: Sequence[str]) -> None:
        self._instance = instance
        self._volumes = volumes
        self._allowed = tuple(PurePosixPath(path) for path in allow_host_paths)

    def check(self, api: BoundedClient, version: Version) -> None:
        """Make sure that all may be mounted which the version mounts. Raises TryLater for what may not."""
        for volume in version.app.spec.volumes:
            if volume.name is not None:
                self._volumes.check(api, volume_name(volume.name, self._instance))
            elif volume.host_path is not None:
                self._check_host_path(volume.host_path)

    def _check_host_path(self, path: str) -> None:
        if not any(PurePosixPath(path).is_relative_to(allowed) for allowed in self._allowed):
            allowed = ", ".join(map(str, self._allowed)) or "none are"
            raise Rejected(Reason.HOST_PATH_REFUSED, f"hostPath {path} is not among those allowed here ({allowed})")

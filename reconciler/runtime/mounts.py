"""What a replica may mount: the volumes that `volumes` lets it, and the host paths that `host_paths` does.

Asked before anything is created, or stopped for it, and where a host path is followed anew: before each start of ours.
What is refused is no fault of the spec's: a setting, or people at the host, can mend it. So it is tried again later.
"""

from __future__ import annotations

from reconciler.model.version import Version
from reconciler.runtime.client import BoundedClient
from reconciler.runtime.host_paths import HostPaths
from reconciler.runtime.translate import mounts_of, volume_name
from reconciler.runtime.volumes import Volumes


class MountPolicy:
    """The rule by which an instance mounts things."""

    def __init__(self, instance: str, volumes: Volumes, host_paths: HostPaths) -> None:
        self._instance = instance
        self._volumes = volumes
        self._host_paths = host_paths

    def check(self, api: BoundedClient, version: Version) -> None:
        """Make sure that all may be mounted which the version mounts. Raises TryLater for what may not."""
        for volume in version.app.spec.volumes:
            if volume.name is not None:
                self._volumes.check(api, volume_name(volume.name, self._instance))
            elif volume.host_path is not None:
                self._host_paths.check(volume.host_path, read_only=volume.read_only)

    def check_again(self, api: BoundedClient, container_id: str) -> None:
        """Make sure that a container of ours that is to be started still mounts no host path that it may not. Raises
        TryLater, and docker's NotFound for a container that is not there."""
        for mount in mounts_of(api.inspect_container(container_id)):
            if mount["Type"] == "bind":
                self._host_paths.check(mount["Source"], read_only=mount.get("ReadOnly", False))

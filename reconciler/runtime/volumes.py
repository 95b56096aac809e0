"""Whose a volume is: only what is ours, or was lent to us, may be mounted.

A volume is ours by its labels, which the Engine gives it where it makes one for a mount of ours. Others may be lent by
a setting. And some are inherited: version 1.0.0 mounted whatever volume a spec named, and what its replicas mount holds
their data. Those are written down once, at the first start that asks; from then on no volume becomes ours by being
mounted. None is ever created, changed or removed here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from docker.errors import NotFound

from reconciler.model.reasons import Reason
from reconciler.ports import TryLater, Unavailable
from reconciler.runtime.client import BoundedClient
from reconciler.runtime.translate import is_ours, is_replica, mounts_of, ownership_labels

log = logging.getLogger("orchestry")


class Volumes:
    """The volumes that an instance may mount. ``lent`` are those that settings allow; ``record`` is the file that keeps
    the names of the inherited ones, None where they are found out at each start."""

    def __init__(self, instance: str, lent: Collection[str], record: Path | None) -> None:
        self._instance = instance
        self._lent = frozenset(lent)
        self._record = record
        self._inherited: frozenset[str] | None = None

    def take_stock(self, api: BoundedClient) -> None:
        """Find out which volumes are inherited; no call where that is known. Raises Unavailable where it can't be kept
        on record."""
        if self._inherited is not None:
            return
        inherited = self._read_record()
        if inherited is None:
            inherited = self._find_inherited(api)
            self._write_record(inherited)
            for name in sorted(inherited):
                log.warning("volume %s is not labelled as ours; it stays in use, since replicas mount it already", name)
        self._inherited = inherited

    def check(self, api: BoundedClient, name: str) -> None:
        """Make sure that a volume, by the Engine's name for it, may be mounted: it may be absent. Raises TryLater."""
        if name in self._lent:
            return
        self.take_stock(api)
        assert self._inherited is not None
        if name in self._inherited:
            return
        try:
            labels = api.inspect_volume(name)["Labels"]
        except NotFound:
            return
        if not is_ours(labels, self._instance):
            raise TryLater(
                Reason.VOLUME_FOREIGN,
                f"volume {name} is there and not labelled as ours, so it may hold somebody else's data and is left "
                "alone: give the spec's volume another name, or lend this one by allow_volumes in the controller's "
                "settings",
            )

    def _find_inherited(self, api: BoundedClient) -> frozenset[str]:
        labels = [f"{key}={value}" for key, value in ownership_labels(self._instance).items()]
        mounted = frozenset(self._mounted(api, labels))
        ours = api.volumes(filters={"label": labels})["Volumes"] or () if mounted else ()
        return mounted - {volume["Name"] for volume in ours}

    def _mounted(self, api: BoundedClient, labels: list[str]) -> Iterator[str]:
        """The named volumes that our replicas mount."""
        for entry in api.containers(all=True, filters={"label": labels}):
            if not is_replica(entry, self._instance):
                continue
            try:
                mounts = mounts_of(api.inspect_container(entry["Id"]))
            except NotFound:  # gone since it was listed
                continue
            yield from (mount["Source"] for mount in mounts if mount["Type"] == "volume")

    def _read_record(self) -> frozenset[str] | None:
        """The inherited volumes on record; None where there is no record, or one that was cut short."""
        if self._record is None:
            return None
        try:
            return frozenset(json.loads(self._record.read_text("utf-8")))
        except (FileNotFoundError, ValueError):
            return None
        except OSError as error:
            raise Unavailable(f"{self._record} can't be read: {error.strerror}") from error

    def _write_record(self, names: frozenset[str]) -> None:
        if self._record is None:
            return
        try:
            self._record.parent.mkdir(parents=True, exist_ok=True)
            self._record.write_text(json.dumps(sorted(names)) + "\n", "utf-8")
        except OSError as error:
            raise Unavailable(f"{self._record} can't be written: {error.strerror}") from error

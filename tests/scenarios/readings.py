"""What the source has handed out, and so what the controller may be going by.

A reading counts for certain once a tick that made it has ended. Of one that was cut off nobody outside can tell whether
it is on record: then either may hold, and the witness allows for both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import pairwise

from reconciler.model.desired import Desired
from reconciler.model.version import Version


class Readings:
    """``history`` are all versions of each app that were ever handed out, oldest first."""

    def __init__(self) -> None:
        self.history: dict[str, list[Version]] = {}
        self._fresh: Desired | None = None
        self._last: list[Desired] = []
        self._remembered: dict[str, list[Version]] = {}
        self._recorded: set[str] = set()
        self._may_be_forgotten: set[str] = set()

    def begin_tick(self) -> None:
        self._fresh = None

    def hand_out(self, desired: Desired) -> None:
        """The controller reads this; whether it is on record will show."""
        self._fresh = desired
        self._last.append(desired)
        for name, version in desired.apps.items():
            self.history.setdefault(name, []).append(version)
            self._remembered.setdefault(name, []).append(version)
            self._may_be_forgotten.discard(name)
        self._may_be_forgotten |= {name for name in self._remembered if self._may_go(name, desired)}

    def end_tick(self) -> list[str]:
        """The tick ended, and what it read is on record. The apps that have another spec since, scaling aside."""
        changed = []
        if self._fresh is not None:
            self._last = [self._fresh]
            for name, version in self._fresh.apps.items():
                before = self._remembered[name][0]
                if before is version and len(self._remembered[name]) == 1 or _differ(before, version):
                    changed.append(name)
                self._remembered[name] = [version]
                self._recorded.add(name)
        return changed

    def lose(self) -> None:
        """The database is lost: of all that was read, nothing is known."""
        self._last, self._remembered, self._recorded = [], {}, set()

    def going_by(self, name: str) -> list[Version | None]:
        """The versions of this app that the controller may be holding for wanted just now; None: that the app is to go.
        Empty where it can't know the app: then nothing may be done about it."""
        versions: list[Version | None] = []
        for desired in [self._fresh] if self._fresh else self._last:
            if name in desired.apps:
                versions.append(desired.apps[name])
            else:
                versions += [None] if self._may_go(name, desired) else []
                versions += [] if self._must_go(name, desired) else self._remembered.get(name, [])
        return versions

    def wanted(self, name: str) -> list[Version]:
        """The same, without the possibility that it is to go."""
        return [version for version in self.going_by(name) if version is not None]

    def is_changed(self, name: str) -> bool:
        """Whether this very tick reads another spec of the app, scaling aside, or reads it for the first time."""
        versions = self._remembered.get(name, [])
        if self._fresh is None or name not in self._fresh.apps:
            return False
        return len(versions) == 1 or any(_differ(before, after) for before, after in pairwise(versions))

    def is_known(self, name: str) -> bool:
        """Whether the controller has the app on record for certain."""
        return name in self._recorded and name not in self._may_be_forgotten

    def of_hash(self, name: str, spec_hash: str) -> list[Version]:
        """All versions with this hash that were ever handed out."""
        return [version for version in self.history.get(name, ()) if version.spec_hash == spec_hash]

    def hashes(self, name: str) -> list[str]:
        """The spec hashes of the app in the order in which they came, the last of equals counting."""
        return list(dict.fromkeys(version.spec_hash for version in reversed(self.history.get(name, ()))))[::-1]

    def _may_go(self, name: str, desired: Desired) -> bool:
        """Whether a good reading lacks the app: its file isn't broken, nor can be, and something else is asked for."""
        broken = broken_names(desired)
        orphaned = name not in self._remembered
        if name in desired.apps or name in broken or (orphaned and broken):
            return False
        return bool(desired.apps or broken)

    def _must_go(self, name: str, desired: Desired) -> bool:
        """Whether it may go, and some app that stays is known, so that not all would be gone."""
        known = desired.apps or [other for other in broken_names(desired) if self.is_known(other)]
        return bool(known) and self._may_go(name, desired)


def broken_names(desired: Desired) -> Collection[str]:
    """The apps whose files are broken, by the files' names: what is in them can't be told."""
    return {problem.path.removesuffix(".yaml") for problem in desired.problems}


def lowest_count(versions: Iterable[Version]) -> int:
    return min(version.app.scaling.manual_replicas for version in versions)


def _differ(before: Version, after: Version) -> bool:
    old, new = before.app, after.app
    return (old.spec, old.health_check, before.files) != (new.spec, new.health_check, after.files)

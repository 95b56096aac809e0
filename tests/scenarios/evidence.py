"""What the world has shown of every version: whether it was whole once, and what speaks against it.

From this follows whether the controller may rightly have given a version up. It can't be told for certain: how often
the controller looked, and so what it noticed, is its own affair. So this says what may be, as strictly as the world
allows: without any of the reasons for which a rollout fails, none may have.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from reconciler.model.version import Version

CRASHES_OF_A_LOOP = 3


class Evidence:
    """``at`` counts seconds as the controller sees them pass, those included by which its clock was set forward."""

    def __init__(self) -> None:
        self.at = 0.0
        self._whole: defaultdict[str, list[str]] = defaultdict(list)
        self._forgotten: set[str] = set()
        self._deaths: Counter[tuple[str, str, str]] = Counter()
        self._troubled: set[tuple[str, str]] = set()
        self._unwell: set[tuple[str, str]] = set()
        self._changed_at: dict[str, float] = {}
        self._failed: set[str] = set()
        self._refused: set[str] = set()

    # --- what is shown

    def changed(self, name: str) -> None:
        """The app has another spec: what failed before gets a new chance."""
        self._changed_at[name] = self.at
        self._failed.discard(name)
        self._refused.discard(name)

    def was_whole(self, name: str, spec_hash: str) -> None:
        """As many replicas ran as were wanted, all of them of this hash and well."""
        if spec_hash in self._whole[name]:
            self._whole[name].remove(spec_hash)
        self._whole[name].append(spec_hash)
        self._forgotten.discard(name)

    def went(self, name: str) -> None:
        """The app was to go: what is on record of it may be gone with it."""
        self._forgotten.add(name)

    def died(self, name: str, spec_hash: str, replica: str) -> None:
        self._deaths[name, spec_hash, replica] += 1
        self._troubled.add((name, spec_hash))

    def troubled(self, name: str, spec_hash: str) -> None:
        """A container of this version was paused or removed by hand."""
        self._troubled.add((name, spec_hash))

    def unwell(self, name: str, spec_hash: str) -> None:
        """A replica of this version failed a check, or it serves badly."""
        self._unwell.add((name, spec_hash))

    def failed(self, name: str, *, refused: bool) -> None:
        """A call on behalf of this app failed; ``refused`` as one that will fail again."""
        self._failed.add(name)
        if refused:
            self._refused.add(name)

    def lose(self) -> None:
        """The database is lost: which versions were whole, nobody knows any more."""
        self._whole.clear()

    # --- what follows

    def whole(self, name: str) -> list[str]:
        """The hashes that were whole, the last one last."""
        return self._whole[name]

    def has_been_whole(self, name: str) -> bool:
        """Whether some version was whole, and the controller still knows of it."""
        return bool(self._whole[name]) and name not in self._forgotten

    def may_be_refused(self, name: str) -> bool:
        """Whether its replicas may wait for a changed spec, since they could not be created from this one."""
        return name in self._refused

    def may_have_failed(self, version: Version) -> bool:
        """Whether the rollout of this version may have been given up. Only one that replaces another can be."""
        name, spec_hash = version.name, version.spec_hash
        if not set(self._whole[name]) - {spec_hash}:
            return False
        crashes = max((n for key, n in self._deaths.items() if key[:2] == (name, spec_hash)), default=0)
        canary_failed = version.app.spec.strategy.canary is not None and (name, spec_hash) in self._unwell
        return crashes >= CRASHES_OF_A_LOOP or canary_failed or name in self._refused or self._is_late(version)

    def _is_late(self, version: Version) -> bool:
        """Whether its deadline has passed, and something is known against it."""
        key = version.name, version.spec_hash
        since = self._changed_at.get(version.name, self.at)
        late = self.at - since >= version.app.spec.strategy.progress_deadline_seconds
        return late and (key in self._troubled or key in self._unwell or version.name in self._failed)

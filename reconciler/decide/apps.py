"""Which apps there are: what the source asks for, held against what is remembered.

Bad input is never a deletion. An app whose file is broken keeps its last good spec; an app that is absent goes only
if the snapshot was good, nothing suggests that its file is merely broken, and the deletion budget allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.decide.scaling import initial_count
from reconciler.decide.versions import differences
from reconciler.model.desired import Desired, Version
from reconciler.model.events import Event
from reconciler.model.memory import AppMemory, Memory, Repetition
from reconciler.model.plan import Policy
from reconciler.model.scaling import ScalingMemory

BUDGET_APPLIES_FROM_APPS = 4


@dataclass(frozen=True, slots=True)
class Registration:
    """``leaving`` are apps to be removed now; ``held_back`` says why others are not, for people."""

    memory: Memory
    leaving: frozenset[str]
    events: tuple[Event, ...]
    held_back: str = ""


def last_desired(memory: Memory) -> Desired:
    """What was asked for last: the desired state while the source can't be read."""
    return Desired(memory.revision, {name: app.version for name, app in memory.apps.items()})


def register(
    desired: Desired, memory: Memory, replicas_seen: Mapping[str, int], policy: Policy, now: float
) -> Registration:
    """Carry the apps forward to this revision. ``replicas_seen`` counts the containers of each app on the host: an
    app known only by them is an orphan, and one that is new to memory keeps as many as its policy allows."""
    orphans = frozenset(replicas_seen) - memory.apps.keys() - desired.apps.keys()
    events: list[Event] = []
    apps = dict(memory.apps)
    for name, version in sorted(desired.apps.items()):
        apps[name], event = _follow(apps.get(name), version, replicas_seen.get(name, 0), now)
        events += event
    if desired.revision != memory.revision:
        events.append(Event(now, "source", f"revision {short(desired.revision)} applied"))
    absent = _absent(desired, apps, orphans)
    known = frozenset(apps) | orphans
    held_back = _over_budget(absent, known, desired.revision, policy)
    for name in absent & apps.keys():
        apps[name] = replace(apps[name], missing_since=apps[name].missing_since or now)
    memory = replace(memory, apps=apps, revision=desired.revision)
    return Registration(memory, frozenset() if held_back else absent, tuple(events), held_back)


def short(revision: str) -> str:
    """A revision as people write it: the first twelve characters of a commit."""
    return revision[:12] if len(revision) == 40 else revision


def _follow(app: AppMemory | None, version: Version, seen: int, now: float) -> tuple[AppMemory, list[Event]]:
    if app is None:
        message = f"registered from {version.path} at {short(version.revision)}"
        return _new(version, seen, now), [Event(now, "app", message, version.name)]
    if app.version is version or app.version == version:
        return (app if app.missing_since is None else replace(app, missing_since=None)), []
    changed = app.version.app != version.app or app.version.files != version.files
    if not changed:
        return replace(app, version=version, missing_since=None), []
    return _change(app, version, now)


def _change(app: AppMemory, version: Version, now: float) -> tuple[AppMemory, list[Event]]:
    fields = differences(app.version, version)
    message = f"spec changed at {short(version.revision)}" + (f": {'; '.join(fields)}" if fields else "")
    # A changed spec is a new chance: what only another spec could mend may be mended.
    failed = app.failed if app.version.spec_hash == version.spec_hash else ()
    app = replace(
        app,
        version=version,
        missing_since=None,
        updated_at=now,
        failed=failed,
        backoff=None,
        replacement=None,
        repetition=Repetition(),
    )
    return app, [Event(now, "app", message, app.name, {"revision": version.revision})]


def _new(version: Version, seen: int, now: float) -> AppMemory:
    scaling = version.app.scaling
    count = initial_count(scaling)
    if scaling.mode == "auto":
        count = min(max(seen, count), scaling.max_replicas)
    return AppMemory(
        name=version.name, version=version, registered_at=now, updated_at=now, scaling=ScalingMemory(count)
    )


def _absent(desired: Desired, apps: Mapping[str, AppMemory], orphans: frozenset[str]) -> frozenset[str]:
    broken_paths = {problem.path for problem in desired.problems}
    broken_apps = {problem.app_name for problem in desired.problems if problem.app_name}
    missing = (frozenset(apps) | orphans) - desired.apps.keys() - broken_apps
    if desired.problems:
        # An orphan's file is not known; while any file is broken it may well be that one.
        missing -= orphans - apps.keys()
    return frozenset(name for name in missing if name not in apps or apps[name].version.path not in broken_paths)


def _over_budget(absent: frozenset[str], known: frozenset[str], revision: str, policy: Policy) -> str:
    """Why these deletions wait for people, or "" when they may go ahead."""
    if not absent or _confirmed(policy.confirmed_revision, revision):
        return ""
    too_many = len(known) >= BUDGET_APPLIES_FROM_APPS and len(absent) > len(known) / 2
    if len(absent) < len(known) and not too_many:
        return ""
    names = ", ".join(sorted(absent)[:10]) + (", …" if len(absent) > 10 else "")
    return (
        f"{len(absent)} of {len(known)} apps are absent from revision {short(revision)} ({names}); they keep running. "
        f"If that is meant, run with --confirm-deletions {short(revision)}"
    )


def _confirmed(confirmed: str | None, revision: str) -> bool:
    return bool(confirmed) and len(confirmed or "") >= 7 and revision.startswith(confirmed or "")

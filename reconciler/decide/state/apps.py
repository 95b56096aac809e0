"""Which apps there are: what the source asks for, held against what is remembered.

Bad input is never a deletion. An app whose file is broken keeps its last good spec; an app that is absent goes only
if the snapshot was good, nothing suggests that its file is merely broken, and the deletion budget allows it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import chain

from reconciler.decide.differences import differences, told
from reconciler.decide.scaling import writers
from reconciler.decide.scaling.recommend import initial_count
from reconciler.model.app_state import AppState
from reconciler.model.change import better_known
from reconciler.model.desired import Problem
from reconciler.model.events import Event
from reconciler.model.observed import Container, Observed
from reconciler.model.plan import DecisionSettings
from reconciler.model.scaling import Bounds, ScalingState
from reconciler.model.state import State
from reconciler.model.version import Version, hash_with_secrets, short

BUDGET_APPLIES_FROM_APPS = 4
MOST_PROBLEMS_TOLD = 20


@dataclass(frozen=True, slots=True)
class Registration:
    """The apps that there are by one reading of the source. ``leaving`` are apps to be removed now; ``held_back`` says
    why others are not, for people."""

    state: State
    leaving: frozenset[str]
    events: tuple[Event, ...]
    held_back: str = ""


def register(observed: Observed, state: State, settings: DecisionSettings) -> Registration:
    """Carry the apps forward to this revision. An app known only by containers on the host is an orphan."""
    desired, now = observed.desired, observed.at
    containers = _by_app(observed.containers)
    orphans = containers.keys() - state.apps.keys() - desired.apps.keys()
    events = list(chain.from_iterable(writers.told_once(app, now) for app in state.apps.values()))
    apps = {name: writers.looked_at(app) for name, app in state.apps.items()}
    for name, version in sorted(desired.apps.items()):
        if (app := apps.get(name)) is not None:
            apps[name], happened = _follow(app, version, now)
            events += happened
            continue
        apps[name] = _new(version, containers.get(name, ()), observed.bounds.get(name), now)
        events.append(Event(now, "app", f"registered from {version.path} at {short(version.revision)}", name))
    if desired.revision != state.revision:
        events.append(Event(now, "source", f"revision {short(desired.revision)} applied"))
    if desired.rewritten and desired.rewritten != state.rewritten:
        events.append(Event(now, "source", desired.rewritten))
    events += _news_of_problems(state.problems, desired.problems, now)
    absent = _absent(observed, apps, orphans)
    known = frozenset(apps) | orphans
    held_back = _over_budget(absent, known, desired.revision, settings)
    if held_back and any(name in apps and apps[name].missing_since is None for name in absent):
        events.append(Event(now, "source", held_back))
    for name in apps.keys() - desired.apps.keys():
        apps[name] = apps[name].absent(now) if name in absent else apps[name].found_broken()
    state = replace(state, apps=apps, revision=desired.revision, problems=desired.problems, rewritten=desired.rewritten)
    return Registration(state, frozenset() if held_back else absent, tuple(events), held_back)


def _by_app(containers: Sequence[Container]) -> Mapping[str, list[Container]]:
    grouped: defaultdict[str, list[Container]] = defaultdict(list)
    for container in containers:
        grouped[container.app_name].append(container)
    return dict(grouped)


def _follow(app: AppState, version: Version, now: float) -> tuple[AppState, list[Event]]:
    before = app.version
    change = better_known(before.change, version.change)
    as_before = before.app is version.app and before.revision == version.revision and before.change == change
    if as_before and app.missing_since is None:
        return app, []
    back = [Event(now, "source", "its spec is in the source again", app.name)] if app.missing_since is not None else []
    if not writers.same_policy(before.app.scaling, version.app.scaling):
        app = app.keeping_writers(0)
    if before.text_hash == version.spec_hash and before.app == version.app and before.files == version.files:
        return app.read_again(replace(version.like(before), change=change)), back
    sibling = next((known for known in app.versions if known.text_hash == version.spec_hash), version)
    app, changes = _change(app, version.like(sibling), now)
    return app, [*back, *changes]


def _news_of_problems(before: Sequence[Problem], now_there: Sequence[Problem], now: float) -> Iterator[Event]:
    """What is wrong with the source that wasn't, and what is no longer wrong."""
    known, there = {replace(problem, line=None) for problem in before}, {replace(p, line=None) for p in now_there}
    told = [(problem, f"problem: {problem}") for problem in now_there if replace(problem, line=None) not in known]
    told += [(problem, f"mended: {problem}") for problem in before if replace(problem, line=None) not in there]
    for problem, message in told[:MOST_PROBLEMS_TOLD]:
        yield Event(now, "source", message, problem.app_name)
    if len(told) > MOST_PROBLEMS_TOLD:
        yield Event(now, "source", f"and {len(told) - MOST_PROBLEMS_TOLD} more problems, new or mended: see status")


def _change(app: AppState, version: Version, now: float) -> tuple[AppState, list[Event]]:
    before = app.version
    fields = differences(before, version)
    message = f"spec changed at {short(version.revision)}" + (f": {told(fields)}" if fields else "")
    event = Event(now, "app", message, app.name, {"revision": version.revision})
    app = app.changed(version, now)
    return (app if _only_scaling_differs(before, version) else app.given_a_new_chance()), [event]


def _only_scaling_differs(before: Version, after: Version) -> bool:
    old, new = before.app, after.app
    return old.spec == new.spec and old.health_check == new.health_check and before.files == after.files


def _new(version: Version, containers: Sequence[Container], bounds: Bounds | None, now: float) -> AppState:
    """An app that the state doesn't know. Of replicas that are there already it keeps as many as its policy allows, and
    makes others like them."""
    scaling = version.app.scaling
    count = initial_count(scaling, bounds)
    if scaling.mode == "auto" and scaling.paused_at is None:
        count = min(max(len(containers), count), bounds.max_replicas if bounds else scaling.max_replicas)
    version = _as_changed(version, containers)
    siblings = [container.defaults for container in containers if container.spec_hash == version.spec_hash]
    version = replace(version, defaults=min(siblings, default=version.defaults))
    app = AppState(version.name, version, registered_at=now, updated_at=now, scaling=ScalingState(count))
    return writers.looked_at(app)


def _as_changed(version: Version, containers: Sequence[Container]) -> Version:
    """The version as its containers have it where its secrets had changed under it."""
    hashes = Counter(
        container.spec_hash
        for container in containers
        if container.secrets and container.spec_hash == hash_with_secrets(version.spec_hash, container.secrets)
    )
    if not hashes:
        return version
    ((spec_hash, _),) = hashes.most_common(1)
    return replace(version, spec_hash=spec_hash, secrets_turn=1)


def _absent(observed: Observed, apps: Mapping[str, AppState], orphans: AbstractSet[str]) -> frozenset[str]:
    desired = observed.desired
    broken_paths = {problem.path for problem in desired.problems}
    broken_apps = {problem.app_name for problem in desired.problems if problem.app_name}
    missing = (frozenset(apps) | orphans) - desired.apps.keys() - broken_apps
    if desired.problems or desired.blanks or any(outage.side == "source" for outage in observed.outages):
        # An orphan's file is not known; while any is broken or blank, or none can be read, it may well be that one.
        missing -= orphans - apps.keys()
    return frozenset(name for name in missing if name not in apps or apps[name].version.path not in broken_paths)


def _over_budget(absent: frozenset[str], known: frozenset[str], revision: str, settings: DecisionSettings) -> str:
    """Why these deletions wait for people, or "" when they may go ahead."""
    if not absent or _confirmed(settings.confirmed_revision, revision):
        return ""
    too_many = len(known) >= BUDGET_APPLIES_FROM_APPS and len(absent) > len(known) / 2
    if absent != known and not too_many:
        return ""
    names = ", ".join(sorted(absent)[:10]) + (", …" if len(absent) > 10 else "")
    return (
        f"{len(absent)} of {len(known)} apps are absent from revision {short(revision)} ({names}); they keep running. "
        f'If that is meant, set confirm_deletions = "{short(revision)}" in the settings file and send the controller '
        f"SIGHUP (systemctl reload orchestry), or restart the controller with --confirm-deletions {short(revision)}"
    )


def _confirmed(confirmed: str | None, revision: str) -> bool:
    """Whether people have confirmed this revision: by the whole of it, or by as much of it as git takes for
    unambiguous."""
    return confirmed is not None and (revision == confirmed or len(confirmed) >= 7 and revision.startswith(confirmed))

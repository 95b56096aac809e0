"""One decision about the whole host: facts in, plan out.

The one parent that branches. Each app is decided alone, so that no app's trouble is another's; what they share
(addresses, the deletion budget, the route table) is passed through here. `conclude` finishes the thought once the
edge has answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.decide import apps as registry
from reconciler.decide import counts, invariants, outcomes, probes, replicas, rollout, routes, status
from reconciler.decide.addresses import NameOf
from reconciler.decide.progress import without_repetition
from reconciler.decide.replicas import Replica
from reconciler.decide.rollout import AppView, Choice
from reconciler.decide.steps import Addresses, Steps, remove_all, steps
from reconciler.decide.versions import differences, target_of
from reconciler.model.actions import Action, CreateReplica
from reconciler.model.desired import Desired
from reconciler.model.events import Event
from reconciler.model.memory import AppMemory, Memory, Repetition, ReplicaMemory
from reconciler.model.observed import Observed
from reconciler.model.plan import Plan, Policy, Wait
from reconciler.model.routes import AppRoutes, Publication
from reconciler.model.scaling import Room
from reconciler.model.status import AppStatus

IN_FLIGHT_POLL_SECONDS = 0.25
ORPHAN_GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan together with the facts it came from, from which statuses are told once routes are published."""

    plan: Plan
    facts: Mapping[str, status.AppFacts]


@dataclass(slots=True)
class _Draft:
    """What the apps' decisions add up to, app by app."""

    apps: dict[str, AppMemory]
    events: list[Event]
    facts: dict[str, status.AppFacts] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    created: dict[str, ReplicaMemory] = field(default_factory=dict)
    parts: list[AppRoutes] = field(default_factory=list)

    def add(self, found: Steps) -> None:
        self.actions += found.actions
        self.waits += found.waits
        self.created |= found.created

    def drop(self, broken: tuple[invariants.Violation, ...]) -> None:
        """Leave the apps alone whose actions would break an invariant; tell people, since it is a bug of ours."""
        names = {violation.app_name for violation in broken}
        self.actions = [action for action in self.actions if action.app_name not in names]
        self.waits += [Wait(v.app_name, f"refused by an invariant, which is a bug: {v.message}") for v in broken]


def decide(desired: Desired, observed: Observed, memory: Memory, now: float, policy: Policy) -> Decision:
    """What to do now. The same arguments always give the same decision."""
    memory, finished = outcomes.absorb(memory, observed.outcomes)
    registration = registry.register(desired, memory, Counter(c.app_name for c in observed.containers), policy, now)
    memory, happened = replicas.follow(registration.memory, observed, now)
    draft = _Draft(dict(memory.apps), [*finished, *registration.events, *happened])
    grouped = _group(memory, observed)
    addresses = _addresses(observed, memory)
    for name in sorted(memory.apps):
        view = _view(memory.apps[name], grouped.get(name, ()), memory, now)
        if name in registration.leaving:
            _leave(draft, view, observed, desired.revision)
        else:
            _keep(draft, view, desired, observed, addresses, memory, policy)
    draft.add(_remove_orphans(grouped, memory, registration.leaving, observed))
    if registration.held_back:
        draft.waits.append(Wait(None, registration.held_back))
    views = {name: fact.view for name, fact in draft.facts.items()}
    routed = memory.published.table.routed_names()
    draft.drop(invariants.violations(tuple(draft.actions), views, registration.leaving, observed, routed))
    _forget_gone_apps(draft, registration.leaving, memory, now)
    memory = replace(memory, apps=draft.apps, replicas=_remembered(draft, grouped, memory), last_address=addresses.last)
    return _finish(draft, desired, observed, memory, registration.held_back, now)


def _finish(
    draft: _Draft, desired: Desired, observed: Observed, memory: Memory, held_back: str, now: float
) -> Decision:
    views = [fact.view for fact in draft.facts.values()]
    plan = Plan(
        actions=tuple(draft.actions),
        waits=tuple(draft.waits),
        routes=routes.table_of(draft.parts),
        probes=probes.targets(views),
        memory=memory,
        events=tuple(draft.events),
        notices=(*desired.notices, *([held_back] if held_back else [])),
        wake_at=_wake_at(draft.waits, views, observed, now),
        differences=_differences(views),
    )
    return Decision(plan, {name: fact for name, fact in draft.facts.items() if name in draft.apps})


def conclude(
    decision: Decision, publication: Publication | None, observed: Observed, now: float
) -> tuple[Memory, Mapping[str, AppStatus], tuple[Event, ...]]:
    """Memory, statuses and events once the edge has answered (None: there was nothing to publish)."""
    memory, events = routes.after_publication(decision.plan.memory, publication, now)
    loads = dict(observed.replica_loads)
    statuses = {name: status.describe(fact, memory, loads) for name, fact in decision.facts.items()}
    updated = {
        name: app if app.conditions == statuses[name].conditions else replace(app, conditions=statuses[name].conditions)
        for name, app in memory.apps.items()
    }
    if any(updated[name] is not app for name, app in memory.apps.items()):
        memory = replace(memory, apps=updated)
    return memory, statuses, events


def _keep(
    draft: _Draft,
    view: AppView,
    desired: Desired,
    observed: Observed,
    addresses: Addresses,
    memory: Memory,
    policy: Policy,
) -> None:
    """Decide an app that stays: its count, its rollout, its replicas, its routes."""
    app, events = rollout.advance(view)
    view = replace(view, app=app, target=target_of(app))
    app, scaled = counts.decide_count(view, observed, _room(view, draft.apps, observed))
    view = replace(view, app=app, count=app.count)
    choice = _after_dependencies(view, rollout.choose(view), memory)
    found = steps(view, choice, observed, addresses, NameOf(policy.name_prefix, app.name))
    part, held = routes.routes_of(view, choice, _published_part(memory, app.name))
    app = rollout.paced(app, choice, view.now)
    if rollout.complete(view):
        app = app if app.repetition == Repetition() else replace(app, repetition=Repetition())
    app, allowed, stalled = without_repetition(app, found.actions, view.now)
    found = Steps(allowed, (*found.waits, *held, *stalled), found.created if allowed else {})
    problems = tuple(p for p in desired.problems if p.app_name == app.name or p.path == app.version.path)
    draft.apps[app.name] = app
    draft.events += (*events, *scaled)
    draft.parts += [part] if part else []
    draft.facts[app.name] = status.AppFacts(replace(view, app=app), choice, found.waits, bool(found.actions), problems)
    draft.add(found)


def _room(view: AppView, apps: Mapping[str, AppMemory], observed: Observed) -> Room | None:
    """What the host can still hold for this app. Counts decided earlier in this tick are taken into account."""
    if view.target.app.scaling.mode == "manual":
        return None
    return counts.room_for(view.target.app, ((app.version.app, app.count) for app in apps.values()), observed.host)


def _leave(draft: _Draft, view: AppView, observed: Observed, revision: str) -> None:
    """Take an app away: out of the route table by being no part of it, then drained, then removed."""
    grace = view.target.app.spec.termination_grace_period_seconds
    cause = f"app removed at revision {registry.short(revision)}"
    found = remove_all(view.replicas, cause, grace, view.routed, observed)
    draft.facts[view.app.name] = status.AppFacts(view, Choice(), found.waits, bool(found.actions), leaving=True)
    draft.add(found)


def _remove_orphans(
    grouped: Mapping[str, tuple[Replica, ...]], memory: Memory, leaving: frozenset[str], observed: Observed
) -> Steps:
    """Containers labelled ours whose app neither the source nor memory knows."""
    members = tuple(r for name in sorted(leaving - memory.apps.keys()) for r in grouped.get(name, ()))
    return remove_all(
        members, "its app is in no spec", ORPHAN_GRACE_SECONDS, memory.published.table.routed_names(), observed
    )


def _after_dependencies(view: AppView, choice: Choice, memory: Memory) -> Choice:
    """The first start waits for the apps this one depends on; later ones don't."""
    if view.app.stable is not None:
        return choice
    missing = [
        name for name in view.target.app.spec.depends_on if name not in memory.apps or memory.apps[name].stable is None
    ]
    if not missing:
        return choice
    wait = Wait(view.app.name, f"waiting for {', '.join(missing)} to be ready first (dependsOn)")
    return replace(choice, create=0, waits=(*choice.waits, wait))


def _view(app: AppMemory, members: tuple[Replica, ...], memory: Memory, now: float) -> AppView:
    return AppView(app, target_of(app), app.count, members, memory.published.table.routed_names(), now)


def _published_part(memory: Memory, app_name: str) -> AppRoutes | None:
    return next((part for part in memory.published.table.apps if part.app_name == app_name), None)


def _group(memory: Memory, observed: Observed) -> dict[str, tuple[Replica, ...]]:
    """The replicas of each app, remembered or seen, by slot."""
    containers = {c.name: c for c in observed.containers}
    busy = {action.key: action for action in observed.in_flight}
    grouped: dict[str, list[Replica]] = {}
    for name, remembered in memory.replicas.items():
        replica = replicas.classify(remembered, containers.get(name), busy.get(name))
        grouped.setdefault(remembered.app_name, []).append(replica)
    return {app_name: tuple(sorted(found, key=lambda r: r.slot)) for app_name, found in grouped.items()}


def _addresses(observed: Observed, memory: Memory) -> Addresses:
    taken = {c.address for c in observed.containers if c.address} | observed.foreign_addresses
    taken |= {a.address for a in observed.in_flight if isinstance(a, CreateReplica)}
    taken |= {r.address for r in memory.replicas.values() if r.address}
    return Addresses(observed, taken, memory.last_address)


def _forget_gone_apps(draft: _Draft, leaving: frozenset[str], memory: Memory, now: float) -> None:
    """Forget an app once nothing of it is left, on the host or at the edge."""
    for name in sorted(leaving & draft.apps.keys()):
        if _published_part(memory, name) is None and not draft.facts[name].view.existing:
            del draft.apps[name]
            draft.events.append(Event(now, "app", "removed; its named volumes are kept", name))


def _remembered(draft: _Draft, grouped: Mapping[str, tuple[Replica, ...]], memory: Memory) -> dict[str, ReplicaMemory]:
    """Replicas that exist or are being made, and empty slots of apps that still lack replicas (for their address)."""
    made = {action.name for action in draft.actions if isinstance(action, CreateReplica)}
    kept: dict[str, ReplicaMemory] = {}
    for app_name, members in grouped.items():
        app = memory.apps.get(app_name)
        lacking = app is not None and sum(r.exists for r in members) < app.count
        kept |= {r.name: r.memory for r in members if r.exists or lacking}
    return kept | {name: replica for name, replica in draft.created.items() if name in made}


def _wake_at(waits: list[Wait], views: list[AppView], observed: Observed, now: float) -> float | None:
    moments = [wait.until for wait in waits if wait.until is not None]
    moments += [moment for view in views for moment in rollout.moments(view)]
    if observed.in_flight:
        moments.append(now + IN_FLIGHT_POLL_SECONDS)
    return min((moment for moment in moments if moment > now), default=None)


def _differences(views: list[AppView]) -> dict[str, tuple[str, ...]]:
    changed = {view.app.name: differences(view.app.stable, view.target) for view in views}
    return {name: fields for name, fields in changed.items() if fields}

"""One decision about the whole host: facts in, plan out.

The one parent that branches. Each app is decided alone, so that no app's trouble is another's; what they share
(addresses, room on the host, the deletion budget, the route table) is passed through here. `conclude` finishes the
thought once the edge has answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.decide import healing, invariants, probes, reconcile, routes, status
from reconciler.decide.actions import Steps, remove_all, steps
from reconciler.decide.addresses import NameOf
from reconciler.decide.app_decision import AppDecision, Served
from reconciler.decide.app_view import AppView
from reconciler.decide.context import DecisionContext
from reconciler.decide.rollout import rollout
from reconciler.decide.rollout.failure import deadline_of
from reconciler.decide.scaling import counts
from reconciler.decide.state import apps as registry
from reconciler.decide.state import images, outcomes, replicas
from reconciler.decide.state.clock import without_future
from reconciler.decide.state.publication import after_publication, expecting
from reconciler.decide.versions import differences
from reconciler.model.actions import Action, CreateReplica
from reconciler.model.desired import Desired, short
from reconciler.model.events import Event
from reconciler.model.observed import Observed
from reconciler.model.plan import DecisionSettings, Plan, Wait
from reconciler.model.routes import AppRoutes, Publication
from reconciler.model.state import AppState, ReplicaState, State
from reconciler.model.status import AppStatus

ORPHAN_GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan together with the facts it came from, from which statuses are told once routes are published."""

    plan: Plan
    facts: Mapping[str, AppDecision]


@dataclass(slots=True)
class _Draft:
    """What the apps' decisions add up to, app by app."""

    apps: dict[str, AppState]
    events: list[Event]
    facts: dict[str, AppDecision] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    created: dict[str, ReplicaState] = field(default_factory=dict)
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

    @property
    def views(self) -> list[AppView]:
        return [fact.view for fact in self.facts.values()]


def decide(desired: Desired, observed: Observed, state: State, now: float, settings: DecisionSettings) -> Decision:
    """What to do now. The same arguments always give the same decision."""
    state, finished = outcomes.absorb(without_future(state, now), observed.outcomes)
    registration = registry.register(desired, state, observed, settings, now)
    state, happened = replicas.follow(registration.state, observed, now)
    if observed.images:
        state = replace(state, apps=images.noted(state.apps, observed.images))
    draft = _Draft(dict(state.apps), [*finished, *registration.events, *happened])
    scene = DecisionContext.of(observed, state, settings, now, desired.problems, draft.apps)
    for name in sorted(state.apps):
        if name in registration.leaving:
            _leave(draft, scene, state.apps[name], desired.revision)
        else:
            _keep(draft, scene, state.apps[name])
    for name in sorted(registration.leaving - state.apps.keys()):
        _remove_orphans(draft, scene, name)
    staying = {view.name: view for view in draft.views if view.name not in registration.leaving}
    draft.drop(invariants.violations(tuple(draft.actions), staying, observed, state.published.table.routed_names()))
    _forget_gone_apps(draft, scene, registration.leaving)
    held_back = (registration.held_back,) if registration.held_back else ()
    draft.waits += [Wait(None, message) for message in held_back]
    return _finish(draft, scene, (*desired.notices, *held_back))


def conclude(
    decision: Decision, publication: Publication | None, observed: Observed, now: float
) -> tuple[State, Mapping[str, AppStatus], tuple[Event, ...]]:
    """State, statuses and events once the edge has answered (None: it could not)."""
    state, events = after_publication(decision.plan.state, decision.plan.routes, publication, now)
    parts = {part.app_name: part for part in state.published.table.apps}
    statuses = {}
    for name, facts in decision.facts.items():
        refusals = tuple(one for one in state.published.refusals if one.app_name == name)
        served = Served(parts.get(name), refusals)
        statuses[name] = status.describe(facts, served, state.replicas, observed.replica_loads)
    changed = {
        name: replace(state.apps[name], conditions=told.conditions)
        for name, told in statuses.items()
        if state.apps[name].conditions != told.conditions
    }
    ended = (counts.change_ended(state.apps[name], app, now) for name, app in changed.items())
    events += tuple(event for event in ended if event is not None)
    return (replace(state, apps={**state.apps, **changed}) if changed else state), statuses, events


# -- one app --------------------------------------------------------------------------------------------------------


def _keep(draft: _Draft, scene: DecisionContext, app: AppState) -> None:
    """Decide an app that stays: its count, its rollout, its replicas, its routes."""
    view = scene.view(app)
    app, scaled = counts.decide_count(view, scene.observed, scene.host_headroom)
    view = view.after(app)
    advance = rollout.advance(view, scene.observed.version_loads)
    view = view.after(advance.app)
    acting = view.beside_the_failed()
    chosen = reconcile.choose(acting)
    found = steps(acting, chosen, scene.observed, scene.addresses, NameOf(scene.settings.name_prefix, app.name))
    part, said = routes.routes_of(view, chosen)
    waits = (*advance.waits, *found.waits, *said)
    view = view.after(healing.paced(view, found.actions))
    draft.apps[app.name] = view.app
    draft.events += (*scaled, *advance.events)
    draft.parts += [part] if part else []
    draft.facts[app.name] = AppDecision(view, chosen, waits, bool(found.actions), scene.problems_of(app))
    draft.add(replace(found, waits=waits))


def _leave(draft: _Draft, scene: DecisionContext, app: AppState, revision: str) -> None:
    """Take an app away: out of the route table by being no part of it, then drained, then removed."""
    view = scene.view(app)
    cause = f"app removed at revision {short(revision)}"
    found = remove_all(view.existing, cause, view.grace_seconds, view.routed, scene.observed)
    if view.published and not view.existing:
        found = Steps(waits=(Wait(app.name, "waiting for nginx to drop its routes"),))
    draft.facts[app.name] = AppDecision(view, reconcile.Choice(), found.waits, bool(found.actions), leaving=True)
    draft.add(found)


def _remove_orphans(draft: _Draft, scene: DecisionContext, app_name: str) -> None:
    """Containers labelled ours whose app neither the source nor state knows."""
    members = (r for r in scene.replicas.get(app_name, ()) if r.container is not None)
    draft.add(remove_all(members, "its app is in no spec", lambda _: ORPHAN_GRACE_SECONDS, frozenset(), scene.observed))


def _forget_gone_apps(draft: _Draft, scene: DecisionContext, leaving: frozenset[str]) -> None:
    """Forget an app once nothing of it is left, on the host or at the edge."""
    for name in sorted(leaving & draft.apps.keys()):
        if name not in scene.published and not draft.facts[name].view.existing:
            del draft.apps[name], draft.facts[name]
            draft.events.append(Event(scene.now, "app", "removed; its named volumes are kept", name))


# -- what they share ------------------------------------------------------------------------------------------------


def _finish(draft: _Draft, scene: DecisionContext, notices: tuple[str, ...]) -> Decision:
    table = routes.table_of(draft.parts)
    replicas = expecting(_remembered(draft, scene), table)
    state = replace(scene.state, apps=draft.apps, replicas=replicas, last_address=scene.addresses.last)
    changed = {view.name: differences(view.app.stable, view.target) for view in draft.views}
    plan = Plan(
        actions=tuple(draft.actions),
        waits=tuple(draft.waits),
        routes=table,
        probes=probes.targets(draft.views),
        state=state,
        events=tuple(draft.events),
        notices=notices,
        wake_at=_wake_at(draft, scene),
        differences={name: fields for name, fields in changed.items() if fields},
    )
    return Decision(plan, draft.facts)


def _remembered(draft: _Draft, scene: DecisionContext) -> dict[str, ReplicaState]:
    """Replicas that exist or are being made, and empty slots of apps that still lack replicas (for their address)."""
    made = {action.name for action in draft.actions if isinstance(action, CreateReplica)}
    kept: dict[str, ReplicaState] = {}
    for app_name, members in scene.replicas.items():
        app = draft.apps.get(app_name)
        existing = sum(r.exists for r in members)
        lacking = app is not None and existing < app.count
        kept |= {r.name: r.state for r in members if r.exists or lacking}
    return kept | {name: replica for name, replica in draft.created.items() if name in made}


def _wake_at(draft: _Draft, scene: DecisionContext) -> float | None:
    """When something changes by itself: a wait ends, a replica has been ready for long enough, a deadline passes."""
    moments = [wait.until for wait in draft.waits if wait.until is not None]
    for view in draft.views:
        moments += _moments(view)
    return min((moment for moment in moments if moment > scene.now), default=None)


def _moments(view: AppView) -> list[float]:
    if view.complete and view.app.rollout is None:
        return []
    least = view.target.app.spec.strategy.min_ready_seconds
    found = [r.state.ready_at + least for r in view.existing if r.state.ready_at is not None]
    found += [until for r in view.replicas if (until := r.in_place_until) is not None]
    deadline = deadline_of(view.app, view.target)
    return found if deadline is None else [*found, deadline]

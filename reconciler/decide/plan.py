"""One decision about the whole host: observation in, plan out.

The one parent that branches. Each app is decided alone, in named steps, so that no app's failure is another's; what
they share (addresses, headroom on the host, the deletion budget, the route table) is passed through here. `conclude`
finishes the thought once the edge has answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.decide import healing, invariants, probes, routes, status
from reconciler.decide.actions import AppActions, actions_of, remove_all
from reconciler.decide.app_decision import AppDecision, Served
from reconciler.decide.app_view import AppView
from reconciler.decide.context import DecisionContext
from reconciler.decide.handover import Handover, hand_over
from reconciler.decide.reconcile import Reconciliation, reconcile
from reconciler.decide.rollout.failure import deadline_of
from reconciler.decide.rollout.rollout import advance
from reconciler.decide.scaling.counts import change_ended, decide_count
from reconciler.decide.state.fold import fold
from reconciler.decide.state.publication import after_publication, expecting
from reconciler.decide.words import differences
from reconciler.model.actions import Action, CreateReplica
from reconciler.model.events import Event
from reconciler.model.observed import Observed
from reconciler.model.plan import DecisionSettings, Plan, Wait
from reconciler.model.routes import AppRoutes, Publication
from reconciler.model.state import AppState, ReplicaState, State
from reconciler.model.status import AppStatus
from reconciler.model.version import short

ORPHAN_GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan together with what it was decided on for each app, from which statuses are told once routes are
    published."""

    plan: Plan
    apps: Mapping[str, AppDecision]
    observed: Observed


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The state, the statuses and what happened once the edge has answered."""

    state: State
    statuses: Mapping[str, AppStatus]
    events: tuple[Event, ...]


@dataclass(slots=True)
class _Draft:
    """What the apps' decisions add up to, app by app."""

    apps: dict[str, AppState]
    events: list[Event]
    decisions: dict[str, AppDecision] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    created: dict[str, ReplicaState] = field(default_factory=dict)
    parts: dict[str, AppRoutes] = field(default_factory=dict)

    def add(self, more: AppActions) -> None:
        self.actions += more.actions
        self.waits += more.waits
        self.created |= more.created

    def hand_over(self, handover: Handover) -> None:
        """Hold routes that move from one app to another where they are to be until then, and tell people."""
        parts: dict[str, AppRoutes | None] = {**self.parts, **handover.parts}
        self.parts = {name: part for name, part in parts.items() if part is not None}
        for name, wait in handover.waits.items():
            self.decisions[name] = self.decisions[name].handing_over(wait)
            self.waits.append(wait)

    def drop(self, broken: tuple[invariants.Violation, ...]) -> None:
        """Leave the apps alone whose actions would break an invariant; tell people, since it is a bug of ours."""
        names = {violation.app_name for violation in broken}
        self.actions = [action for action in self.actions if action.app_name not in names]
        self.waits += [Wait(v.app_name, f"refused by an invariant, which is a bug: {v.message}") for v in broken]

    @property
    def views(self) -> list[AppView]:
        return [decision.view for decision in self.decisions.values()]


def decide(observed: Observed, state: State, settings: DecisionSettings) -> Decision:
    """What to do now. The same arguments always give the same decision."""
    folded = fold(observed, state, settings)
    leaving, apps = folded.leaving, folded.state.apps
    draft = _Draft(dict(apps), [*folded.events])
    context = DecisionContext.of(observed, folded.state, settings, draft.apps)
    for name in sorted(apps):
        if name in leaving:
            draft.decisions[name] = AppDecision(context.view(apps[name]), Reconciliation(), leaving=True)
        else:
            _stay(draft, context, apps[name])
    handover = hand_over(draft.decisions, draft.parts, context.published)
    for name in sorted(leaving & apps.keys()):
        _leave(draft, context, draft.decisions[name].view, handover.parts.get(name))
    draft.hand_over(handover)
    for name in sorted(leaving - apps.keys()):
        _remove_orphans(draft, context, name)
    _check(draft, context, leaving)
    _forget_gone_apps(draft, context, leaving)
    held_back = (folded.held_back,) if folded.held_back else ()
    draft.waits += [Wait(None, message) for message in held_back]
    return _finish(draft, context, (*observed.desired.notices, *held_back))


def conclude(decision: Decision, publication: Publication | None, now: float) -> Conclusion:
    """What is so once the edge has answered (None: it could not). ``now``: when it did."""
    state, events = after_publication(decision.plan.state, decision.plan.routes, publication, now)
    parts = {part.app_name: part for part in state.published.table.apps}
    apps, statuses = dict(state.apps), {}
    for name, app_decision in decision.apps.items():
        refusals = tuple(refusal for refusal in state.published.refusals if refusal.app_name == name)
        served, before = Served(parts.get(name), refusals), apps[name]
        loads = decision.observed.loads.replicas
        statuses[name] = status.describe(app_decision, served, state.replicas, loads)
        if before.conditions != statuses[name].conditions:
            apps[name] = before.told(statuses[name].conditions)
            ended = change_ended(before, apps[name], now)
            events += (ended,) if ended else ()
    return Conclusion(replace(state, apps=apps, as_of=max(now, state.as_of)), statuses, events)


# -- one app --------------------------------------------------------------------------------------------------------


def _stay(draft: _Draft, context: DecisionContext, app: AppState) -> None:
    """Decide an app that stays, in the order of these steps: count, rollout, replicas, actions, routes."""
    view, observed = context.view(app), context.observed
    app, scaled = decide_count(view, observed, context.headroom)
    view = view.after(app)
    advanced = advance(view, observed.loads.versions)
    view = view.after(advanced.app)
    reconciliation = reconcile(view)
    actions = actions_of(view, reconciliation, observed, context.addresses, context.name_of(app))
    part, routing = routes.routes_of(view, reconciliation)
    waits = (*advanced.waits, *actions.waits, *routing)
    view = view.after(healing.paced(view, actions.actions))
    draft.apps[app.name] = view.app
    draft.events += (*scaled, *advanced.events)
    draft.parts |= {app.name: part} if part else {}
    acting, problems = bool(actions.actions), context.problems_of(app)
    draft.decisions[app.name] = AppDecision(view, reconciliation, waits, acting, problems)
    draft.add(replace(actions, waits=waits))


def _leave(draft: _Draft, context: DecisionContext, view: AppView, kept: AppRoutes | None) -> None:
    """Take an app away: out of the route table by being no part of it, then drained, then removed; but for those that
    serve routes that it has ``kept``."""
    cause = f"app removed at revision {short(context.observed.desired.revision)}"
    serving = {server.name for server in kept.live} if kept else set()
    going = [replica for replica in view.existing if replica.name not in serving]
    actions = remove_all(going, cause, view.grace_seconds, view.routed, context.observed)
    if view.published and not view.existing:
        actions = AppActions(waits=(Wait(view.name, "waiting for nginx to drop its routes"),))
    reconciliation, acting = Reconciliation(retire={replica.name: cause for replica in going}), bool(actions.actions)
    draft.decisions[view.name] = AppDecision(view, reconciliation, actions.waits, acting, leaving=True)
    draft.add(actions)


def _remove_orphans(draft: _Draft, context: DecisionContext, app_name: str) -> None:
    """Remove containers labelled ours whose app neither the source nor the state knows."""
    members = (replica for replica in context.replicas.get(app_name, ()) if replica.container is not None)
    cause = "its app is in no spec"
    draft.add(remove_all(members, cause, lambda _: ORPHAN_GRACE_SECONDS, frozenset(), context.observed))


# -- what they share ------------------------------------------------------------------------------------------------


def _check(draft: _Draft, context: DecisionContext, leaving: frozenset[str]) -> None:
    """Hold the actions of all apps to the invariants."""
    staying = {view.name: view for view in draft.views if view.name not in leaving}
    routed = context.state.published.table.routed_names()
    draft.drop(invariants.violations(tuple(draft.actions), staying, context.observed, routed))


def _forget_gone_apps(draft: _Draft, context: DecisionContext, leaving: frozenset[str]) -> None:
    """Forget an app once nothing of it is left, on the host or at the edge."""
    for name in sorted(leaving & draft.apps.keys()):
        if name not in context.published and not draft.decisions[name].view.existing:
            del draft.apps[name], draft.decisions[name]
            draft.events.append(Event(context.now, "app", "removed; its named volumes are kept", name))


def _finish(draft: _Draft, context: DecisionContext, notices: tuple[str, ...]) -> Decision:
    table = routes.table_of(draft.parts.values())
    replicas = expecting(_remembered(draft, context), table)
    state = replace(
        context.state,
        apps=draft.apps,
        replicas=replicas,
        last_address=context.addresses.last,
        as_of=context.now,
    )
    changed = {view.name: differences(view.app.stable, view.target) for view in draft.views}
    plan = Plan(
        actions=tuple(draft.actions),
        waits=tuple(draft.waits),
        routes=table,
        probes=probes.targets(draft.views),
        state=state,
        events=tuple(draft.events),
        notices=notices,
        wake_at=_wake_at(draft, context),
        differences={name: fields for name, fields in changed.items() if fields},
    )
    return Decision(plan, draft.decisions, context.observed)


def _remembered(draft: _Draft, context: DecisionContext) -> dict[str, ReplicaState]:
    """Replicas that exist or are being made, and empty slots of apps that still lack replicas (for their address)."""
    made = {action.name for action in draft.actions if isinstance(action, CreateReplica)}
    kept: dict[str, ReplicaState] = {}
    for app_name, members in context.replicas.items():
        app = draft.apps.get(app_name)
        existing = sum(replica.exists for replica in members)
        lacking = app is not None and existing < app.count
        kept |= {replica.name: replica.state for replica in members if replica.exists or lacking}
    return kept | {name: replica for name, replica in draft.created.items() if name in made}


def _wake_at(draft: _Draft, context: DecisionContext) -> float | None:
    """When to look again, since something changes by itself: a wait ends, a replica has been ready for long enough, a
    deadline passes."""
    moments = [wait.until for wait in draft.waits if wait.until is not None]
    for view in draft.views:
        moments += _moments(view)
    return min((moment for moment in moments if moment > context.now), default=None)


def _moments(view: AppView) -> list[float]:
    if view.complete and view.app.rollout is None:
        return []
    min_seconds = view.target.app.spec.strategy.min_ready_seconds
    moments = [r.state.ready_at + min_seconds for r in view.existing if r.state.ready_at is not None]
    moments += [until for replica in view.replicas if (until := replica.in_place_until) is not None]
    deadline = deadline_of(view.app, view.target)
    return moments if deadline is None else [*moments, deadline]

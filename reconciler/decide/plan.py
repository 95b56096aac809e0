"""One decision about the whole host: observation in, plan out.

The one parent that branches. Each app is decided alone, in named steps, so that no app's failure is another's; what
they share (addresses, headroom on the host, the deletion budget, the route table) is passed through here. `conclude`
finishes the thought once the edge has answered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from reconciler.decide import healing, invariants, probes, routes, status
from reconciler.decide.actions import AppActions, actions_of
from reconciler.decide.app_decision import AppDecision, Served
from reconciler.decide.app_view import AppView
from reconciler.decide.context import DecisionContext
from reconciler.decide.differences import differences
from reconciler.decide.handover import Handover, hand_over
from reconciler.decide.reconcile import Reconciliation, reconcile
from reconciler.decide.retiring import Drain, retire
from reconciler.decide.rollout.failure import deadline_of
from reconciler.decide.rollout.rollout import advance
from reconciler.decide.scaling import writers
from reconciler.decide.scaling.counts import change_ended, decide_count
from reconciler.decide.state import certificates, images
from reconciler.decide.state.fold import fold
from reconciler.decide.state.publication import after_publication, expecting
from reconciler.model.actions import CreateReplica, StopReplica
from reconciler.model.app_state import AppState
from reconciler.model.events import Event
from reconciler.model.observed import Observed
from reconciler.model.plan import DecisionSettings, Plan, Wait
from reconciler.model.replica_state import Ending, ReplicaState
from reconciler.model.routes import AppRoutes, Publication
from reconciler.model.state import State
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
    """The state, the statuses, what happened and what people should know once the edge has answered."""

    state: State
    statuses: Mapping[str, AppStatus]
    events: tuple[Event, ...]
    notices: tuple[str, ...] = ()


def decide(observed: Observed, state: State, settings: DecisionSettings) -> Decision:
    """What to do now. The same arguments always give the same decision."""
    folded = fold(observed, state, settings)
    apps, leaving = folded.state.apps, folded.leaving
    context = DecisionContext.of(observed, folded.state, settings, leaving)
    alone = {name: _alone(context, app, leaving=name in leaving) for name, app in sorted(apps.items())}
    parts = {name: decision.part for name, decision in alone.items() if decision.part}
    handover = hand_over(alone, parts, context.published)
    decisions = {name: _handed_over(context, decision, handover) for name, decision in alone.items()}
    orphans = [_remove_orphans(context, name) for name in sorted(leaving - apps.keys())]
    steps = _held_to_invariants(context, decisions.values(), orphans)
    gone = [name for name, decision in decisions.items() if decision.leaving and _is_gone(context, decision.view)]
    removed = (Event(context.now, "app", "removed; its named volumes are kept", name) for name in gone)
    events = (*folded.events, *chain.from_iterable(own.events for own in decisions.values()), *removed)
    remaining = {name: decision for name, decision in decisions.items() if name not in gone}
    held_back = (folded.held_back,) if folded.held_back else ()
    steps = replace(steps, waits=(*steps.waits, *(Wait(None, message) for message in held_back)))
    staying = [decision.view.app for decision in decisions.values() if not decision.leaving]
    told = (*writers.notices(staying), *held_back, *images.moved(staying, observed.inventory.images))
    return Decision(_plan(context, remaining, steps, events, (*observed.desired.notices, *told)), remaining, observed)


def conclude(decision: Decision, publication: Publication | None, now: float) -> Conclusion:
    """What is so once the edge has answered (None: it could not). ``now``: when it did."""
    state, events = after_publication(decision.plan.state, decision.plan.routes, publication, now)
    published, expiries = certificates.followed(state.published, publication, now)
    state, events = replace(state, published=published), (*events, *expiries)
    by_secret = {certificate.secret: certificate for certificate in published.certificates}
    parts = {part.app_name: part for part in published.table.apps}
    apps, statuses = dict(state.apps), {}
    for name, app_decision in decision.apps.items():
        refusals = tuple(refusal for refusal in published.refusals if refusal.app_name == name)
        part, before = parts.get(name), apps[name]
        served = Served(part, refusals, certificates.served_with(part, by_secret))
        statuses[name] = status.describe(app_decision, served, state.replicas, decision.observed.loads)
        if before.conditions != statuses[name].conditions:
            apps[name] = before.told(statuses[name].conditions)
            ended = change_ended(before, apps[name], now)
            events += (ended,) if ended else ()
    concluded_at = max(now, state.as_of)
    state = replace(state, apps=apps, as_of=concluded_at, looked_at=concluded_at)
    of_edge = publication.notices if publication else ()
    events += tuple(Event(now, "routes", message) for message in (publication.news if publication else ()))
    return Conclusion(state, statuses, events, (*certificates.notices(published), *of_edge))


# -- one app --------------------------------------------------------------------------------------------------------


def _alone(context: DecisionContext, app: AppState, *, leaving: bool) -> AppDecision:
    """The decision of an app without regard to the others. Of one that leaves nothing can be said without them."""
    return AppDecision(context.view(app), AppActions(), leaving=True) if leaving else _stay(context, app)


def _stay(context: DecisionContext, app: AppState) -> AppDecision:
    """Decide an app that stays, in the order of these steps: count, rollout, replicas, actions, routes."""
    view, observed = context.view(app), context.observed
    app, scaled = decide_count(view, observed, context.headroom)
    view = view.after(app)
    advanced = advance(view, observed.loads.versions)
    view = view.after(advanced.app)
    reconciliation = reconcile(view)
    steps = actions_of(view, reconciliation, observed, context.addresses, context.name_of(app))
    part, routing = routes.routes_of(view, reconciliation)
    return AppDecision(
        view.after(healing.paced(view, steps.actions)),
        replace(steps, waits=(*advanced.waits, *steps.waits, *routing)),
        reconciliation,
        part,
        (*scaled, *advanced.events),
        context.problems_of(app),
    )


def _handed_over(context: DecisionContext, alone: AppDecision, handover: Handover) -> AppDecision:
    """The decision of an app, given which routes it keeps for another one, or another one for it."""
    name = alone.view.name
    part = handover.parts.get(name, alone.part)
    decision = _leave(context, alone.view, part) if alone.leaving else replace(alone, part=part)
    wait = handover.waits.get(name)
    return decision.handing_over(wait) if wait else decision


def _leave(context: DecisionContext, view: AppView, kept: AppRoutes | None) -> AppDecision:
    """Take an app away: out of the route table by being no part of it, then drained, then removed; but for those that
    serve routes that it has ``kept``."""
    cause = f"app removed at revision {short(context.observed.desired.revision)}"
    serving = {server.name for server in kept.live} if kept else set()
    going = [replica for replica in view.in_slots if replica.name not in serving]
    steps = AppActions.of(retire(replica, cause, Drain.of(view, replica), context.observed) for replica in going)
    if view.published and not view.in_slots:
        steps = AppActions(waits=(Wait(view.name, "waiting for nginx to drop its routes"),))
    reconciliation = Reconciliation(retire={replica.name: cause for replica in going})
    return AppDecision(view, steps, reconciliation, kept, leaving=True)


def _is_gone(context: DecisionContext, view: AppView) -> bool:
    """Whether nothing is left of an app that leaves, on the host or at the edge, so that it can be forgotten."""
    return view.name not in context.published and not view.in_slots


def _remove_orphans(context: DecisionContext, app_name: str) -> AppActions:
    """Remove containers labelled ours whose app neither the source nor the state knows."""
    members = (replica for replica in context.replicas.get(app_name, ()) if replica.container is not None)
    cause = "its app is in no spec"
    drain = Drain(ORPHAN_GRACE_SECONDS)
    return AppActions.of(retire(replica, cause, drain, context.observed) for replica in members)


# -- what they share ------------------------------------------------------------------------------------------------


def _held_to_invariants(
    context: DecisionContext, decisions: Collection[AppDecision], orphans: Iterable[AppActions]
) -> AppActions:
    """What is done of all apps together. Those are left alone whose actions would break an invariant; people are told,
    since it is a bug of ours."""
    steps = AppActions.together((*(decision.steps for decision in decisions), *orphans))
    staying = {decision.view.name: decision.view for decision in decisions if not decision.leaving}
    routed = context.state.published.table.routed_names()
    broken = invariants.violations(steps.actions, staying, context.observed, routed)
    names = {violation.app_name for violation in broken}
    told = (Wait(v.app_name, f"refused by an invariant, which is a bug: {v.message}") for v in broken)
    actions = tuple(action for action in steps.actions if action.app_name not in names)
    return replace(steps, actions=actions, waits=(*steps.waits, *told))


def _plan(
    context: DecisionContext,
    decisions: Mapping[str, AppDecision],
    steps: AppActions,
    events: tuple[Event, ...],
    notices: tuple[str, ...],
) -> Plan:
    views = [decision.view for decision in decisions.values()]
    apps = {view.name: view.app for view in views}
    table = routes.table_of(decision.part for decision in decisions.values() if decision.part)
    closing = {name for decision in decisions.values() for name in decision.closing}
    replicas = expecting(_remembered(context, apps, steps), table)
    replicas = {name: r.closing(context.now) if name in closing else r.staying() for name, r in replicas.items()}
    last_address, now = context.addresses.last, context.now
    changed = {view.name: differences(view.app.stable, view.target) for view in views}
    return Plan(
        actions=steps.actions,
        waits=steps.waits,
        routes=table,
        probes=probes.targets(views),
        state=replace(context.state, apps=apps, replicas=replicas, last_address=last_address, as_of=now),
        events=events,
        notices=notices,
        wake_at=_wake_at(views, steps.waits, now),
        urgent=frozenset(view.name for view in views if healing.is_bereft(view)),
        differences={name: tuple(map(str, fields)) for name, fields in changed.items() if fields},
    )


def _remembered(context: DecisionContext, apps: Mapping[str, AppState], steps: AppActions) -> dict[str, ReplicaState]:
    """Replicas that exist or are being made, and empty slots of apps that still lack replicas (for their address)."""
    made = {action.name for action in steps.actions if isinstance(action, CreateReplica)}
    ending = {action.name: action for action in steps.actions if isinstance(action, StopReplica)}
    kept: dict[str, ReplicaState] = {}
    for app_name, members in context.replicas.items():
        app = apps.get(app_name)
        existing = sum(replica.exists for replica in members)
        lacking = app is not None and existing < app.count
        kept |= {replica.name: replica.state for replica in members if replica.takes_slot or lacking}
    for name, stop in ending.items():  # its intent, so that whoever comes after us goes on with it
        kept[name] = kept[name].to_end(Ending(stop.cause, stop.grace_seconds, stop.keeps_log))
    return kept | {name: replica for name, replica in steps.created.items() if name in made}


def _wake_at(views: Iterable[AppView], waits: Iterable[Wait], now: float) -> float | None:
    """When to look again, since something changes by itself: a wait ends, a replica has been ready for long enough, a
    deadline passes."""
    moments = [wait.until for wait in waits if wait.until is not None]
    moments += chain.from_iterable(map(_moments, views))
    return min((moment for moment in moments if moment > now), default=None)


def _moments(view: AppView) -> list[float]:
    if view.complete and view.app.rollout is None:
        return []
    min_seconds = view.target.app.spec.strategy.min_ready_seconds
    moments = [r.state.ready_at + min_seconds for r in view.existing if r.state.ready_at is not None]
    moments += [until for replica in view.replicas if (until := replica.in_place_until) is not None]
    deadline = deadline_of(view.app, view.target)
    return moments if deadline is None else [*moments, deadline]

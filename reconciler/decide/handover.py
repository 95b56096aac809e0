"""Handover: which app serves a route meanwhile that another app is to have from now on.

It decides who keeps a route, and until when: whoever serves it now, until the app that asks for it is ready, all by its
target version; then the route moves in one publication. A route that several ask for stays where it is served. It must
never give two apps a route that is served, keep one for an app that is to have no replicas, nor keep an app here whose
end another one waits for. Nothing is remembered of it: it follows from what is published and what is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from reconciler.decide.app_decision import AppDecision
from reconciler.decide.app_view import AppView
from reconciler.decide.reconcile import Reconciliation
from reconciler.decide.routes import with_routes
from reconciler.decide.words import route_text
from reconciler.model.plan import Wait
from reconciler.model.routes import AppRoutes
from reconciler.model.spec import EdgeOptions, Route

Claim = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Handover:
    """What routes on their way from one app to another mean for both, by app name.

    ``parts`` are those of the route table that may differ from what was decided of their app alone, None where nothing
    is left; ``waits`` say who serves what for whom.
    """

    parts: Mapping[str, AppRoutes | None]
    waits: Mapping[str, Wait]


@dataclass(frozen=True, slots=True)
class _Move:
    """A route that ``holder`` serves, as it is published, and ``taker`` asks for. ``disputed``: so does the holder by
    its version in force, or another taker that comes first."""

    route: Route
    holder: str
    taker: str
    disputed: bool


def hand_over(
    decisions: Mapping[str, AppDecision], parts: Mapping[str, AppRoutes], published: Mapping[str, AppRoutes]
) -> Handover:
    """Who keeps which routes for whom. ``parts`` are those decided of each app alone; one that leaves has none."""
    moves = tuple(_moves(decisions, parts, published))
    if not moves:
        return Handover({}, {})
    awaited = frozenset().union(*(decision.reconciliation.awaited for decision in decisions.values()))
    serving = {move.holder: _serving(decisions[move.holder], awaited) for move in moves}
    pending = tuple(
        move
        for move in moves
        if move.disputed or (serving[move.holder] and not _is_ready(decisions[move.taker].view, parts, move.route))
    )
    named = sorted({name for move in pending for name in (move.holder, move.taker)})
    return Handover(
        {name: _part(decisions[name], parts, published, serving.get(name), pending) for name in named},
        {name: Wait(name, _told(name, pending)) for name in named},
    )


def _moves(
    decisions: Mapping[str, AppDecision], parts: Mapping[str, AppRoutes], published: Mapping[str, AppRoutes]
) -> Iterator[_Move]:
    """The routes that an app asks for while another app serves them."""
    asked = {name: routes for name, decision in decisions.items() if (routes := _asked_for(decision, parts.get(name)))}
    if not asked:
        return
    served = {route.claim: (name, route) for name, part in published.items() if part.live for route in part.routes}
    taken: set[Claim] = set()
    for name, routes in asked.items():
        for claim in routes:
            holder, route = served.get(claim, ("", None))
            if route is not None and holder in decisions and holder != name:
                yield _Move(route, holder, name, disputed=claim in taken or _has(parts.get(holder), route))
                taken.add(claim)


def _asked_for(decision: AppDecision, part: AppRoutes | None) -> dict[Claim, None]:
    """The claims of an app that asks for other routes than it has: by its newest spec, and by the version in force."""
    view = decision.view
    newest, now = view.app.version.app.routes, view.published.routes if view.published else ()
    in_force = part.routes if part else ()
    return {} if decision.leaving or newest == now == in_force else dict.fromkeys(r.claim for r in newest + in_force)


def _has(part: AppRoutes | None, route: Route) -> bool:
    return part is not None and any(own.claim == route.claim for own in part.routes)


def _serving(holder: AppDecision, awaited: AbstractSet[str]) -> Reconciliation | None:
    """By which reconciliation the holder has somebody who serves, None where it has nobody. An app that leaves, or has
    no use for requests any more, does by those that serve now; unless they are waited for to end."""
    view = holder.view
    unrouted = {r.name: "" for r in view.replicas if not r.exists or r.name not in view.routed}
    choices = [] if holder.leaving else [holder.reconciliation]
    choices += [] if view.name in awaited else [Reconciliation(retire=unrouted)]
    return next((choice for choice in choices if with_routes(view, choice, (), EdgeOptions()).live), None)


def _is_ready(taker: AppView, parts: Mapping[str, AppRoutes], route: Route) -> bool:
    """Whether it can serve the route from now on: as many of its target version as it promises can be relied on, and
    none of another version would be asked. One that is to have no replicas is as ready as it will be."""
    if taker.count == 0 and not taker.suspended:
        return True
    part = parts.get(taker.name)
    if part is None or not _has(part, route):
        return False
    target, live = taker.target, {server.name for server in part.live}
    min_seconds = target.app.spec.strategy.min_ready_seconds
    fit = (replica for replica in taker.existing if replica.spec_hash == target.spec_hash)
    reliable = {replica.name for replica in fit if replica.available(min_seconds, taker.now)}
    return live <= reliable and len(live) >= max(1, taker.min_available)


def _part(
    decision: AppDecision,
    parts: Mapping[str, AppRoutes],
    published: Mapping[str, AppRoutes],
    serving: Reconciliation | None,
    pending: tuple[_Move, ...],
) -> AppRoutes | None:
    """The app's part without the routes that it is still to get, and with those that it keeps."""
    view = decision.view
    own, as_before = parts.get(view.name), published.get(view.name)
    lacked = {move.route.claim for move in pending if move.taker == view.name}
    kept = (move.route for move in pending if move.holder == view.name and not move.disputed)
    routes = (*(route for route in (own.routes if own else ()) if route.claim not in lacked), *kept)
    if own and routes == own.routes:
        return own
    model = own or as_before
    return with_routes(view, serving or decision.reconciliation, routes, model.options) if routes and model else None


def _told(name: str, pending: tuple[_Move, ...]) -> str:
    """What the app keeps, and what others keep for it."""
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for move in pending:
        if move.holder == name and not move.disputed:
            grouped[f"serves {{}} until {move.taker} is ready"].append(route_text(move.route))
        if move.taker == name:
            why = ", which several apps ask for" if move.disputed else " until this app is ready"
            grouped[f"{move.holder} serves {{}}{why}"].append(route_text(move.route))
    return "; ".join(sentence.format(", ".join(routes)) for sentence, routes in grouped.items())

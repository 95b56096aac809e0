"""Which requests go where: the route table, and what its publication means for the replicas.

Only replicas fit for traffic are in it, with two mercies: one that was just disturbed keeps its place while it comes
back at its own address, and an app whose replicas are all unwell stays routed, since taking every server away helps
nobody. Changes of one step are held together, because each may cost a reload.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.decide.replicas import Phase, Replica
from reconciler.decide.rollout import AppView, Choice, settling_until
from reconciler.decide.versions import version_for
from reconciler.model.events import Event
from reconciler.model.memory import Memory, Published, ReplicaMemory
from reconciler.model.plan import Wait
from reconciler.model.routes import AppRoutes, Publication, RouteTable, Server

# How long a replica that ended keeps its place in the table while it comes back in place.
IN_PLACE_SECONDS = 10.0

_COMING_BACK = (Phase.RESTARTING, Phase.CRASHED, Phase.CREATED, Phase.CREATING, Phase.STARTING, Phase.GONE)
_UNWELL = (Phase.UNHEALTHY, Phase.UNREADY)


def routes_of(view: AppView, choice: Choice, published: AppRoutes | None) -> tuple[AppRoutes | None, tuple[Wait, ...]]:
    """The app's part of the table now, and what is said about it. None: the app has no routes."""
    app = view.target.app
    if view.app.version.app.spec.suspend:
        return published, ()
    if not app.routes or app.main_port is None:
        return None, ()
    staying = [r for r in view.replicas if r.name not in choice.retire and r.phase is not Phase.LEAVING]
    held = settling_until(view) if view.routed else None
    live = [r for r in staying if _routable(view, r, held)]
    waits: list[Wait] = []
    if held and any(r.ready and r not in live for r in staying):
        waits.append(Wait(view.app.name, "waiting for the rest of the step before changing routes", held))
    if not live:
        live = [r for r in staying if r.phase in _UNWELL]
        if live:
            message = f"all {len(live)} replicas are unwell; they stay routed"
            waits.append(Wait(view.app.name, message))
    servers = (*_servers(view, live), *_draining(view, published, live))
    new = AppRoutes(view.app.name, app.routes, tuple(sorted(servers, key=lambda s: s.name)), app.spec.edge)
    return _unless_same(new, published), tuple(waits)


def _routable(view: AppView, replica: Replica, held: float | None) -> bool:
    if replica.ready:
        return held is None or replica.name in view.routed
    disturbed_at = replica.memory.disturbed_at
    if replica.name not in view.routed or disturbed_at is None or replica.memory.taken_over:
        return False
    return replica.phase in _COMING_BACK and 0 <= view.now - disturbed_at < IN_PLACE_SECONDS


def _servers(view: AppView, replicas: Iterable[Replica]) -> list[Server]:
    return [
        Server(r.name, r.memory.address, version_for(view.app, r.spec_hash).app.main_port or 0)
        for r in replicas
        if r.memory.address
    ]


def _draining(view: AppView, published: AppRoutes | None, live: list[Replica]) -> list[Server]:
    """Servers of the published table that leave it: marked down, so that sticky clients of the others stay put."""
    staying = {r.name for r in live}
    existing = {r.name for r in view.existing}
    servers = published.servers if published else ()
    return [replace(s, draining=True) for s in servers if s.name not in staying and s.name in existing]


def _unless_same(new: AppRoutes, published: AppRoutes | None) -> AppRoutes:
    """The published part again, unless requests would notice: a drained server alone is no reason to reload."""
    if published is None:
        return new
    return published if _for_requests(new) == _for_requests(published) else new


def _for_requests(app: AppRoutes) -> AppRoutes:
    return replace(app, servers=tuple(s for s in app.servers if not s.draining))


def after_publication(memory: Memory, publication: Publication | None, now: float) -> tuple[Memory, tuple[Event, ...]]:
    """Memory once the edge has answered: the published table, and since when each replica is out of it."""
    events: tuple[Event, ...] = ()
    published = memory.published
    if publication is not None:
        new = Published(publication.table, publication.generation, now, publication.refusals)
        if (new.table, new.refusals, new.generation) != (published.table, published.refusals, published.generation):
            events = _publication_events(published, new, publication.how, now)
            published = new
    routed = published.table.routed_names()
    replicas = {name: _marked(replica, name in routed, now) for name, replica in memory.replicas.items()}
    if published is memory.published and replicas == memory.replicas:
        return memory, ()
    return replace(memory, published=published, replicas=replicas), events


def _marked(replica: ReplicaMemory, routed: bool, now: float) -> ReplicaMemory:
    if routed:
        if replica.ever_routed and replica.unrouted_at is None:
            return replica
        return replace(replica, ever_routed=True, unrouted_at=None)
    if replica.ever_routed and replica.unrouted_at is None:
        return replace(replica, unrouted_at=now)
    return replica


def _publication_events(before: Published, after: Published, how: str, now: float) -> tuple[Event, ...]:
    old = {app.app_name: app for app in before.table.apps}
    new = {app.app_name: app for app in after.table.apps}
    events = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            message = f"routes {how}: {_summary(old.get(name))} → {_summary(new.get(name))}"
            events.append(Event(now, "routes", message, name, {"generation": after.generation}))
    known = set(before.refusals)
    for refusal in after.refusals:
        if refusal not in known:
            message = f"nginx refuses its configuration, which is left out: {refusal.message}"
            events.append(Event(now, "routes", message, refusal.app_name))
    return tuple(events)


def _summary(app: AppRoutes | None) -> str:
    if app is None:
        return "none"
    live = [server.name for server in app.servers if not server.draining]
    return ", ".join(live) or "nobody (503)"


def table_of(parts: Iterable[AppRoutes | None]) -> RouteTable:
    return RouteTable(tuple(sorted((part for part in parts if part is not None), key=lambda part: part.app_name)))

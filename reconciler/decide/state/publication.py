"""What a route table means for the replicas: which of them get requests, and since when not.

Whoever is about to be routed counts as routed before the edge is asked, since nobody may live to record its answer.
Whoever leaves counts as gone only once a table without it was really published: one that was refused, or never
answered for, drains nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.model.events import Event
from reconciler.model.replica_state import ReplicaState
from reconciler.model.routes import AppRoutes, Publication, RouteTable
from reconciler.model.state import Published, State


def expecting(replicas: Mapping[str, ReplicaState], table: RouteTable) -> dict[str, ReplicaState]:
    """The replicas once this table may be served."""
    routed = table.routed_names()
    return {name: replica.entered_traffic() if name in routed else replica for name, replica in replicas.items()}


def after_publication(
    state: State, wanted: RouteTable, publication: Publication | None, now: float
) -> tuple[State, tuple[Event, ...]]:
    """The state once the edge has answered (None: it could not). Replicas that left the table drain from here.

    One that the ``wanted`` table routes to and the published one does not has not left: the edge refused it for now.
    """
    if publication is None:
        return state, ()
    routed = publication.table.routed_names() | wanted.routed_names()
    left = {
        name: replica.left_traffic(now)
        for name, replica in state.replicas.items()
        if replica.traffic.routed and name not in routed
    }
    replicas = {**state.replicas, **left} if left else state.replicas
    return served(replace(state, replicas=replicas), publication, now)


def served(state: State, publication: Publication, now: float) -> tuple[State, tuple[Event, ...]]:
    """The state once this is served, and what that changes. Nobody's drain begins by it."""
    published, events = _published(state.published, publication, now)
    return replace(state, published=published), events


def _published(before: Published, publication: Publication, now: float) -> tuple[Published, tuple[Event, ...]]:
    after = Published(publication.table, publication.generation, now, publication.refusals, before.certificates)
    if replace(after, at=before.at) == before:
        return before, ()
    return after, _events(before, after, publication.how, now)


def _events(before: Published, after: Published, how: str, now: float) -> tuple[Event, ...]:
    old = {part.app_name: part for part in before.table.apps}
    new = {part.app_name: part for part in after.table.apps}
    events = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            was, is_now = _summary(old.get(name)), _summary(new.get(name))
            message = f"routes {how}: {was} → {is_now}" if was != is_now else f"routes {how}: other paths or options"
            events.append(Event(now, "routes", message, name, {"generation": after.generation}))
    for refusal in after.refusals:
        if refusal not in before.refusals:
            message = f"nginx refuses its configuration, which is left out: {refusal.message}"
            events.append(Event(now, "routes", message, refusal.app_name))
    return tuple(events)


def _summary(part: AppRoutes | None) -> str:
    if part is None:
        return "none"
    return ", ".join(server.name for server in part.live) or "nobody (503)"

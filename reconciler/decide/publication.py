"""What it means for the replicas that the edge has answered: which of them get requests, and since when not.

Only what was really published counts; a configuration that was refused drains nobody.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.events import Event
from reconciler.model.memory import Memory, Published, ReplicaMemory
from reconciler.model.routes import AppRoutes, Publication


def after_publication(memory: Memory, publication: Publication | None, now: float) -> tuple[Memory, tuple[Event, ...]]:
    """Memory once the edge has answered (None: it could not). Replicas that left the table drain from here."""
    published, events = _published(memory.published, publication, now)
    routed = published.table.routed_names()
    marked = {name: _marked(replica, name in routed, now) for name, replica in memory.replicas.items()}
    changed = any(marked[name] is not replica for name, replica in memory.replicas.items())
    if published is memory.published and not changed:
        return memory, events
    return replace(memory, published=published, replicas=marked if changed else memory.replicas), events


def _published(before: Published, publication: Publication | None, now: float) -> tuple[Published, tuple[Event, ...]]:
    if publication is None:
        return before, ()
    after = Published(publication.table, publication.generation, now, publication.refusals)
    if replace(after, at=before.at) == before:
        return before, ()
    return after, _events(before, after, publication.how, now)


def _marked(replica: ReplicaMemory, routed: bool, now: float) -> ReplicaMemory:
    if routed and (not replica.ever_routed or replica.unrouted_at is not None):
        return replace(replica, ever_routed=True, unrouted_at=None)
    if not routed and replica.ever_routed and replica.unrouted_at is None:
        return replace(replica, unrouted_at=now)
    return replica


def _events(before: Published, after: Published, how: str, now: float) -> tuple[Event, ...]:
    old = {app.app_name: app for app in before.table.apps}
    new = {app.app_name: app for app in after.table.apps}
    events = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            message = f"routes {how}: {_summary(old.get(name))} → {_summary(new.get(name))}"
            events.append(Event(now, "routes", message, name, {"generation": after.generation}))
    for refusal in after.refusals:
        if refusal not in before.refusals:
            message = f"nginx refuses its configuration, which is left out: {refusal.message}"
            events.append(Event(now, "routes", message, refusal.app_name))
    return tuple(events)


def _summary(app: AppRoutes | None) -> str:
    if app is None:
        return "none"
    return ", ".join(server.name for server in app.servers if not server.draining) or "nobody (503)"

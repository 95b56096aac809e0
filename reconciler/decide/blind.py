"""Who gets requests while the Engine can't be seen: those of the last route table, less those that answer badly.

Blind is not deaf: what probes say still takes a server out of the table, and lets it back in. Not where more than half
of an app's fail together, which is hardly their own fault, and so never the last one. Nobody comes in who was not taken
out by this very blindness, nobody's drain begins, and nothing else is done; the rules of always take over once the
Engine is seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import attrgetter

from reconciler.decide.state.blind import answered
from reconciler.decide.state.health import checks_of
from reconciler.decide.state.publication import served
from reconciler.decide.versions import version_for
from reconciler.model.events import Event
from reconciler.model.observed import Blind, ProbeSample
from reconciler.model.replica_state import ReplicaState
from reconciler.model.routes import AppRoutes, Publication, RouteTable, Server
from reconciler.model.state import State


@dataclass(frozen=True, slots=True)
class BlindDecision:
    """The route table for now, who comes ``back`` by it, and the state that remembers who does not."""

    table: RouteTable
    state: State
    back: frozenset[str] = frozenset()
    events: tuple[Event, ...] = ()


def decide_blindly(blind: Blind, state: State) -> BlindDecision:
    """The route table by the answers of probes alone. The same arguments always give the same decision."""
    since = state.outages.get("engine", blind.at)
    replicas = {**state.replicas, **_listened_to(blind, state)}
    parts, events, returning = [], [], set[str]()
    for part in state.published.table.apps:
        out, back = _changes(part, replicas, since) if _may_change(part, state) else (set[str](), set[str]())
        events += [_gone(replicas[name], blind.at) for name in sorted(out) if not replicas[name].withheld]
        replicas |= {name: replicas[name].withheld_since(blind.at) for name in out}
        replicas |= {name: replicas[name].entered_traffic() for name in back}
        returning |= back
        parts.append(_with(part, out, back))
    after = state if replicas == dict(state.replicas) else replace(state, replicas=replicas)
    return BlindDecision(RouteTable(tuple(parts)), after, frozenset(returning), tuple(events))


def conclude_blindly(decision: BlindDecision, publication: Publication, now: float) -> tuple[State, tuple[Event, ...]]:
    """The state once the edge has answered, and what happened: whoever is really back is withheld no longer."""
    state, routed = served(decision.state, publication, now)
    names = sorted(decision.back & publication.table.routed_names())
    back = {name: state.replicas[name].answering_blindly(None) for name in names}
    events = (*decision.events, *routed, *(_back(replica, now) for replica in back.values()))
    return replace(state, replicas={**state.replicas, **back}), events


def withheld(state: State) -> frozenset[str]:
    """The replicas that get no requests for what they answered while the Engine couldn't be seen."""
    return frozenset(name for name, replica in state.replicas.items() if replica.withheld)


def _listened_to(blind: Blind, state: State) -> Mapping[str, ReplicaState]:
    """The replicas that have answered, with what their answers say of them."""
    samples: defaultdict[str, list[ProbeSample]] = defaultdict(list)
    for sample in sorted(blind.samples, key=attrgetter("at", "check")):
        samples[sample.container_id].append(sample)
    heard = {}
    for name, replica in state.replicas.items() if samples else ():
        app = state.apps.get(replica.app_name)
        if app is not None and (answers := samples.get(replica.container_id)):
            heard[name] = answered(replica, answers, checks_of(version_for(app, replica.spec_hash).app))
    return heard


def _may_change(part: AppRoutes, state: State) -> bool:
    """Whether it is no app that is suspended, which is to be left exactly as it is."""
    app = state.apps.get(part.app_name)
    return app is None or not app.version.app.spec.suspend


def _changes(part: AppRoutes, replicas: Mapping[str, ReplicaState], since: float) -> tuple[set[str], set[str]]:
    """Who leaves an app's part of the table, and who comes back to it."""
    known = {server.name: replicas[server.name] for server in part.servers if _is_at_its_address(server, replicas)}
    live = {server.name for server in part.live}
    away = {
        name
        for name, replica in known.items()
        if replica.blind and replica.blind.withheld_at is not None and replica.blind.withheld_at >= since
    } - live
    bad = {name for name, replica in known.items() if replica.blind and not replica.blind.is_well} & (live | away)
    most = 2 * len(bad) > len(live | away)
    return set() if most else bad & live, away - bad


def _is_at_its_address(server: Server, replicas: Mapping[str, ReplicaState]) -> bool:
    replica = replicas.get(server.name)
    return replica is not None and replica.address == server.address


def _with(part: AppRoutes, out: set[str], back: set[str]) -> AppRoutes:
    """The part without the one and with the other; marked down and not taken away, so that sticky clients of the others
    stay where they are."""
    if not out and not back:
        return part
    servers = (
        replace(server, draining=server.name in out) if server.name in out | back else server for server in part.servers
    )
    return replace(part, servers=tuple(servers))


def _gone(replica: ReplicaState, at: float) -> Event:
    answer = replica.blind.detail if replica.blind else ""
    message = f"{replica.name} gets no requests, by its answers alone, until it answers well: {answer}"
    return Event(at, "health", message, replica.app_name, {"container": replica.container_id, "answer": answer})


def _back(replica: ReplicaState, at: float) -> Event:
    message = f"{replica.name} answers well again and gets requests, though the Docker Engine can't be seen"
    return Event(at, "health", message, replica.app_name, {"container": replica.container_id})

"""Which requests go where: the route table.

Only replicas fit for traffic are in it, with three mercies: one that was just disturbed keeps its place while it comes
back at its own address; when most of an app's replicas turn unhealthy together they keep theirs, since it is probably
the checker; and an app whose replicas are all unwell stays routed, since taking every server away helps nobody.
Changes of one step are held together, because each may cost a reload.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from operator import attrgetter

from reconciler.decide.app_view import AppView
from reconciler.decide.composition import canary_of
from reconciler.decide.healing import most_are_unhealthy
from reconciler.decide.phases import ENDING, PENDING, Phase, Replica
from reconciler.decide.reconcile import Reconciliation, settling_until
from reconciler.decide.rollout import canary
from reconciler.decide.state.health import health_check_of
from reconciler.decide.versions import version_for
from reconciler.model.health import Verdict
from reconciler.model.plan import Wait
from reconciler.model.reasons import Reason
from reconciler.model.routes import AppRoutes, RouteTable, Server, Upstream
from reconciler.model.spec import EdgeOptions, Route

_COMING_BACK = PENDING | {Phase.RESTARTING, Phase.CRASHED, Phase.VANISHING, Phase.GONE}


def routes_of(view: AppView, reconciliation: Reconciliation) -> tuple[AppRoutes | None, tuple[Wait, ...]]:
    """The app's part of the table now, and what is said about it. None: the app has no routes."""
    app, published = view.target.app, view.published
    if view.suspended and published is not None:
        return published, ()
    if not app.routes:
        return None, ()
    live, waits = _live(view, reconciliation)
    return _part(view, live, app.routes, app.spec.edge), waits


def with_routes(
    view: AppView, reconciliation: Reconciliation, routes: tuple[Route, ...], options: EdgeOptions
) -> AppRoutes:
    """The app's part of the table now, were these its routes and options."""
    return _part(view, _live(view, reconciliation)[0], routes, options)


def table_of(parts: Iterable[AppRoutes]) -> RouteTable:
    return RouteTable(tuple(sorted(parts, key=lambda part: part.app_name)))


def _part(view: AppView, live: list[Replica], routes: tuple[Route, ...], options: EdgeOptions) -> AppRoutes:
    """The part of these; the published one where requests would notice no difference, since that a server has drained
    is no reason to reload."""
    upstream, live = _spoken_to_alike(view, live)
    published, servers = view.published, sorted(_servers(view, live), key=attrgetter("name"))
    wanted = AppRoutes(view.name, routes, tuple(servers), options, upstream)
    if published and replace(published, servers=published.live) == wanted:
        return published
    servers = sorted((*servers, *_draining(view, live)), key=attrgetter("name"))
    return replace(wanted, servers=tuple(servers))


def _spoken_to_alike(view: AppView, live: list[Replica]) -> tuple[Upstream, list[Replica]]:
    """How the app is spoken to, and whom that reaches: nginx speaks to all servers of an app alike, so of versions that
    differ in this the one with the most replicas gets all requests, and the target's among equals."""
    target = Upstream.of(view.target.app)
    if all(Upstream.of(version.app) == target for version in view.app.versions):
        return target, live
    alike: defaultdict[Upstream, list[Replica]] = defaultdict(list, {target: []})
    for replica in live:
        alike[Upstream.of(version_for(view.app, replica.spec_hash).app)].append(replica)
    chosen = max(alike, key=lambda upstream: (len(alike[upstream]), upstream == target))
    return chosen, alike[chosen]


def _live(view: AppView, reconciliation: Reconciliation) -> tuple[list[Replica], tuple[Wait, ...]]:
    """The replicas that get requests."""
    staying = [r for r in view.replicas if r.name not in reconciliation.retire and r.phase not in ENDING]
    held = settling_until(view)
    # Nobody has to put up with an analysis that is over, as long as the others serve.
    wanted = [r for r in staying if _is_wanted(view, r)]
    if sum(r.ready and _routable(view, r, held) for r in wanted) >= max(1, view.min_available):
        staying = wanted
    live = [r for r in staying if _routable(view, r, held)]
    fresh = ", ".join(r.name for r in live if r.name not in view.routed)
    unwell = [r for r in staying if _is_unwell(view, r)]
    if unwell and not live:
        return unwell, (Wait(view.name, f"all {len(unwell)} replicas are unwell; they stay routed"),)
    if unwell and most_are_unhealthy(staying):
        live += [r for r in unwell if r.phase is Phase.UNHEALTHY and r.name in view.routed]
    if withheld := ", ".join(r.name for r in staying if r.withheld):
        why = "for what it answered while the Docker Engine could not be seen"
        return live, (Wait(view.name, f"no requests reach {withheld} before the next good answer, {why}"),)
    if held and any(r.ready and r not in live for r in staying):
        return live, (Wait(view.name, "waiting for the rest of the step before changing routes", held),)
    return live, (Wait(view.name, f"waiting for nginx to route to {fresh}"),) if fresh else ()


def _is_wanted(view: AppView, replica: Replica) -> bool:
    """Whether requests should reach its version: the target or the one before it, and no canary that failed. A canary
    that another commit has overtaken is neither."""
    stable, failed = view.app.stable, view.app.failed
    if failed and failed.reason is Reason.CANARY_FAILED and replica.spec_hash == failed.spec_hash:
        return False
    return stable is None or replica.spec_hash in (view.target.spec_hash, stable.spec_hash)


def _routable(view: AppView, replica: Replica, held: float | None) -> bool:
    if replica.ready:
        return not replica.withheld and (held is None or replica.name in view.routed)
    back_by = replica.in_place_until
    if replica.name not in view.routed or back_by is None:
        return False
    return replica.phase in _COMING_BACK and view.now < back_by and _is_at_its_address(view, replica)


def _is_unwell(view: AppView, replica: Replica) -> bool:
    """Whether it fails a check, and not since its start: one that never was healthy is still starting."""
    if replica.phase is not Phase.UNREADY:
        return replica.phase is Phase.UNHEALTHY or replica.withheld
    own = version_for(view.app, replica.spec_hash).app
    return replica.state.health.verdict is Verdict.HEALTHY or health_check_of(own) is None


def _is_at_its_address(view: AppView, replica: Replica) -> bool:
    """Whether it comes back where requests are sent; elsewhere it is a server like any new one."""
    servers = view.published.servers if view.published else ()
    return any(s.name == replica.name and s.address == replica.state.address for s in servers)


def _servers(view: AppView, live: list[Replica]) -> list[Server]:
    """Those of them that have an address and, by their own version, a port."""
    weight_of = _weights(view, live)
    return [
        Server(name=r.name, address=r.state.address, port=port, weight=weight_of(r.spec_hash))
        for r in live
        if r.state.address and (port := version_for(view.app, r.spec_hash).app.main_port)
    ]


def _weights(view: AppView, live: list[Replica]) -> Callable[[str], int]:
    """The weight of a server by its spec hash: all the same, unless a canary is to get its share. One whose rollout has
    failed and is paused gets no more than before."""
    share = canary_of(view.app, view.target, view.existing)
    if share is None:
        return lambda _: 1
    target = view.target.spec_hash
    new = sum(r.spec_hash == target for r in live)
    each_new, each_old = canary.weights(share.weight, new, len(live) - new)
    return lambda spec_hash: each_new if spec_hash == target else each_old


def _draining(view: AppView, live: list[Replica]) -> list[Server]:
    """Servers of the published table that leave it: marked down, so that sticky clients of the others stay put."""
    staying = {r.name for r in live}
    leaving = {r.name for r in view.existing} - staying
    servers = view.published.servers if view.published else ()
    return [replace(server, draining=True) for server in servers if server.name in leaving]

"""The search for the apps that nginx accepts, where it does not accept all of them: by insertion, one after another.

Decides who is left out. Whoever has a claim comes first: apps that want the routes they have, then those that want
others, then newcomers. An app that is refused beside those before it falls back to what is served of it now, and a
newcomer is left out; what only refused apps were to take over stays with whoever serves it. It must never blame an app
for what nginx refuses without any app as well, nor leave out an app that is being served: then the whole configuration
stays as it was.

One at a time they would take a config test each, of 80 ms for 1,000 apps, or 330 ms with Lua. So they are inserted in
groups, which double while nginx accepts them and halve where it refuses: a bad newcomer beside 1,000 apps takes 3
tests, one of 1,000 that goes bad 5, a bad one among 1,000 newcomers about 20.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from reconciler.edge.virtual_servers import Certificate
from reconciler.model.routes import AppRoutes

Apps = tuple[AppRoutes, ...]
Served = Mapping[str, AppRoutes]
# What nginx complains of in a configuration of these apps, None where it accepts them.
Test = Callable[[Apps], str | None]


class Hopeless(Exception):
    """A refusal that is no app's fault, or that would cost an app that is served. The message tells what nginx said."""


class Insertion:
    """The search for the apps that nginx accepts, with a memory of those it refused last.

    A refused app is not tried again before the routes or options of an app change, or a certificate: replicas come and
    go at the cost of one config test, as where nothing is refused.
    """

    def __init__(self) -> None:
        self._basis: object = None
        self._complaints: Mapping[str, str] = {}

    def accepted(
        self, wanted: Apps, served: Served, certificates: Mapping[str, Certificate], test: Test
    ) -> tuple[Apps, Mapping[str, str]]:
        """The apps to serve, in order of name, and the complaints by name of refused app.

        ``served``: what there is now, by app name. Raises Hopeless.
        """
        basis = (tuple(replace(app, servers=()) for app in wanted), certificates)
        complaints = self._complaints if basis == self._basis else {}
        remembered = (_as_served(app, served) if app.app_name in complaints else app for app in wanted)
        apps = with_routes_left(tuple(app for app in remembered if app), wanted, complaints, served)
        if test(apps) is not None:
            apps, complaints = insert(wanted, served, test)
            left = with_routes_left(apps, wanted, complaints, served)
            apps = left if left == apps or test(left) is None else apps
        self._basis, self._complaints = basis, complaints
        return apps, complaints


def insert(wanted: Apps, served: Served, test: Test) -> tuple[Apps, Mapping[str, str]]:
    """As `Insertion.accepted`, by the search alone, for apps that nginx refuses together."""
    if complaint := test(()):
        raise Hopeless(complaint)
    order = sorted(wanted, key=lambda app: (app.app_name not in served, _moves(app, served)))
    accepted, size = 0, sum(not _moves(app, served) for app in order) or len(order)
    complaints: dict[str, str] = {}
    while accepted < len(order):
        group = order[accepted : accepted + size]
        complaint = test(_by_name([*order[:accepted], *group]))
        if complaint is None:
            accepted, size = accepted + len(group), 2 * size
        elif len(group) > 1:
            size = len(group) // 2
        else:
            complaints.setdefault(group[0].app_name, complaint)
            accepted = _fall_back(order, accepted, served, complaints)
    return _by_name(order), complaints


def with_routes_left(apps: Apps, wanted: Apps, refused: Collection[str], served: Served) -> Apps:
    """The apps with the routes that only ``refused`` ones were to have, left to whoever serves them."""
    if not refused:
        return apps
    lost = {route.claim for app in wanted if app.app_name in refused for route in app.routes}
    lost -= {route.claim for app in apps for route in app.routes}
    by_name = {app.app_name: app for app in apps}
    for name, before in served.items():
        if left := tuple(route for route in before.routes if before.live and route.claim in lost):
            now = by_name.get(name)
            by_name[name] = replace(now, routes=(*now.routes, *left)) if now else replace(before, routes=left)
    return _by_name(by_name.values())


def _fall_back(order: list[AppRoutes], refused: int, served: Served, complaints: Mapping[str, str]) -> int:
    """Put what is served of the refused app before all that want other routes than they have, since they may want its
    own; how many stand before it, and so are accepted. Raises Hopeless for an app that has fallen back already."""
    app = order.pop(refused)
    before = _as_served(app, served)
    if before is None:
        return refused
    if app == served[app.app_name]:
        raise Hopeless(f"{app.app_name}, also as it was before: {complaints[app.app_name]}")
    accepted = sum(not _moves(other, served) for other in order[:refused])
    order.insert(accepted, before if app != before else served[app.app_name])
    return accepted


def _as_served(app: AppRoutes, served: Served) -> AppRoutes | None:
    """The routes and options there are now with the servers that are wanted, so that replicas still come and go; but
    with those of now where the others would be spoken to otherwise."""
    before = served.get(app.app_name)
    return replace(before, servers=app.servers) if before and before.upstream == app.upstream else before


def _moves(app: AppRoutes, served: Served) -> bool:
    """Whether it wants other routes than it has: a newcomer does."""
    return app.app_name not in served or app.routes != served[app.app_name].routes


def _by_name(apps: Iterable[AppRoutes]) -> Apps:
    return tuple(sorted(apps, key=lambda app: app.app_name))

"""Which apps are served when nginx refuses some: against a make-believe nginx with known reasons to refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.edge.insertion import Apps, Hopeless, Insertion, Served, insert
from reconciler.edge.virtual_servers import Certificate
from reconciler.model.routes import AppRoutes, Server
from reconciler.model.spec import Route

BROKEN = "/broken"
CERTIFICATE = Certificate("shop", "shop.crt", "shop.key")


class Refusing:
    """Refuses an app with the path ``/broken``, and the second claim of any path, whosever it is."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def complaint(self, apps: Apps) -> str | None:
        self.sizes.append(len(apps))
        claimed: set[str] = set()
        for route in (route for app in apps for route in app.routes):
            if route.path == BROKEN or route.path in claimed:
                return f"{route.path} is refused"
            claimed.add(route.path)
        return None


def app(name: str, path: str, *addresses: str) -> AppRoutes:
    servers = tuple(Server(f"{name}-{n}", address, 80) for n, address in enumerate(addresses, start=1))
    return AppRoutes(name, (Route(path=path),), servers)


def on(name: str, *paths: str) -> AppRoutes:
    """An app with one replica at these paths."""
    return AppRoutes(name, tuple(Route(path=path) for path in paths), (Server(f"{name}-1", "10.0.0.9", 80),))


def apps(count: int, broken: set[int]) -> Apps:
    return tuple(app(f"app-{n:03d}", BROKEN if n in broken else f"/{n}") for n in range(count))


def named(*apps: AppRoutes) -> dict[str, AppRoutes]:
    return {app.app_name: app for app in apps}


def inserted(wanted: Apps, served: Served) -> tuple[Apps, list[str]]:
    """The apps that are accepted, and the names of those that are refused."""
    accepted, complaints = Insertion().accepted(wanted, served, {}, Refusing().complaint)
    return accepted, sorted(complaints)


def test_apps_that_nginx_accepts_cost_one_config_test() -> None:
    nginx = Refusing()
    assert Insertion().accepted(apps(9, set()), {}, {}, nginx.complaint) == (apps(9, set()), {})
    assert nginx.sizes == [9]


@given(broken=st.sets(st.integers(0, 19)), settled=st.sets(st.integers(0, 19)))
def test_exactly_the_broken_apps_are_refused(broken: set[int], settled: set[int]) -> None:
    wanted = apps(20, broken)
    served = named(*(app for n, app in enumerate(wanted) if n in settled - broken))
    accepted, refused = inserted(wanted, served)
    assert accepted == tuple(app for n, app in enumerate(wanted) if n not in broken)
    assert refused == [f"app-{n:03d}" for n in sorted(broken)]


def test_a_broken_newcomer_beside_a_thousand_served_apps_costs_four_config_tests() -> None:
    nginx = Refusing()
    wanted = apps(1000, {500})
    Insertion().accepted(wanted, named(*wanted[:500], *wanted[501:]), {}, nginx.complaint)
    assert nginx.sizes == [1000, 0, 999, 1000]


def test_a_broken_newcomer_among_a_thousand_newcomers_costs_few_config_tests() -> None:
    nginx = Refusing()
    insert(apps(1000, {500}), {}, nginx.complaint)
    assert len(nginx.sizes) <= 25


def test_a_thousand_broken_newcomers_cost_little_more_than_a_small_config_test_each() -> None:
    nginx = Refusing()
    accepted, complaints = insert(apps(1000, set(range(1000))), {}, nginx.complaint)
    assert (accepted, len(complaints)) == ((), 1000)
    assert len(nginx.sizes) <= 1015
    assert sum(nginx.sizes) <= 4000


def test_a_refused_app_keeps_its_routes_with_the_servers_of_now() -> None:
    served = named(app("web", "/web", "10.0.0.1"))
    accepted, refused = inserted((app("web", BROKEN, "10.0.0.2"),), served)
    assert accepted == (app("web", "/web", "10.0.0.2"),)
    assert refused == ["web"]


def test_a_refused_app_keeps_the_servers_of_before_where_those_of_now_are_refused_as_well() -> None:
    def refuse_new_servers(wanted: Apps) -> str | None:
        return "no" if any(server.address == "10.0.0.2" for app in wanted for server in app.servers) else None

    served = named(app("web", "/web", "10.0.0.1"))
    accepted, _ = insert((app("web", "/web", "10.0.0.2"),), served, refuse_new_servers)
    assert accepted == (app("web", "/web", "10.0.0.1"),)


def test_of_two_apps_that_want_one_path_the_one_that_has_it_keeps_it() -> None:
    accepted, refused = inserted((app("new", "/x"), app("zoo", "/x")), named(app("zoo", "/x")))
    assert accepted == (app("zoo", "/x"),)
    assert refused == ["new"]


def test_of_two_apps_that_want_another_path_the_one_that_is_served_gets_it() -> None:
    accepted, refused = inserted((app("new", "/x"), app("zoo", "/x")), named(app("zoo", "/y")))
    assert accepted == (app("zoo", "/x"),)
    assert refused == ["new"]


def test_an_app_that_wants_the_path_of_a_refused_one_stays_where_it_was() -> None:
    served = named(app("a", "/a"), app("b", "/b"))
    accepted, refused = inserted((app("a", "/b"), app("b", BROKEN), app("c", "/a")), served)
    assert accepted == (app("a", "/a"), app("b", "/b"))
    assert refused == ["a", "b", "c"]


def test_two_apps_swap_their_paths_also_beside_a_refused_one() -> None:
    served = named(app("a", "/a"), app("b", "/b"))
    accepted, refused = inserted((app("a", "/b"), app("b", "/a"), app("c", BROKEN)), served)
    assert accepted == (app("a", "/b"), app("b", "/a"))
    assert refused == ["c"]


def test_what_nginx_refuses_without_any_app_is_no_apps_fault() -> None:
    with pytest.raises(Hopeless, match="disk full"):
        Insertion().accepted(apps(3, set()), {}, {}, lambda _: "disk full")


def test_an_app_that_is_served_is_never_left_out() -> None:
    """A template that breaks every app must not publish an empty configuration."""

    def refuse_any(wanted: Apps) -> str | None:
        return "the template is broken" if wanted else None

    web = app("web", "/web")
    with pytest.raises(Hopeless, match="web, also as it was before: the template is broken"):
        Insertion().accepted((web,), named(web), {}, refuse_any)


def test_what_was_refused_costs_no_search_while_only_servers_change() -> None:
    nginx, insertion = Refusing(), Insertion()
    served: Served = named(app("bad", "/bad", "10.0.0.1"))
    for address in ("10.0.0.1", "10.0.0.2"):
        nginx.sizes.clear()
        wanted = (app("bad", BROKEN, address), app("new", BROKEN, address), app("web", "/web", address))
        accepted, complaints = insertion.accepted(wanted, served, {}, nginx.complaint)
        assert accepted == (app("bad", "/bad", address), app("web", "/web", address))
        assert complaints == {"bad": "/broken is refused", "new": "/broken is refused"}
        served = named(*accepted)
    assert nginx.sizes == [2]


def test_a_refused_app_is_tried_again_when_another_app_gives_its_path_free() -> None:
    insertion, nginx = Insertion(), Refusing()
    served = named(app("zoo", "/x"))
    insertion.accepted((app("new", "/x"), app("zoo", "/x")), served, {}, nginx.complaint)
    freed = (app("new", "/x"), app("zoo", "/zoo"))
    assert insertion.accepted(freed, served, {}, nginx.complaint) == (freed, {})


def test_a_refused_app_is_tried_again_when_a_certificate_changes() -> None:
    insertion, wanted = Insertion(), (app("web", "/web"),)
    assert insertion.accepted(wanted, {}, {}, lambda apps: "no certificate" if apps else None)[0] == ()
    assert insertion.accepted(wanted, {}, {}, lambda _: None)[0] == ()
    assert insertion.accepted(wanted, {}, {"shop": CERTIFICATE}, lambda _: None)[0] == wanted


paths = st.sampled_from(["/a", "/b", "/c", "/d", BROKEN])


@given(
    wanted=st.dictionaries(st.sampled_from("abcdef"), paths),
    served=st.dictionaries(st.sampled_from("abcdef"), paths.filter(lambda path: path != BROKEN)),
)
def test_whatever_apps_want_those_accepted_can_be_served_and_no_served_one_is_missing(
    wanted: dict[str, str], served: dict[str, str]
) -> None:
    unique = {path: name for name, path in served.items()}
    before = {name: app(name, path) for path, name in unique.items()}
    ordered = tuple(app(name, path) for name, path in sorted(wanted.items()))
    nginx = Refusing()
    accepted, complaints = Insertion().accepted(ordered, before, {}, nginx.complaint)
    assert nginx.complaint(accepted) is None
    names = [app.app_name for app in accepted]
    assert names == sorted(set(names))
    assert {app.app_name for app in ordered if app not in accepted} == complaints.keys()
    assert before.keys() & wanted.keys() <= set(names)


def test_routes_that_a_refused_app_was_to_have_stay_with_whoever_serves_them() -> None:
    leaving, giving = app("leaving", "/a", "10.0.0.1"), on("giving", "/b", "/c")
    served = named(replace(leaving, routes=(*leaving.routes, Route(path="/gone"))), giving)
    wanted = (on("giving", "/c"), on("heir", "/a", "/b", BROKEN))
    for _ in range(2):  # Remembered as well.
        accepted, refused = inserted(wanted, served)
        assert accepted == (on("giving", "/c", "/b"), leaving)
        assert refused == ["heir"]


def test_routes_that_an_app_was_to_have_are_remembered_as_left_to_whoever_serves_them() -> None:
    insertion, nginx, leaving = Insertion(), Refusing(), app("leaving", "/a", "10.0.0.1")
    wanted, served = (on("heir", "/a", BROKEN),), named(leaving)
    for _ in range(2):
        assert insertion.accepted(wanted, served, {}, nginx.complaint)[0] == (leaving,)
    assert nginx.sizes == [1, 0, 1, 1, 1], "and so they are tested once"


def test_what_nginx_refuses_also_of_whoever_serves_it_is_left_out() -> None:
    served = named(app("leaving", BROKEN, "10.0.0.1"))
    assert inserted((on("heir", BROKEN),), served) == ((), ["heir"])


def test_a_route_that_nobody_served_stays_with_nobody() -> None:
    assert inserted((on("heir", "/a", BROKEN),), named(app("leaving", "/a"))) == ((), ["heir"])

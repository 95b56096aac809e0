"""Which apps are served when nginx refuses some: against a make-believe nginx with known reasons to refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.edge.trial import Apps, Hopeless, Verdict, largest_accepted
from reconciler.model.routes import AppRoutes, Server
from reconciler.model.spec import Route

BROKEN = "/broken"


class Refusing:
    """Refuses an app with the path ``/broken``, and the second claim of any path. Blames the app, or nobody, or the
    next app in order, as nginx does for a missing brace."""

    def __init__(self, blame: str = "right") -> None:
        self.blame = blame
        self.sizes: list[int] = []

    def check(self, apps: Apps) -> Verdict | None:
        self.sizes.append(len(apps))
        claimed: set[str] = set()
        for position, app in enumerate(apps):
            for route in app.routes:
                if route.path == BROKEN or route.path in claimed:
                    return Verdict(f"{app.app_name} is refused", self._blamed(apps, position))
                claimed.add(route.path)
        return None

    def _blamed(self, apps: Apps, position: int) -> str | None:
        if self.blame == "nobody":
            return None
        wrong = self.blame == "wrong" and position + 1 < len(apps)
        return apps[position + 1 if wrong else position].app_name


def app(name: str, path: str, *addresses: str) -> AppRoutes:
    servers = tuple(Server(f"{name}-{n}", address, 80) for n, address in enumerate(addresses, start=1))
    return AppRoutes(name, (Route(path=path),), servers)


def apps(count: int, broken: set[int]) -> Apps:
    return tuple(app(f"app-{n:03d}", BROKEN if n in broken else f"/{n}") for n in range(count))


def test_all_good_costs_one_test() -> None:
    nginx = Refusing()
    assert largest_accepted(apps(9, set()), {}, nginx.check) == (apps(9, set()), ())
    assert nginx.sizes == [9]


@pytest.mark.parametrize("blame", ["right", "nobody", "wrong"])
@given(broken=st.sets(st.integers(0, 19)))
def test_exactly_the_broken_ones_are_refused(blame: str, broken: set[int]) -> None:
    wanted = apps(20, broken)
    accepted, refusals = largest_accepted(wanted, {}, Refusing(blame).check)
    assert accepted == tuple(app for n, app in enumerate(wanted) if n not in broken)
    assert [refusal.app_name for refusal in refusals] == [f"app-{n:03d}" for n in sorted(broken)]


def test_one_broken_among_a_thousand_costs_few_tests() -> None:
    nginx = Refusing()
    largest_accepted(apps(1000, {500}), {}, nginx.check)
    assert len(nginx.sizes) <= 8
    assert sum(nginx.sizes) <= 4000


def test_a_thousand_broken_cost_no_more_than_three_small_tests_each() -> None:
    nginx = Refusing()
    accepted, refusals = largest_accepted(apps(1000, set(range(1000))), {}, nginx.check)
    assert (accepted, len(refusals)) == ((), 1000)
    assert len(nginx.sizes) <= 3000
    assert sum(nginx.sizes) / 1000 <= 20


def test_a_refused_app_keeps_its_routes_with_the_servers_of_now() -> None:
    served = {"web": app("web", "/web", "10.0.0.1")}
    accepted, refusals = largest_accepted((app("web", BROKEN, "10.0.0.2"),), served, Refusing().check)
    assert accepted == (app("web", "/web", "10.0.0.2"),)
    assert [refusal.app_name for refusal in refusals] == ["web"]


def test_of_two_that_want_one_path_the_one_that_has_it_keeps_it() -> None:
    served = {"zoo": app("zoo", "/x")}
    accepted, refusals = largest_accepted((app("new", "/x"), app("zoo", "/x")), served, Refusing().check)
    assert accepted == (app("zoo", "/x"),)
    assert [refusal.app_name for refusal in refusals] == ["new"]


def test_an_app_that_wants_the_path_of_a_refused_one_stays_where_it_was() -> None:
    served = {"a": app("a", "/a"), "b": app("b", "/b")}
    wanted = (app("a", "/b"), app("b", BROKEN), app("c", "/a"))
    accepted, refusals = largest_accepted(wanted, served, Refusing().check)
    assert accepted == (app("a", "/a"), app("b", "/b"))
    assert [refusal.app_name for refusal in refusals] == ["a", "b", "c"]


def test_what_nginx_refuses_without_any_app_is_nobodys_fault() -> None:
    with pytest.raises(Hopeless, match="disk full"):
        largest_accepted(apps(3, set()), {}, lambda _: Verdict("disk full"))


def test_an_app_that_is_served_is_never_left_out() -> None:
    """A template that breaks every app must not publish an empty configuration."""

    def refuse_any(wanted: Apps) -> Verdict | None:
        return Verdict("the template is broken") if wanted else None

    served = {"web": app("web", "/web")}
    with pytest.raises(Hopeless, match="web, also as it was before: the template is broken"):
        largest_accepted((app("web", "/web"),), served, refuse_any)


paths = st.sampled_from(["/a", "/b", "/c", "/d", BROKEN])


@given(
    wanted=st.dictionaries(st.sampled_from("abcdef"), paths),
    served=st.dictionaries(st.sampled_from("abcdef"), paths.filter(lambda path: path != BROKEN)),
    blame=st.sampled_from(["right", "nobody", "wrong"]),
)
def test_whatever_is_asked_what_is_accepted_can_be_served(
    wanted: dict[str, str], served: dict[str, str], blame: str
) -> None:
    unique = {path: name for name, path in served.items()}
    before = {name: app(name, path) for path, name in unique.items()}
    ordered = tuple(app(name, path) for name, path in sorted(wanted.items()))
    nginx = Refusing(blame)
    try:
        accepted, refusals = largest_accepted(ordered, before, nginx.check)
    except Hopeless:
        return
    assert nginx.check(accepted) is None
    names = [app.app_name for app in accepted]
    assert names == sorted(set(names))
    assert {app.app_name for app in ordered if app not in accepted} == {refusal.app_name for refusal in refusals}
    assert before.keys() & wanted.keys() <= set(names)

"""Which routes belong to which host, in which order."""

from __future__ import annotations

from reconciler.edge.servers import ServerList
from reconciler.edge.virtual_servers import Certificate, VirtualServer, virtual_servers
from reconciler.model.routes import Server
from reconciler.model.spec import Route
from tests.support.nginx import app_routes, table


def route(**values: object) -> Route:
    return Route.model_validate({"path": "/"} | values)


def owners(server: VirtualServer) -> dict[str, str]:
    return {location.path or "/": location.app.app_name for location in server.locations}


def by_host(*apps: object, **certificates: Certificate) -> dict[str | None, VirtualServer]:
    return {server.host: server for server in virtual_servers(table(*apps), certificates)}  # type: ignore[arg-type]


def test_a_route_without_a_host_is_part_of_every_virtual_server() -> None:
    found = by_host(app_routes("web"), app_routes("shop", (), route(host="shop.example.com")))
    assert owners(found[None]) == {"/web": "web"}
    assert owners(found["shop.example.com"]) == {"/web": "web", "/": "shop"}


def test_of_equal_paths_the_more_exact_host_wins() -> None:
    found = by_host(
        app_routes("any", (), route()),
        app_routes("wide", (), route(host="*.com")),
        app_routes("wild", (), route(host="*.example.com"), route(host="*.example.com", path="/w")),
        app_routes("exact", (), route(host="a.b.example.com"), route(host="a.b.example.com", path="/x/")),
    )
    assert owners(found[None]) == {"/": "any"}
    assert owners(found["*.com"]) == {"/": "wide"}
    assert owners(found["*.example.com"]) == {"/": "wild", "/w": "wild"}
    assert owners(found["a.b.example.com"]) == {"/": "exact", "/w": "wild", "/x": "exact"}


def test_longer_paths_come_first() -> None:
    (server,) = virtual_servers(table(app_routes("web", (), route(), route(path="/a"), route(path="/a/b/c"))), {})
    assert [location.path for location in server.locations] == ["/a/b/c", "/a", ""]


def test_two_claims_of_one_host_and_path_stay_two() -> None:
    (server,) = virtual_servers(
        table(app_routes("one", (), route(path="/x")), app_routes("two", (), route(path="/x/"))), {}
    )
    assert [location.app.app_name for location in server.locations] == ["one", "two"]


def test_a_host_has_the_certificate_of_the_most_exact_claim() -> None:
    wild, own = (Certificate(name, f"{name}.crt", f"{name}.key") for name in ("wild", "own"))
    found = by_host(
        app_routes("wild", (), route(host="*.example.com", tls={"secret": "wild"})),
        app_routes("own", (), route(host="a.example.com", tls={"secret": "own"})),
        app_routes("none", (), route(host="b.example.com")),
        app_routes("other", (), route(host="example.org")),
        wild=wild,
        own=own,
    )
    assert found["a.example.com"].certificate == own
    assert found["b.example.com"].certificate == found["*.example.com"].certificate == wild
    assert found["example.org"].certificate is None
    assert found[None].certificate is None


def test_a_list_of_servers_is_named_by_its_content() -> None:
    first = table(app_routes("web", [Server("web-1", "10.0.0.1", 80, weight=3), Server("web-2", "10.0.0.2", 80, True)]))
    servers = ServerList.of(first)
    assert servers.text == f"digest {servers.digest}\napp web\n10.0.0.1 80 3\n10.0.0.2 80 0\n"
    assert ServerList.of(first) == servers


def test_only_apps_that_changed_are_pushed() -> None:
    one, two = (app_routes(name, [Server(f"{name}-1", "10.0.0.1", 80)]) for name in ("one", "two"))
    before = ServerList.of(table(one, two))
    after = ServerList.of(table(one, app_routes("two", [])))
    assert after.changes_from(before) == f"digest {after.digest}\napp two\n"

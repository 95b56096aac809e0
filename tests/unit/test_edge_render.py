"""nginx's configuration as it is written, byte for byte, and what may never get into it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.edge.render import LUA_FILE, Renderer, RenderError, Rendering
from reconciler.edge.settings import Build, EdgeSettings
from reconciler.edge.virtual_servers import Certificate
from reconciler.model.routes import AppRoutes, RouteTable, Server, Upstream
from reconciler.model.spec import EdgeOptions, Route, UpstreamTls
from tests.support.golden import GOLDEN, assert_golden
from tests.support.nginx import app_routes, table

STOCK = Build(version=(1, 22, 1), worker_user="www-data www-data")
LUA = replace(STOCK, lua=True, modules=("/usr/lib/nginx/modules/ndk_http_module.so",))
NEW = Build(version=(1, 28, 0))
SHOP = Certificate("shop", "assets/shop-0123.crt", "assets/shop-0123.key")
INTERNAL = Certificate("internal", "assets/internal-4567.crt")
TLS = {"host": "shop.example.com", "tls": {"secret": "shop"}}


def servers(name: str, count: int = 2) -> list[Server]:
    return [Server(f"{name}-{n}", f"10.210.0.{n + 1}", 8080) for n in range(1, count + 1)]


def route(**values: object) -> Route:
    return Route.model_validate({"path": "/"} | values)


TABLES = {
    "empty": table(),
    "default-route": table(app_routes("web", servers("web"))),
    "outage": table(app_routes("web"), app_routes("api", [replace(servers("api", 1)[0], draining=True)])),
    "draining-and-canary": table(
        app_routes(
            "web",
            [
                Server("web-1", "10.210.0.2", 8080, weight=9),
                Server("web-2", "10.210.0.3", 8080, draining=True, weight=9),
                Server("web-3", "10.210.0.4", 8080),
            ],
        )
    ),
    "hosts-and-paths": table(
        app_routes("any", servers("any", 1), route(path="/any", stripPrefix=True)),
        app_routes("shop", servers("shop", 1), route(host="shop.example.com"), route(host="*.example.com")),
        app_routes("static", servers("static", 1), route(host="shop.example.com", path="/static/")),
    ),
    "tls": table(
        app_routes("shop", servers("shop", 1), route(**TLS)),
        app_routes("web", servers("web", 1), route(path="/web")),
    ),
    "limits-and-sticky": table(
        app_routes(
            "my-web",
            servers("my-web"),
            sticky="cookie",
            maxBodySize="20Mi",
            readTimeoutSeconds=0.5,
            rateLimit={"requestsPerSecond": 0.5, "burst": 3},
            retries=0,
        ),
        app_routes("api", servers("api"), sticky="ip", rateLimit={"requestsPerSecond": 100}),
    ),
    "https-and-grpc": table(
        replace(
            app_routes("web", servers("web"), route(path="/web"), responseHeaderSize="64Ki", responseBuffering=False),
            upstream=Upstream("HTTPS", UpstreamTls(ca="internal", server_name="web.internal")),
        ),
        replace(app_routes("rpc", servers("rpc"), route(**TLS), readTimeoutSeconds=300), upstream=Upstream("GRPC")),
    ),
}
BUILDS = {"stock": STOCK, "lua": LUA, "new": NEW}
CASES = [("stock", name) for name in TABLES]
CASES += [("lua", "draining-and-canary"), ("lua", "https-and-grpc"), ("lua", "limits-and-sticky"), ("new", "tls")]


def render(wanted: RouteTable, build: Build = STOCK, settings: EdgeSettings | None = None) -> Rendering:
    return Renderer(settings or EdgeSettings(), build).render(wanted, {"shop": SHOP, "internal/ca.crt": INTERNAL}, 7)


@pytest.mark.parametrize(("build", "name"), CASES)
def test_the_configuration_of(build: str, name: str) -> None:
    rendering = render(TABLES[name], BUILDS[build])
    text = rendering.files["http.conf"].replace(rendering.generation, "GENERATION").replace(LUA_FILE, "assets/LUA")
    assert_golden(f"nginx/{name}.{build}.conf", text)


@pytest.mark.parametrize("build", BUILDS)
def test_the_main_configuration_of(build: str) -> None:
    assert_golden(f"nginx/main.{build}.conf", render(table(), BUILDS[build]).files["nginx.conf"])


def test_every_golden_configuration_has_its_case() -> None:
    expected = {f"{name}.{build}" for build, name in CASES} | {f"main.{build}" for build in BUILDS}
    assert {path.stem for path in (GOLDEN / "nginx").glob("*.conf")} == expected


def test_the_order_of_routes_within_an_app_changes_nothing() -> None:
    routes = (route(path="/a"), route(path="/b"), route(host="x.example.com"))
    one, other = (render(table(app_routes("web", servers("web"), *order))) for order in (routes, routes[::-1]))
    assert one.files == other.files
    assert one.manifest.digest == other.manifest.digest


def test_with_lua_replicas_are_no_part_of_what_is_loaded() -> None:
    few, many = (render(table(app_routes("web", servers("web", count))), LUA) for count in (1, 9))
    assert few.manifest.digest == many.manifest.digest
    assert few.manifest.servers_digest != many.manifest.servers_digest
    assert few.generation != many.generation


def test_a_replica_of_another_name_at_the_same_address_changes_nothing() -> None:
    one = table(app_routes("web", servers("web")))
    renamed = [replace(server, name=f"{server.name}-x") for server in servers("web")]
    assert render(one).files == render(table(app_routes("web", renamed))).files


def test_paths_stand_under_the_root_where_nginx_runs_elsewhere() -> None:
    build = replace(STOCK, root="/srv/edge/", main_config=False)
    rendering = render(TABLES["tls"], build)
    assert set(rendering.files) == {"http.conf"}
    for path in ("unix:/srv/edge/run/", "/srv/edge/logs/access.log", f"/srv/edge/{SHOP.certificate_file}"):
        assert path in rendering.files["http.conf"]


def test_the_address_to_listen_on() -> None:
    text = render(table(), settings=EdgeSettings(bind="127.0.0.1", port=9000)).files["http.conf"]
    assert re.findall(r"listen (\S+)", text)[0] == "127.0.0.1:9000"


def test_the_addresses_to_listen_on() -> None:
    def listens(build: Build, **settings: object) -> list[str]:
        text = render(TABLES["tls"], build, EdgeSettings(**settings)).files["http.conf"]  # type: ignore[arg-type]
        return list(dict.fromkeys(re.findall(r"listen (.*?)(?: ssl.*| default_server)?;", text)))

    both = replace(STOCK, ipv6=True)
    assert listens(both)[:4] == ["8080", "[::]:8080", "8443", "[::]:8443"]
    named = ["127.0.0.1:8080", "[::1]:8080", "127.0.0.1:8443", "[::1]:8443"]
    assert listens(both, bind=("127.0.0.1", "::1"))[:4] == named
    in_container = replace(both, binds=False)
    assert listens(in_container, bind="127.0.0.1", proxy_protocol=True)[0] == "8080 proxy_protocol"


def test_lines_of_an_app_in_http_conf_stand_between_its_markers() -> None:
    lines = render(TABLES["hosts-and-paths"]).files["http.conf"].splitlines()
    parts = "\n".join(lines).split("# app ")[1:]
    assert {part.split("\n")[0] for part in parts} == {"any", "shop", "static"}
    assert all("\n# end\n" in part for part in parts)
    assert lines[lines.index("upstream orchestry_shop {") - 1] == "# app shop"


def test_a_route_whose_certificate_is_missing_can_not_be_rendered() -> None:
    other = AppRoutes("other", (route(host="a.example.com", tls={"secret": "none"}),), ())
    with pytest.raises(RenderError, match="none has no usable certificate"):
        render(table(other))


def test_two_certificates_for_one_host_can_not_be_rendered() -> None:
    second = AppRoutes("web", (route(host="shop.example.com", path="/x", tls={"secret": "web"}),), ())
    certificates = {"shop": SHOP, "web": replace(SHOP, secret="web")}
    with pytest.raises(RenderError, match="has TLS secret shop by app shop already, not web"):
        Renderer(EdgeSettings(), STOCK).render(table(app_routes("shop", (), route(**TLS)), second), certificates, 1)


def test_a_template_of_ones_own_replaces_the_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "upstream.conf.j2").write_text("upstream {{ upstream }} { random; server 10.0.0.1; }\n")
    text = render(TABLES["default-route"], settings=EdgeSettings(templates_dir=tmp_path)).files["http.conf"]
    assert "random; server 10.0.0.1;" in text
    assert "least_conn" not in text
    assert "location /web/" in text


DOCUMENTED = (Path(__file__).parents[2] / "docs/edge.md").read_text().partition("## Templates of your own")[2]


@pytest.mark.parametrize(("file", "own"), re.findall(r"^\| `(\S+\.j2)` \|.*\| (.*) \|$", DOCUMENTED, re.MULTILINE))
def test_every_template_has_the_values_that_are_documented(tmp_path: Path, file: str, own: str) -> None:
    common = re.findall(r"`(\w+)`", DOCUMENTED.partition("Every one has")[2].partition("as well")[0])
    assert {"build", "settings", "default_limits"} <= set(common)
    names = [*common, *re.findall(r"`(\w+)`", own)]
    (tmp_path / file).write_text("".join(f"# {name} {{{{ {name} }}}}\n" for name in names))
    files = render(TABLES["default-route"], settings=EdgeSettings(templates_dir=tmp_path)).files
    assert all(f"# {name} " in "".join(files.values()) for name in names)


def test_replicas_in_a_template_of_ones_own_are_never_stale_with_lua_either(tmp_path: Path) -> None:
    (tmp_path / "upstream.conf.j2").write_text("{% for server in app.servers %}# {{ server.address }}\n{% endfor %}")
    renderer = Renderer(EdgeSettings(templates_dir=tmp_path), LUA)
    texts = [renderer.render(table(app_routes("web", servers("web", n))), {}, 1).files["http.conf"] for n in (1, 2)]
    assert ["10.210.0.3" in text for text in texts] == [False, True]


@pytest.mark.parametrize("template", ["http.conf.j2", "location.conf.j2"])
@pytest.mark.parametrize("mistake", ["{{ no_such_value }}", "{% if %}", "{{ app.no_such_field.x }}"])
def test_a_mistake_in_a_template_is_told_with_its_file(tmp_path: Path, template: str, mistake: str) -> None:
    (tmp_path / template).write_text(mistake)
    with pytest.raises(RenderError, match=f"template {template}: "):
        render(TABLES["default-route"], settings=EdgeSettings(templates_dir=tmp_path))


def test_every_option_of_the_edge_reaches_the_configuration() -> None:
    """An option that is added to the model and forgotten here would be accepted and ignored."""
    changed = {
        "sticky": "ip",
        "max_body_size": "7Mi",
        "connect_timeout_seconds": 7.0,
        "read_timeout_seconds": 7.0,
        "send_timeout_seconds": 7.0,
        "rate_limit": {"requests_per_second": 7.0},
        "retries": 7,
        "retry_timeout_seconds": 7.0,
        "response_header_size": "64Ki",
        "response_buffering": False,
        "request_buffering": False,
        "websocket_timeout_seconds": 7.0,
    }
    # By what replicas are known is told beside how they are spoken to.
    assert changed.keys() == EdgeOptions.model_fields.keys() - {"upstream_tls"}
    plain = render(TABLES["default-route"]).manifest.digest
    for name, value in changed.items():
        app = AppRoutes("web", (Route(path="/web"),), tuple(servers("web")), EdgeOptions.model_validate({name: value}))
        assert render(table(app)).manifest.digest != plain, name

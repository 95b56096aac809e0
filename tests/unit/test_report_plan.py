"""A plan for reviewers: a change of routes alone is a change, and is told."""

from __future__ import annotations

import json

import pytest
from ruamel.yaml import YAML

from reconciler.model.plan import Plan
from reconciler.model.routes import AppRoutes, RouteTable, Server
from reconciler.model.spec import EdgeOptions, Route
from reconciler.model.state import State
from reconciler.report.plan import CHANGES, NOTHING, format_plan

SERVERS = (Server("web-1", "10.0.0.2", 8080), Server("web-2", "10.0.0.3", 8080, draining=True))
SERVED = RouteTable((AppRoutes("web", (Route(path="/web"),), SERVERS),))
MOVED = RouteTable((AppRoutes("web", (Route(host="shop.example", path="/"),), SERVERS),))
STICKY = RouteTable((AppRoutes("web", (Route(path="/web"),), SERVERS, EdgeOptions(sticky="ip")),))


def planned(routes: RouteTable) -> Plan:
    return Plan(actions=(), waits=(), routes=routes, probes=(), state=State(), events=())


@pytest.mark.parametrize(
    ("routes", "line"),
    [
        (MOVED, "publish shop.example/ → web-1, web-2 (draining): was */web → web-1, web-2 (draining)"),
        (STICKY, "publish */web → web-1, web-2 (draining): its options change"),
        (RouteTable(), "publish nothing: was */web → web-1, web-2 (draining)"),
    ],
)
def test_a_plan_with_changed_routes_is_a_change(routes: RouteTable, line: str) -> None:
    text, code = format_plan("r1", planned(routes), (), "text", served=SERVED)
    assert text == f"revision r1\n\nweb\n  {line}\n\n1 to publish"
    assert code == CHANGES


def test_a_plan_with_the_same_routes_has_nothing_to_do() -> None:
    assert format_plan("r1", planned(SERVED), (), "text", served=SERVED) == ("revision r1\n\nnothing to do", NOTHING)


def test_a_plan_as_json_tells_the_changed_routes_by_app() -> None:
    text, _ = format_plan("r1", planned(MOVED), (), "json", served=SERVED)
    assert json.loads(text)["rerouted"].keys() == {"web"}


def test_a_plan_is_the_same_as_json_and_as_yaml() -> None:
    as_json, as_yaml = (format_plan("r1", planned(MOVED), (), output, served=SERVED)[0] for output in ("json", "yaml"))
    assert YAML(typ="safe", pure=True).load(as_yaml) == json.loads(as_json)

"""What is told of the edge itself: once where a version does it otherwise, and for as long as something is so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.decide.plan import conclude, decide
from reconciler.edge.manifest import EDITION, NOTHING, Manifest
from reconciler.edge.news import news, notices
from reconciler.edge.settings import Build, EdgeSettings
from reconciler.model.plan import DecisionSettings
from reconciler.model.routes import Publication
from tests.support.apps import desired, version
from tests.support.nginx import app_routes, table
from tests.support.stage import Stage

BOTH = Build(ipv6=True)
EARLIER = Manifest("a", "b", table(app_routes("web"), app_routes("api")))
PLAIN = EdgeSettings()
TRUSTING = EdgeSettings(trusted_proxies=("10.0.0.0/8",))


def told(served: Manifest, settings: EdgeSettings = PLAIN, build: Build = BOTH) -> str:
    return "\n".join(news(served, settings, build))


def test_headers_of_clients_that_are_removed_from_now_on_are_told_with_the_apps_and_the_setting() -> None:
    text = told(EARLIER)
    assert "from this version of the controller on, api, web get no Forwarded and X-Forwarded-… headers" in text
    assert 'trusted_proxies = ["0.0.0.0/0", "::/0"] passes on what anybody writes, as before' in text


@pytest.mark.parametrize("served", [NOTHING, replace(EARLIER, edition=EDITION), replace(EARLIER, table=table())])
def test_of_headers_nothing_is_told_where_no_app_was_served_otherwise(served: Manifest) -> None:
    assert "X-Forwarded" not in told(served)
    assert "X-Forwarded" not in told(EARLIER, TRUSTING)


def test_that_nginx_listens_on_ipv6_as_well_is_told_unless_addresses_are_named_or_it_was_so_before() -> None:
    assert told(NOTHING) == 'nginx listens on IPv6 as well as on IPv4; edge_address = "0.0.0.0" keeps it to IPv4'
    assert "IPv4 from this version of the controller on; edge_address" in told(EARLIER, TRUSTING)
    assert told(EARLIER, replace(TRUSTING, bind="127.0.0.1")) == ""
    assert told(EARLIER, TRUSTING, Build(ipv6=False)) == ""
    assert told(EARLIER, TRUSTING, Build(ipv6=True, binds=False)) == "", "Docker published a container's ports on both"


def test_ipv4_alone_is_noticed_for_as_long_as_nobody_has_asked_for_it() -> None:
    (notice,) = notices(EdgeSettings(), Build(ipv6_trouble="no such family"))
    assert notice == 'nginx listens on IPv4 alone: no such family; with edge_address = "0.0.0.0" that is meant'
    assert list(notices(EdgeSettings(bind="0.0.0.0"), Build(ipv6_trouble="no such family"))) == []
    assert list(notices(EdgeSettings(), BOTH)) == []


def test_templates_of_an_earlier_version_are_told_of_with_what_is_so_by_them(tmp_path: Path) -> None:
    settings = EdgeSettings(bind="0.0.0.0", templates_dir=tmp_path)
    (tmp_path / "server.conf.j2").write_text("proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;")
    (tmp_path / "location.conf.j2").write_text("{{ module }}_pass {{ scheme }}://{{ upstream }};")
    assert list(notices(settings, BOTH)) == [
        f"server.conf.j2 in {tmp_path} is of an earlier version: apps get Forwarded and X-Forwarded-… headers as "
        "clients write them; renew it by ours"
    ]
    assert told(EARLIER, settings) == ""


def test_news_of_the_edge_become_events_and_what_it_notices_is_shown() -> None:
    stage = Stage(desired(version("web")))
    stage.settle()
    decision = decide(stage.observe(), stage.state, DecisionSettings())
    served = stage.state.published
    publication = Publication(served.table, served.generation, "unchanged", news=("other now",), notices=("so it is",))
    conclusion = conclude(decision, publication, stage.now)
    assert [(event.type, event.app_name, event.message) for event in conclusion.events] == [
        ("routes", None, "other now")
    ]
    assert conclusion.notices == ("so it is",)
    assert conclude(decision, None, stage.now).notices == ()

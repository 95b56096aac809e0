"""What `ports.Edge.publish` promises: what it returns is what is served, at no more cost than the change needs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NoReturn

import pytest

from reconciler.edge.container import ContainerNginx
from reconciler.edge.control import Control, NotServed
from reconciler.edge.external import ExternalNginx
from reconciler.edge.process import ProcessNginx
from reconciler.model.routes import RouteTable
from reconciler.model.spec import Route
from reconciler.ports import AlreadyRunning, LeadershipUnknown, Unavailable
from tests.support.nginx import Front, app_routes, ask, table
from tests.support.replicas import Replica
from tests.support.waiting import eventually

pytestmark = pytest.mark.nginx


def test_a_published_app_is_served_at_once(way: Front, two: list[Replica]) -> None:
    wanted = table(app_routes("web", way.at(*two)))
    publication = way.edge.publish(wanted)
    assert publication.table == wanted
    assert publication.refusals == ()
    assert way.get("/web/index.html").status == 200


def test_requests_are_spread_over_the_replicas(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(*two)))
    seen = Counter(way.get("/web").replica for _ in range(40))
    assert set(seen) == {"web-1", "web-2"}
    assert min(seen.values()) >= 10


def test_an_unchanged_route_table_changes_nothing(way: Front, two: list[Replica]) -> None:
    first = way.publish(app_routes("web", way.at(*two)))
    again = way.publish(app_routes("web", way.at(*two)))
    assert (again.generation, again.how) == (first.generation, "unchanged")


def test_an_unchanged_route_table_changes_nothing_after_a_restart_either(way: Front, two: list[Replica]) -> None:
    first = way.publish(app_routes("web", way.at(*two)))
    again = way.reopen().publish(table(app_routes("web", way.at(*two))))
    assert (again.table, again.generation, again.how) == (first.table, first.generation, "unchanged")


def test_other_replicas_take_over_without_a_reload_where_nginx_has_lua(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    publication = way.publish(app_routes("web", way.at(two[1])))
    assert publication.how == ("pushed" if way.has_lua else "reloaded")
    assert {way.get("/web").replica for _ in range(10)} == {"web-2"}


def test_a_new_route_takes_a_reload(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(*two)))
    publication = way.publish(app_routes("web", way.at(*two)), app_routes("api", way.at(*two)))
    assert publication.how == "reloaded"
    assert way.get("/api").status == 200


def test_a_restarted_controller_publishes_on_where_it_was(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    publication = way.reopen().publish(table(app_routes("web", way.at(two[1]))))
    assert publication.how == ("pushed" if way.has_lua else "reloaded")
    assert way.get("/web").replica == "web-2"


def test_a_draining_replica_takes_no_new_requests(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", [*way.at(two[0]), *way.at(two[1], draining=True)]))
    assert {way.get("/web").replica for _ in range(20)} == {"web-1"}


def test_requests_in_flight_finish_while_their_replica_leaves(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    with way.in_flight(1, two) as (connection,):
        way.publish(app_routes("web", way.at(two[1])))
        way.publish()
        two[0].release()
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"web-1")


def test_an_app_without_a_live_replica_answers_503_and_no_other_app_does(way: Front, two: list[Replica]) -> None:
    everything = app_routes("shop", way.at(two[0]), Route(path="/"))
    way.publish(everything, app_routes("web", way.at(two[1], draining=True)), app_routes("api"))
    for path in ("/web", "/web/x", "/api"):
        answer = way.get(path)
        assert (answer.status, answer.replica) == (503, None)
        assert answer.headers["Retry-After"]
    assert way.get("/other").replica == "web-1"


def test_an_outage_ends_with_the_first_live_replica(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web"))
    publication = way.publish(app_routes("web", way.at(two[0])))
    assert publication.how == ("pushed" if way.has_lua else "reloaded")
    assert way.get("/web").status == 200


def test_weights_share_the_traffic_out(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", [*way.at(two[0], weight=9), *way.at(two[1], weight=1)]))
    with way.connect() as connection:
        seen = Counter(ask(connection, "/web").replica for _ in range(100))
    assert 5 <= seen["web-2"] <= 15


def test_no_apps_at_all_is_a_route_table_too(way: Front) -> None:
    assert way.publish().table == RouteTable()
    assert way.get("/").status == 404


def test_an_edge_tells_which_way_nginx_runs_and_how_replicas_change(way: Front) -> None:
    way.publish()
    text = way.edge.describe()
    assert way.mode in text
    assert ("without a reload" in text) == way.has_lua


def test_requests_in_flight_are_told_by_replica_where_nginx_can(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    with way.in_flight(3, two) as connections:
        assert way.edge.open_requests().get(two[0].address) == (3 if way.has_lua else None)
        two[0].release()
        for connection in connections:
            connection.getresponse().read()
        eventually(lambda: not any(way.edge.open_requests().values()))


def test_the_edge_costs_nothing_when_nothing_changes(
    way: Front, two: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx is neither asked to test nor to load anything, and nothing is written."""
    wanted = table(app_routes("web", way.at(*two)))
    way.edge.publish(wanted)
    before = _files(way)
    for nginx in (ProcessNginx, ContainerNginx, ExternalNginx):
        monkeypatch.setattr(nginx, "test", _never)
        monkeypatch.setattr(nginx, "load", _never)
    assert {way.edge.publish(wanted).how for _ in range(20)} == {"unchanged"}
    assert _files(way) == before


def _never(*_: object) -> NoReturn:
    raise AssertionError("nginx was run")


def _files(way: Front) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (way.root / "generations").rglob("*")}


# Who may


def taken_over() -> None:
    raise AlreadyRunning("another controller has taken over")


def unanswered() -> None:
    raise LeadershipUnknown("the database does not answer")


def test_an_edge_whose_controller_was_followed_by_another_changes_nothing(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    stale = way.reopen(taken_over)
    current = (way.root / "current").readlink()
    servers = app_routes("web", way.at(two[1]))
    for wanted in (table(servers), table(servers, app_routes("api", way.at(*two)))):
        with pytest.raises(AlreadyRunning, match="has taken over"):
            stale.publish(wanted)
    with pytest.raises(AlreadyRunning):
        stale.shut_down()
    assert {way.get("/web").replica for _ in range(10)} == {"web-1"}
    assert way.get("/api").status == 404
    assert (way.root / "current").readlink() == current


def test_an_edge_of_which_it_can_not_be_told_who_leads_keeps_what_is_served(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    with pytest.raises(Unavailable, match="the database does not answer"):
        way.reopen(unanswered).publish(table(app_routes("web", way.at(two[1]))))
    assert {way.get("/web").replica for _ in range(10)} == {"web-1"}
    same = way.reopen(unanswered).publish(table(app_routes("web", way.at(two[0]))))
    assert same.how == "unchanged"


def test_replicas_are_not_pushed_by_whoever_was_followed_in_the_middle_of_it(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    answers = iter((lambda: None, taken_over))
    if not way.has_lua:
        return  # there is nothing in the middle
    with pytest.raises(AlreadyRunning):
        way.reopen(lambda: next(answers)()).publish(table(app_routes("web", way.at(two[1]))))
    assert {way.get("/web").replica for _ in range(10)} == {"web-1"}


def test_what_a_successor_may_have_loaded_is_not_taken_back(
    way: Front, two: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was stopped while it waited for the proof of a configuration finds that it did not come in time."""

    def too_late(*_: object) -> NoReturn:
        raise NotServed("too late")

    way.publish(app_routes("web", way.at(two[0])))
    answers = iter((lambda: None, taken_over))
    edge = way.reopen(lambda: next(answers)())
    with monkeypatch.context() as patch:
        patch.setattr(Control, "prove", too_late)
        with pytest.raises(AlreadyRunning):
            edge.publish(table(app_routes("web", way.at(two[1])), app_routes("api", way.at(*two))))
    eventually(lambda: way.get("/api").status == 200)

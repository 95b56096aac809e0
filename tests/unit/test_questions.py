"""What a tick has to look at before it can decide: neither less than a decision needs, nor more."""

from __future__ import annotations

from typing import Any

from reconciler.decide.questions import Questions, questions
from reconciler.model.observed import Listener
from reconciler.model.replica_state import Traffic
from reconciler.model.state import State
from reconciler.model.version import Version
from tests.support.apps import desired, version
from tests.support.records import NOW, app_state, replica_state

ROUTED, DRAINING = Traffic(entered=True), Traffic(entered=True, left_at=NOW)


def asked(state: State, *versions: Version) -> Questions:
    return questions(desired(*versions), state, NOW)


def with_replica(**changes: Any) -> State:
    return State(replicas={"web-1": replica_state("web-1", **changes)})


def test_requests_in_flight_are_asked_of_addresses_that_a_served_table_lacks() -> None:
    assert asked(with_replica(traffic=DRAINING)).drained == {"10.0.0.2"}
    assert asked(with_replica(traffic=DRAINING, address="")).drained == frozenset()
    assert asked(with_replica(traffic=ROUTED)).drained == frozenset()
    assert asked(with_replica()).drained == frozenset()


def test_connections_are_asked_of_replicas_on_their_way_out_and_to_the_ports_of_any_of_their_versions() -> None:
    old = version("web", ports=[{"containerPort": 80, "protocol": "HTTP"}, {"containerPort": 90}])
    new = version("web", image="demo:2", revision="r2")
    apps = {"web": app_state("web", version=new, stable=old)}
    for traffic in (DRAINING, Traffic(closing_since=NOW)):
        leaving = replica_state("web-1", traffic=traffic)
        (listener,) = asked(State(apps, {"web-1": leaving})).called
        assert listener == Listener(leaving.container_id, "10.0.0.2", frozenset({80, 90, 8080}))
    for traffic in (Traffic(), ROUTED):
        assert asked(State(apps, {"web-1": replica_state("web-1", traffic=traffic)})).called == ()
    orphan = State({}, {"web-1": replica_state("web-1", traffic=DRAINING)})
    assert asked(orphan).called == ()


def test_who_stays_though_its_app_lost_its_route_is_asked_about_only_once_it_is_to_go() -> None:
    apps = {"web": app_state("web", version=version("web", type="tcp"))}
    assert asked(State(apps, {"web-1": replica_state("web-1", traffic=DRAINING)})).called == ()
    going = replica_state("web-1", traffic=Traffic(entered=True, left_at=NOW, closing_since=NOW))
    assert len(asked(State(apps, {"web-1": going})).called) == 1


def test_load_is_the_mean_of_ready_replicas_that_were_not_taken_out_of_traffic() -> None:
    assert asked(with_replica(ready_at=NOW, traffic=ROUTED)).measured == {"web-1"}
    assert asked(with_replica(ready_at=NOW)).measured == {"web-1"}
    assert asked(with_replica(ready_at=NOW, traffic=DRAINING)).measured == frozenset()
    assert asked(with_replica(traffic=ROUTED)).measured == frozenset()


def test_an_app_that_the_source_lacks_is_looked_at_by_its_last_good_spec() -> None:
    old, new = version("web", replicas=1), version("web", replicas=5)
    state = State({"web": app_state("web", version=old), "gone": app_state("gone")})
    counts = {app.name: app.scaling.manual_replicas for app in asked(state, new).apps}
    assert counts == {"web": 5, "gone": 2}


def test_secrets_are_looked_at_for_apps_whose_newest_version_uses_any() -> None:
    secret = [{"name": "A", "source": "secret", "key": "a"}]
    old, new = version("web", environment=secret), version("jobs", environment=secret)
    state = State({"web": app_state("web", version=old), "gone": app_state("gone", version=old)})
    apps = asked(state, version("web"), new).secret_users
    assert apps == (old.app, new.app)

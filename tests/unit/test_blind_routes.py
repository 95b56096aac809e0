"""Who gets requests while the Engine can't be seen: by the answers of probes alone, and within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.blind import conclude_blindly, decide_blindly, withheld
from reconciler.decide.phases import Phase, Replica
from reconciler.decide.state.blind import seen_again
from reconciler.decide.state.health import checks_of
from reconciler.model.desired import Desired
from reconciler.model.health import Health, Verdict
from reconciler.model.observed import Blind, ProbeSample
from reconciler.model.replica_state import Traffic
from reconciler.model.routes import AppRoutes, Publication, RouteTable, Server
from reconciler.model.spec import Route
from reconciler.model.state import Published, State
from reconciler.store import codec
from tests.support.apps import version
from tests.support.consistency import inconsistencies
from tests.support.records import NOW, app_state, replica_state

CHECK = {"path": "/healthz", "failureThreshold": 3, "successThreshold": 2}


def routed(count: int, *draining: str, **spec: object) -> State:
    """A state in which so many replicas serve, and those draining no longer do."""
    target = version("web", **{"health_check": CHECK, **spec})
    names = [f"web-{number}" for number in range(1, count + 1)]
    replicas = {
        name: replica_state(
            name,
            spec_hash=target.spec_hash,
            ready_at=NOW,
            traffic=Traffic(entered=True, left_at=NOW if name in draining else None),
        )
        for name in names
    }
    servers = tuple(Server(name, replicas[name].address, 8080, draining=name in draining) for name in names)
    table = RouteTable((AppRoutes("web", (Route(path="/web"),), servers),))
    app = app_state("web", version=target, stable=target)
    return State(apps={"web": app}, replicas=replicas, published=Published(table, "g1", NOW))


def blind(at: float, answers: Mapping[str, bool]) -> Blind:
    samples = tuple(
        ProbeSample(f"c0ffee{name}", "health", at, ok, "" if ok else "answered 503") for name, ok in answers.items()
    )
    return Blind(at, Desired("r1", {}), (), samples)


def looked(state: State, at: float, **answers: bool) -> State:
    """The state after one blind tick, in which the edge serves what it is given."""
    named = {name.replace("_", "-"): ok for name, ok in answers.items()}
    decision = decide_blindly(blind(at, named), state)
    after, _ = conclude_blindly(decision, Publication(decision.table, "g2", "pushed"), at)
    assert inconsistencies(after) == ()
    return after if after.outages else replace(after, outages={"engine": NOW})


def live(state: State) -> set[str]:
    return set(state.published.table.routed_names())


def after_bad_answers(state: State, times: int, *names: str) -> State:
    for number in range(times):
        state = looked(state, NOW + number, **{name.replace("-", "_"): False for name in names})
    return state


def test_a_replica_that_fails_as_often_as_condemns_it_gets_no_requests_while_the_engine_is_away() -> None:
    state = after_bad_answers(routed(3), 2, "web-2")
    assert live(state) == {"web-1", "web-2", "web-3"}
    state = looked(state, NOW + 3, web_2=False)
    assert live(state) == {"web-1", "web-3"}
    assert withheld(state) == {"web-2"}


def test_no_drain_begins_and_no_health_changes_while_the_engine_is_away() -> None:
    before = routed(3)
    replica = after_bad_answers(before, 3, "web-2").replicas["web-2"]
    assert replica.traffic == Traffic(entered=True)
    assert replica.health == before.replicas["web-2"].health


def test_a_replica_that_answers_well_again_comes_back_though_the_engine_is_away() -> None:
    state = after_bad_answers(routed(3), 3, "web-2")
    state = looked(state, NOW + 4, web_2=True)
    assert live(state) == {"web-1", "web-3"}, "as often as its successThreshold says"
    state = looked(state, NOW + 5, web_2=True)
    assert live(state) == {"web-1", "web-2", "web-3"}
    assert state.replicas["web-2"].blind is None


@pytest.mark.parametrize(("count", "bad"), [(1, ["web-1"]), (2, ["web-1", "web-2"]), (3, ["web-1", "web-3"])])
def test_where_most_fail_together_nobody_leaves_the_table(count: int, bad: list[str]) -> None:
    state = after_bad_answers(routed(count), 5, *bad)
    assert len(live(state)) == count
    assert not withheld(state)


def test_whoever_was_out_of_the_table_before_is_not_let_in_by_good_answers() -> None:
    state = looked(routed(3, "web-3"), NOW, web_3=True)
    assert live(state) == {"web-1", "web-2"}


def test_whom_an_earlier_blindness_took_out_is_not_let_in_by_this_one() -> None:
    state = replace(after_bad_answers(routed(3), 3, "web-2"), outages={"engine": NOW + 60})
    for number in range(3):
        state = looked(state, NOW + 60 + number, web_2=True)
    assert live(state) == {"web-1", "web-3"}


def test_an_app_that_is_suspended_is_left_as_it_is_while_the_engine_is_away() -> None:
    assert live(after_bad_answers(routed(3, suspend=True), 5, "web-2")) == {"web-1", "web-2", "web-3"}


def test_what_blindness_took_out_outlives_a_restart() -> None:
    state = after_bad_answers(routed(3), 3, "web-2")
    replica = codec.REPLICA_STATE.decode(codec.REPLICA_STATE.encode(state.replicas["web-2"]))
    assert replica.withheld
    state = replace(state, replicas={**state.replicas, "web-2": replica})
    for number in range(2):
        state = looked(state, NOW + 10 + number, web_2=True)
    assert live(state) == {"web-1", "web-2", "web-3"}


def test_an_edge_that_can_not_be_told_is_told_at_the_next_look() -> None:
    state = after_bad_answers(routed(3), 2, "web-2")
    decision = decide_blindly(blind(NOW + 3, {"web-2": False}), state)
    assert [event.message for event in decision.events] == [
        "web-2 gets no requests, by its answers alone, until it answers well: answered 503"
    ]
    again = decide_blindly(blind(NOW + 4, {}), decision.state)
    assert again.table == decision.table != state.published.table
    assert not again.events, "told already"


def test_good_answers_leave_nothing_to_write() -> None:
    state = routed(3)
    decision = decide_blindly(blind(NOW, {"web-1": True, "web-2": True}), state)
    assert decision.state is state
    assert decision.table == state.published.table


def test_nobody_else_may_go_for_a_replica_that_gets_no_requests_for_its_answers() -> None:
    state = after_bad_answers(routed(3), 3, "web-2")
    available = {
        name: Replica(replica, Phase.READY).available(0, NOW + 100) for name, replica in state.replicas.items()
    }
    assert available == {"web-1": True, "web-2": False, "web-3": True}


def test_once_the_engine_is_seen_a_good_answer_lets_in_and_a_verdict_takes_over() -> None:
    replica = after_bad_answers(routed(3), 3, "web-2").replicas["web-2"]
    checks = checks_of(version("web", health_check=CHECK).app)
    good = [ProbeSample(replica.container_id, "health", NOW + n, True, "") for n in (10, 11)]
    assert seen_again(replica, [], checks).withheld
    assert seen_again(replica, good[:1], checks).withheld
    assert not seen_again(replica, good, checks).withheld
    condemned = replica.checked("health", Health(Verdict.UNHEALTHY, NOW))
    assert not seen_again(condemned, [], checks).withheld


ANSWERS = st.lists(st.dictionaries(st.sampled_from(["web-1", "web-2", "web-3", "web-4", "web-5"]), st.booleans()))


@given(st.integers(1, 5), ANSWERS)
def test_blindness_keeps_most_servers_and_lets_in_nobody_new(count: int, answers: list[dict[str, bool]]) -> None:
    state = routed(count, "web-5")
    before = live(state)
    for number, each in enumerate(answers):
        state = looked(state, NOW + number, **{name.replace("-", "_"): ok for name, ok in each.items()})
        assert live(state) <= before
        assert 2 * len(live(state)) >= len(before)
        assert before - live(state) == withheld(state)
        assert all(state.replicas[name].traffic == Traffic(entered=True) for name in before)
        assert state.published.table.apps[0].routes == (Route(path="/web"),)
        assert [server.name for server in state.published.table.apps[0].servers] == [
            f"web-{number}" for number in range(1, count + 1)
        ]

"""What is worth a write, and what samples become when they are rolled up: pure."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.load import LoadSample, RecentTraffic
from reconciler.model.state import State
from reconciler.ports import Record
from reconciler.store import codec
from reconciler.store.changes import Present, applied, changes
from reconciler.store.retention import merged
from tests.support.records import NOW, app_status, record
from tests.support.states import states


@given(states)
@settings(max_examples=12)
def test_every_value_reads_back_as_it_was_written(remembered: State) -> None:
    for app in remembered.apps.values():
        assert codec.APP_STATE.decode(codec.APP_STATE.encode(app)) == app
    for replica in remembered.replicas.values():
        assert codec.REPLICA_STATE.decode(codec.REPLICA_STATE.encode(replica)) == replica


@given(states, states)
@settings(max_examples=12)
def test_applying_the_changes_gives_what_was_wanted(before: State, after: State) -> None:
    held = Present.of(Record(NOW, before, {}), Present())
    wanted = Present.of(Record(NOW, after, {}), held)
    done = applied(held, wanted, changes(held, wanted, everything=True))
    assert done == wanted
    assert not changes(done, wanted, everything=True)


def test_equal_values_are_no_change_whoever_made_them() -> None:
    held = Present.of(record(apps=3), Present())
    assert not changes(held, Present.of(deepcopy(record(apps=3)), held), everything=True)


def test_a_status_that_lost_an_instance_changes_that_row_only() -> None:
    held = Present.of(record(), Present())
    fewer = replace(app_status(), replicas=app_status().replicas[:1])
    kept = record()
    state = replace(kept.state, replicas={"web-1": kept.state.replicas["web-1"]})
    found = changes(held, Present.of(replace(kept, state=state, statuses={"web": fewer}), held), everything=False)
    assert (found.apps.changed, found.replicas.changed, found.replicas.gone) == ({}, {}, frozenset({"web-2"}))


def test_passing_traffic_of_an_app_and_what_warns_of_it_is_no_reason_to_write_before_a_checkpoint() -> None:
    held = Present.of(record(), Present())
    busier = replace(app_status(), traffic=RecentTraffic(300, 10, 9), warnings=("90 % failed",))
    wanted = Present.of(record(statuses={"web": busier}), held)
    assert not changes(held, wanted, everything=False)
    assert changes(held, wanted, everything=True).apps.changed.keys() == {"web"}


# -- samples ----------------------------------------------------------------------------------------------------------

_measured = [
    one.name
    for one in fields(LoadSample)
    if one.name not in ("app_name", "at", "resolution_seconds", "replicas", "custom")
]


def test_a_minute_is_the_mean_the_sum_or_the_worst_of_its_parts() -> None:
    first = LoadSample(
        "web", 60.1, 10, 2, 10.0, 20.0, 5.0, 1.0, 9.0, 12.0, 4.0, 0.0, 0, 100, None, 1, 0, 2000, {"q": 1.0}, 1, None
    )
    second = LoadSample(
        "web", 120, 10, 3, 30.0, None, 15.0, 2.0, 8.0, 30.0, 6.0, 0.5, 0, 50, None, 2, 50, 1000, {"q": 3.0}, 2, 3
    )
    assert merged([second, first], 60) == [
        LoadSample(
            "web", 120, 60, 3, 20.0, 20.0, 10.0, 2.0, 9.0, 30.0, 5.0, 0.25, 0, 150, None, 3, 50, 3000, {"q": 2.0}, 3, 3
        )
    ]


def test_intervals_end_where_they_end_and_apps_stay_apart() -> None:
    samples = [LoadSample(name, at, 10, 1, rps=at) for name in ("web", "api") for at in (60.0, 61.0, 120.0, 121.0)]
    assert [(one.app_name, one.at, one.rps) for one in merged(samples, 60)] == [
        ("api", 60, 60.0),
        ("api", 120, 90.5),
        ("api", 180, 121.0),
        ("web", 60, 60.0),
        ("web", 120, 90.5),
        ("web", 180, 121.0),
    ]


@given(st.lists(st.floats(0.1, 600), max_size=20))
def test_what_is_unknown_in_all_parts_stays_unknown(times: list[float]) -> None:
    for one in merged([LoadSample("web", at, 10, 1, custom={"q": None}) for at in times], 60):
        assert all(getattr(one, name) is None for name in _measured)
        assert one.custom == {"q": None}

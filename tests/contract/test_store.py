"""What every store has to do, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from itertools import count

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings

from reconciler import alive
from reconciler.model.actions import ActionFailure, FailureKind, Outcome, StartReplica
from reconciler.model.desired import Problem
from reconciler.model.events import Event
from reconciler.model.health import Health, Tally
from reconciler.model.load import LoadSample
from reconciler.model.recorded import SignOfLife
from reconciler.model.scaling import ScalingState
from reconciler.model.state import State
from reconciler.model.status import Vitals
from reconciler.ports import (
    AlreadyRunning,
    LeadershipUnknown,
    NothingRecorded,
    Record,
    StatusReader,
    Store,
    Unavailable,
)
from reconciler.store import Retention, sqlstore
from reconciler.store.tables import HEAD, metadata
from tests.support.records import NOW, app_state, app_status, decision, published, record, replica_state, state
from tests.support.states import states
from tests.support.stores import Place, counted_statements

_instances = (f"example-{number}" for number in count())


def start(name: str = "web-1", cause: str = "it has stopped") -> StartReplica:
    return StartReplica(name.rpartition("-")[0], name, "c0ffee", cause)


# -- state ------------------------------------------------------------------------------------------------------------


def test_a_new_store_remembers_nothing(place: Place) -> None:
    assert place.store().load() == State()


def test_the_sql_store_is_a_store_and_its_reader_a_reader(place: Place) -> None:
    store: Store = place.store()
    reader: StatusReader = place.reader()
    assert store.load() == reader.state()


@given(remembered=states)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_record_that_was_saved_is_loaded_exactly(place: Place, remembered: State) -> None:
    instance = next(_instances)
    store = place.store(instance)
    store.save(Record(NOW, remembered, {}))
    store.close()
    place.stack.pop_all()
    store = place.store(instance)
    assert store.load() == remembered
    store.close()
    place.stack.pop_all()


def test_what_is_gone_from_the_state_is_gone_from_the_database(place: Place) -> None:
    store = place.store()
    store.save(record(apps=3))
    store.save(record(apps=1, replicas=1))
    assert store.load() == state(apps=1, replicas=1)
    assert set(place.reader().recorded().apps) == {"web"}
    assert place.query("SELECT name FROM replicas") == [("web-1",)]


def test_what_went_while_nobody_looked_is_gone_from_the_database_after_a_restart(place: Place) -> None:
    store = place.store()
    store.save(record(apps=3))
    store.close()
    store = place.store()
    store.save(record(apps=1))
    assert place.query("SELECT name FROM applications") == [("web",)]


def test_instances_share_a_database_without_meeting(place: Place) -> None:
    one, other = place.store("one"), place.store("other")
    one.save(record(apps=2, events=(Event(NOW, "app", "of one"),)))
    other.save(record(apps=1, replicas=1))
    assert one.load() == state(apps=2)
    assert other.load() == state(apps=1, replicas=1)
    assert place.reader("other").events() == ()


def test_a_state_of_another_version_is_left_out_and_said(place: Place) -> None:
    store = place.store()
    store.save(record(apps=2))
    place.query("""UPDATE applications SET state = '{"name": "web"}' WHERE name = 'web'""")
    store.close()
    store = place.store()
    assert set(store.load().apps) == {"app-2"}
    assert "the state of web was recorded by another version" in store.notices[0]
    store.save(record(apps=2))
    assert place.reader().recorded().controller.notices == store.notices
    assert place.reader().events(type="controller")[0].message == store.notices[0]
    assert store.load() == state(apps=2)


# -- what is worth a write --------------------------------------------------------------------------------------------


def settled(place: Place) -> tuple[Store, Record]:
    """A store that has just saved a record, and the record."""
    store, saved = place.store(), record(apps=3)
    store.save(saved)
    return store, saved


def test_saving_the_same_record_again_does_nothing_at_all(place: Place) -> None:
    store, saved = settled(place)
    with counted_statements() as seen:
        store.save(saved)
        store.save(replace(deepcopy(saved), at=NOW + 1))
    assert seen == []


def test_a_restart_alone_rewrites_no_app(place: Place) -> None:
    store, saved = settled(place)
    store.close()
    store = place.store()
    store.load()
    with counted_statements() as seen:
        store.save(replace(saved, at=NOW + 1))
    assert [text for text in seen if text.startswith("INSERT")] == [text for text in seen if "controllers" in text]
    assert place.reader().recorded().controller.started_at == NOW + 1


def restless(saved: Record) -> Record:
    """The same record with everything moved that moves all the time."""
    tally = Tally(checks=99, consecutive_successes=98, last_check_at=NOW + 9)
    kept = saved.state.replicas["web-1"]
    replicas = {**saved.state.replicas, "web-1": replace(kept, health=replace(kept.health, tally=tally))}
    status = saved.statuses["web"]
    first = replace(status.replicas[0], vitals=Vitals(77.0, 55.0, NOW + 9))
    statuses = {**saved.statuses, "web": replace(status, replicas=(first, *status.replicas[1:]))}
    return replace(saved, at=NOW + 9, state=replace(saved.state, replicas=replicas), statuses=statuses)


def test_tallies_and_vitals_wait_for_a_checkpoint(place: Place) -> None:
    store, saved = settled(place)
    moved = restless(saved)
    with counted_statements() as seen:
        store.save(moved)
    assert seen == []
    assert place.reader().state() == saved.state
    store.save(moved, checkpoint=True)
    recorded = place.reader().recorded()
    assert place.reader().state() == moved.state
    assert recorded.controller.seen_at == NOW + 9
    assert recorded.apps["web"].status == moved.statuses["web"]


def test_what_waited_for_a_checkpoint_is_not_lost_behind_other_writes(place: Place) -> None:
    store, saved = settled(place)
    moved = restless(saved)
    store.save(replace(moved, events=(Event(NOW, "app", "something else"),)))
    store.save(moved, checkpoint=True)
    assert place.reader().state() == moved.state


def test_a_failure_counted_is_written_at_once(place: Place) -> None:
    store, saved = settled(place)
    failing = replace(saved.state.replicas["web-1"], health=Health(consecutive_failures=1, detail="answered 503"))
    changed = replace(saved.state, replicas={**saved.state.replicas, "web-1": failing})
    store.save(replace(saved, state=changed))
    assert place.reader().state() == changed


def test_a_record_writes_the_rows_that_changed_and_no_others(place: Place) -> None:
    store, saved = settled(place)
    changed = replace(saved.state, apps={**saved.state.apps, "web": app_state(scaling=ScalingState(5, NOW))})
    place.query("UPDATE applications SET status = 'as it was'")
    store.save(replace(saved, state=changed))
    left_alone = place.query("SELECT name FROM applications WHERE status = 'as it was' ORDER BY name")
    assert left_alone == [("app-2",), ("app-3",)]


def test_the_same_decision_made_again_waits_for_a_checkpoint(place: Place) -> None:
    def deciding(at: float, target: int) -> Record:
        return record(state=state(apps=1).__class__(apps={"web": app_state(decision=decision(at, 2, target))}), at=at)

    store = place.store()
    store.save(deciding(NOW, 2))
    with counted_statements() as seen:
        store.save(deciding(NOW + 1, 2))
    assert seen == []
    store.save(deciding(NOW + 2, 3))
    store.save(deciding(NOW + 3, 3), checkpoint=True)
    found = place.reader().decisions("web")
    assert [(one.at, one.target) for one in found] == [(NOW + 2, 3), (NOW, 2)]
    assert place.reader().state().apps["web"].decision == decision(NOW + 3, 2, 3)
    assert place.reader().decisions("other") == ()


def test_what_a_record_says_nothing_of_stays(place: Place) -> None:
    problem = Problem("web.yaml", 3, "spec.image", "nothing", "an image")
    store = place.store()
    saved = record(notices=("mind the gap",), state=state(problems=(problem,)))
    store.save(saved)
    store.save(Record(NOW + 1, replace(saved.state, revision="next"), {}))
    recorded = place.reader().recorded()
    assert recorded.controller.revision == "next"
    assert recorded.controller.notices == ("mind the gap",)
    assert recorded.controller.problems == (problem,)
    assert recorded.controller.source == saved.source
    assert recorded.controller.edge == saved.edge
    assert recorded.apps["web"].status == saved.statuses["web"]


# -- status -----------------------------------------------------------------------------------------------------------


def test_what_is_read_of_the_present_is_what_was_recorded(place: Place) -> None:
    saved = record(apps=2)
    place.store().save(saved)
    recorded = place.reader().recorded()
    assert {name: app.status for name, app in recorded.apps.items()} == saved.statuses
    assert {name: app.state for name, app in recorded.apps.items()} == saved.state.apps
    assert recorded.apps["app-2"].replicas == {f"app-2-{n}": replica_state(f"app-2-{n}") for n in (1, 2)}
    assert recorded.published == published("web-1", "web-2")
    assert (recorded.controller.instance, recorded.controller.started_at) == ("default", NOW)


def test_an_app_that_never_had_a_good_spec_has_a_status(place: Place) -> None:
    broken = app_status("broken", 0, error="broken.yaml:1: found nothing; expected an image")
    place.store().save(record(statuses={"web": app_status(), "broken": broken}))
    found = place.reader().recorded().apps["broken"]
    assert (found.status, found.state) == (broken, None)


def test_a_store_in_which_nothing_is_recorded_says_so(place: Place) -> None:
    with pytest.raises(NothingRecorded, match="orchestry run"):
        place.reader().recorded()
    place.store().load()
    with pytest.raises(NothingRecorded, match="nothing of instance 'default' yet"):
        place.reader().recorded()


# -- events, actions, revisions, samples ------------------------------------------------------------------------------


def test_events_are_filtered_and_come_newest_first(place: Place) -> None:
    events = (
        Event(NOW, "app", "registered", "web"),
        Event(NOW + 1, "health", "web-1 is healthy", "web", {"replica": "web-1"}),
        Event(NOW + 2, "health", "api-1 is healthy", "api"),
        Event(NOW + 2, "source", "revision applied"),
    )
    place.store().save(record(events=events))
    reader = place.reader()
    assert reader.events() == tuple(reversed(events))
    assert reader.events(app_name="web") == (events[1], events[0])
    assert reader.events(type="health") == (events[2], events[1])
    assert reader.events(since=NOW + 2) == (events[3], events[2])
    assert reader.events(app_name="web", type="health", since=NOW, limit=1) == (events[1],)
    assert reader.events(limit=2) == (events[3], events[2])
    assert reader.events(app_name="nobody") == ()


def test_text_that_no_database_takes_is_mended(place: Place) -> None:
    place.store().save(record(events=(Event(NOW, "app", "nul \0 and half \ud83d a pair: größer"),)))
    assert place.reader().events()[0].message == "nul \ufffd and half ? a pair: größer"


def test_the_outcome_of_an_action_finds_its_intent(place: Place) -> None:
    store = place.store()
    store.save(record(intents=(start("web-1"), start("web-2"))))
    failure = ActionFailure(FailureKind.TRY_LATER, "PortTaken", "port 80 is taken")
    outcomes = (Outcome(start("web-1"), NOW + 1, NOW + 2), Outcome(start("web-2"), NOW + 1, NOW + 3, failure))
    store.save(record(NOW + 3, outcomes=outcomes))
    second, first = sorted(place.reader().actions(), key=lambda one: one.target, reverse=True)
    assert (first.outcome, first.planned_at, first.finished_at) == ("done", NOW, NOW + 2)
    assert (second.outcome, second.reason, second.message) == ("failed", "PortTaken", "port 80 is taken")
    assert (first.app_name, first.verb, first.target, first.cause) == ("web", "start", "web-1", "it has stopped")


def test_the_retry_of_an_action_is_a_row_of_its_own(place: Place) -> None:
    store = place.store()
    store.save(record(intents=(start(),)))
    failed = Outcome(start(), NOW, NOW + 1, ActionFailure(FailureKind.TRY_LATER, "Busy", "busy"))
    store.save(record(NOW + 1, outcomes=(failed,), intents=(start(),)))
    store.save(record(NOW + 2, outcomes=(Outcome(start(), NOW + 1, NOW + 2),)))
    assert [(one.planned_at, one.outcome) for one in place.reader().actions()] == [(NOW + 1, "done"), (NOW, "failed")]


def test_actions_left_open_by_a_controller_that_died_are_closed(place: Place) -> None:
    store = place.store()
    store.save(record(intents=(start(),)))
    assert place.reader().actions()[0].outcome == "pending"
    store.close()
    place.store().save(record(NOW + 5))
    [found] = place.reader().actions(app_name="web", since=NOW)
    assert (found.outcome, found.finished_at) == ("interrupted", NOW + 5)


def test_every_revision_applied_is_listed_once(place: Place) -> None:
    problem = Problem("web.yaml", 3, "spec.image", "nothing", "an image", "web")
    store = place.store()
    for at, revision in ((NOW, "one"), (NOW + 1, "one"), (NOW + 2, "two"), (NOW + 3, "one")):
        store.save(record(at, state=state(revision=revision, problems=(problem,))))
    found = place.reader().revisions()
    assert [(one.revision, one.applied_at) for one in found] == [("one", NOW + 3), ("two", NOW + 2), ("one", NOW)]
    assert found[0].problems == (problem,)
    assert len(place.reader().revisions(since=NOW + 2, limit=1)) == 1


def sample(at: float, app_name: str = "web", resolution_seconds: float = 10, **changes: object) -> LoadSample:
    made = LoadSample(app_name, at, resolution_seconds, 2, rps=10.0, p95_latency_ms=100.0, status_2xx=100)
    return replace(made, **changes)


def samples_at(reader: StatusReader) -> Sequence[tuple[float, float]]:
    return [(one.at, one.resolution_seconds) for one in reader.samples("web")]


def test_samples_of_load_are_kept_as_measured(place: Place) -> None:
    taken = sample(NOW, cpu_percent=3.5, bytes_sent=2**40, custom={"queue": 7.0, "lag": None})
    place.store().save(record(samples=(taken, sample(NOW, "api"))))
    assert place.reader().samples("web") == (taken,)


# -- retention --------------------------------------------------------------------------------------------------------


def test_old_events_go_at_a_checkpoint(place: Place) -> None:
    store = place.store(retention=Retention(days=1))
    old, new = Event(NOW - 2 * 86400, "app", "old"), Event(NOW - 3600, "app", "new")
    store.save(record(NOW - 60, events=(old, new)))
    store.save(record(NOW + 60), checkpoint=True)
    assert place.reader().events() == (new,)


def test_the_number_of_rows_in_a_store_is_bounded(place: Place) -> None:
    store = place.store(retention=Retention(rows=3, route_tables=2))
    for step in range(6):
        events = (Event(NOW + step, "app", f"event {step}"),)
        routes = replace(published("web-1"), generation=f"g{step}")
        intents = (start(cause=f"{step}"),)
        store.save(
            record(NOW + step, events=events, intents=intents, state=state(published=routes, revision=f"{step}"))
        )
    last = record(NOW + 100, state=state(published=routes))
    store.save(last, checkpoint=True)
    assert [event.message for event in place.reader().events()] == ["event 5", "event 4", "event 3"]
    assert [action.cause for action in place.reader().actions()] == ["5", "4", "3"]
    assert place.query("SELECT count(*) FROM route_tables") == [(2,)]
    assert store.load() == last.state


def test_fine_samples_become_coarse_ones_and_those_go_in_their_turn(place: Place) -> None:
    keep = Retention(fine_samples_days=1, coarse_samples_days=10)
    minute = NOW - 2 * 86400  # a whole minute
    fine = tuple(sample(minute + 10 * step, rps=float(step)) for step in range(1, 7))
    recent, ancient = sample(NOW - 10), sample(NOW - 20 * 86400, resolution_seconds=60)
    store = place.store(retention=keep)
    store.save(record(NOW - 90, samples=(*fine, recent, ancient)))
    store.save(record(NOW), checkpoint=True)
    assert samples_at(place.reader()) == [(NOW - 10, 10), (minute + 60, 60)]
    assert place.reader().samples("web")[1].rps == 3.5


def test_fine_samples_of_several_resolutions_become_coarse_ones_together(place: Place) -> None:
    minute = NOW - 2 * 86400
    fine = (sample(minute + 20, resolution_seconds=20), sample(minute + 30), sample(minute + 40))
    store = place.store(retention=Retention(fine_samples_days=1))
    store.save(record(NOW - 90, samples=fine))
    store.save(record(NOW), checkpoint=True)
    [merged] = place.reader().samples("web")
    assert (merged.at, merged.resolution_seconds, merged.status_2xx) == (minute + 60, 60, 300)


def test_the_number_of_samples_is_bounded_for_each_resolution(place: Place) -> None:
    store = place.store(retention=Retention(samples=2))
    kept = [sample(NOW - 60 * age, resolution_seconds=size) for size in (60, 10) for age in range(3)]
    store.save(record(NOW - 90, samples=tuple(kept)))
    store.save(record(NOW), checkpoint=True)
    assert samples_at(place.reader()) == [(NOW, 10), (NOW, 60), (NOW - 60, 10), (NOW - 60, 60)]


def test_pruning_that_fails_does_not_fail_the_saves_that_follow(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def time_out(*_: object) -> None:
        raise Unavailable("canceling statement due to statement timeout")

    store = place.store()
    monkeypatch.setattr(sqlstore, "prune", time_out)
    with pytest.raises(Unavailable, match="timeout"):
        store.save(record(), checkpoint=True)
    store.save(record(), checkpoint=True)
    assert place.reader().state() == record().state


def test_nothing_on_record_is_told_with_what_keeps_the_controller_from_recording(place: Place) -> None:
    place.store().announce(SignOfLife(NOW, "host", 77, NOW))
    trouble = "the controller is waiting for the Docker Engine"
    alive.write(place.state_dir / "alive", SignOfLife(NOW, "host", 77, NOW, trouble, NOW))
    with pytest.raises(NothingRecorded, match=f"--instance; of the last one, pid 77 on host, is known: {trouble}"):
        place.reader().recorded()


# -- schema and leadership --------------------------------------------------------------------------------------------


def test_migrations_end_where_the_tables_are(place: Place) -> None:
    place.store()
    engine = sa.create_engine(place.url or f"sqlite:///{place.state_dir}/orchestry.db", poolclass=sa.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == HEAD


def test_a_newer_schema_is_refused_by_the_store_and_its_reader(place: Place) -> None:
    place.store().close()
    place.query("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Unavailable, match=r"schema 9999.*update this program"):
        place.store()
    with pytest.raises(Unavailable, match=r"schema 9999.*update this program"):
        place.reader().events()


def test_an_older_schema_is_no_readers_to_change(place: Place) -> None:
    place.store().close()
    place.query("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(Unavailable, match="start the controller of this version"):
        place.reader().recorded()


def test_controllers_that_start_at_once_take_turns_to_migrate(place: Place) -> None:
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(lambda number: place.store(f"instance-{number}"), range(4)))
    assert [store.load() for store in stores] == [State()] * 4


def test_a_second_controller_is_refused_until_the_first_one_ends(place: Place) -> None:
    first = place.store()
    with pytest.raises(AlreadyRunning, match=r"another controller \(pid \d+ on .*--instance"):
        place.store()
    place.store("other")
    first.close()
    place.store()


def test_only_whoever_holds_an_instance_may_change_anything(place: Place) -> None:
    store = place.store()
    store.fence()
    store.renew()
    store.close()
    with pytest.raises(LeadershipUnknown):
        store.fence()

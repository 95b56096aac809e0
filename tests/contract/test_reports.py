"""Reports through a real store: that each asks the right questions of it, on both kinds of database."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from ruamel.yaml import YAML

from reconciler.decide.scaling.metrics import factor_of
from reconciler.model.actions import ActionFailure, FailureKind, Outcome, StartReplica
from reconciler.model.change import Change
from reconciler.model.desired import Problem
from reconciler.model.events import Event
from reconciler.model.load import LoadSample
from reconciler.model.reasons import Reason
from reconciler.ports import NothingRecorded
from reconciler.report import BadRequest
from reconciler.report.actions import actions
from reconciler.report.events import events
from reconciler.report.explain import explain
from reconciler.report.history import history
from reconciler.report.revisions import revisions
from reconciler.report.status import status
from reconciler.report.times import rfc3339
from tests.support.records import NOW, app_state, app_status, decision, record, state
from tests.support.stores import Place


@pytest.fixture
def recorded(place: Place) -> Place:
    """A store with two apps, events, a decision and samples in it, and no controller running."""
    saved = record(
        apps=2,
        events=(
            Event(NOW, "app", "registered", "web"),
            Event(NOW + 5, "rollout", "rollout complete", "web"),
            Event(NOW + 5, "rollout", "not web's", "app-2"),
        ),
        samples=tuple(LoadSample("web", NOW + at, 10, 2, rps=float(at)) for at in (0, 10, 20)),
    )
    decided = replace(saved.state, apps={**saved.state.apps, "web": app_state(decision=decision())})
    store = place.store()
    store.save(replace(saved, state=decided))
    store.close()
    return place


def test_status_reads_what_was_saved(recorded: Place) -> None:
    text, code = status(recorded.reader(), now=NOW + 3)
    assert ("as of 3 s ago" in text, code) == (True, 0)
    [app] = json.loads(status(recorded.reader(), "web", "json", now=NOW)[0])["apps"]
    assert app["replicas"] == {"desired": 2, "current": 2, "ready": 2, "routed": 2}


def test_every_report_is_the_same_as_json_and_as_yaml(recorded: Place) -> None:
    reader = recorded.reader()
    reports: dict[str, Callable[..., str]] = {
        "status": lambda **how: status(reader, **how)[0],
        "events": partial(events, reader),
        "explain": partial(explain, reader, "web"),
        "history": partial(history, reader, "web", factor_of=factor_of),
        "actions": partial(actions, reader),
        "revisions": partial(revisions, reader),
    }
    for name, report in reports.items():
        text = report(output="yaml", now=NOW)
        assert YAML(typ="safe", pure=True).load(text) == json.loads(report(output="json", now=NOW)), name
        assert not text.startswith(("{", "[{"))


def test_what_is_followed_and_who_changed_an_app_is_on_record(place: Place) -> None:
    change = Change("1f2e3d4c5b6a79880123456789abcdef01234567", "Jane Doe", NOW, "Scale web to 3", of_file=True)
    saved = replace(record(), source="https://git.example/shop.git", branch="main", path="specs")
    store = place.store()
    store.save(saved)
    assert status(place.reader(), now=NOW)[0].split("\n")[1] == (
        "source https://git.example/shop.git · branch main · path specs"
    )
    version = replace(app_state().version, change=change)
    kept = replace(saved.state, apps={"web": app_state(version=version)})
    store.save(replace(saved, state=kept, statuses={"web": app_status(change=change)}, branch=None, path=None))
    store.close()
    dumped = json.loads(status(place.reader(), output="json", now=NOW)[0])
    assert [dumped["controller"][name] for name in ("source", "branch", "path")] == [saved.source, None, None]
    assert dumped["apps"][0]["last_change"]["subject"] == "Scale web to 3"
    again = place.store()
    assert again.load().apps["web"].version.change == change
    again.close()


def test_events_pass_their_filters_on(recorded: Place) -> None:
    def messages(*filters: str | None, limit: int = 100) -> list[str]:
        found = json.loads(events(recorded.reader(), *filters, limit=limit, output="json", now=NOW + 6))
        return [event["message"] for event in found]

    assert messages() == ["not web's", "rollout complete", "registered"]
    assert messages("web") == ["rollout complete", "registered"]
    assert messages(None, "rollout") == ["not web's", "rollout complete"]
    assert messages("web", None, "3s") == ["rollout complete"]
    assert messages(limit=1) == ["not web's"]
    assert events(recorded.reader(), "nobody", now=NOW) == "no events"
    with pytest.raises(BadRequest, match="found 'nonsense'; expected one of app, action"):
        messages(None, "nonsense")
    with pytest.raises(BadRequest, match="since: found 'soon'"):
        messages(None, None, "soon")


def test_explain_and_history_read_decisions_rollouts_and_samples(recorded: Place) -> None:
    assert "scale out from 2 to 3: cpu is at 121 % of its target" in explain(recorded.reader(), "web", now=NOW)
    text = history(recorded.reader(), "web", factor_of=factor_of, now=NOW)
    assert "requests per second" in text
    assert "rollout complete" in text
    assert "not web's" not in text
    found = json.loads(history(recorded.reader(), "web", "5s", output="json", factor_of=factor_of, now=NOW + 12))
    assert [one["rps"] for one in found["samples"]] == [20.0, 10.0]
    assert found["decisions"] == []


def test_a_history_has_every_sample_of_the_time_asked_for(place: Place) -> None:
    count = 2 * 8640 + 1
    samples = tuple(LoadSample("web", NOW - 10 * age, 10, 2, rps=1.0) for age in range(count))
    store = place.store()
    store.save(record(samples=samples))
    store.close()
    found = json.loads(history(place.reader(), "web", "2d", limit=1, output="json", factor_of=factor_of, now=NOW))
    assert len(found["samples"]) == count
    assert found["samples"][-1]["at"] == rfc3339(NOW - 2 * 86400)


def test_a_report_on_an_unknown_app_names_those_that_are_known(recorded: Place) -> None:
    for ask in (status, explain, actions, revisions, partial(history, factor_of=factor_of)):
        with pytest.raises(NothingRecorded, match="known: app-2, web"):
            ask(recorded.reader(), "nope", now=NOW)


def test_an_app_that_is_no_more_or_never_was_good_is_told_from_an_unknown_one(place: Place) -> None:
    problem = Problem("bad.yaml", 3, "spec.image", "nothing", "an image", "bad")
    events = (Event(NOW, "rollout", "first rollout", "gone"), Event(NOW + 5, "app", "removed; bye", "gone"))
    store = place.store()
    store.save(record(events=events, state=state(problems=(problem,))))
    store.close()
    with pytest.raises(NothingRecorded, match="no app 'gone' any more; .* UTC: removed; bye"):
        explain(place.reader(), "gone", now=NOW)
    assert "first rollout" in history(place.reader(), "gone", factor_of=factor_of, now=NOW)
    with pytest.raises(NothingRecorded, match="'bad' has never had a valid spec:\nbad.yaml:3: spec.image"):
        explain(place.reader(), "bad", now=NOW)


def test_actions_are_listed_of_one_app_or_of_all(place: Place) -> None:
    planned = {name: StartReplica(name, f"{name}-1", "c0ffee", "it has stopped") for name in ("web", "api", "gone")}
    refused = ActionFailure(FailureKind.TRY_LATER, Reason.ADDRESS_TAKEN, "10.0.0.2 is taken")
    store = place.store()
    store.save(record(NOW - 60, intents=(planned["gone"],)))
    store.save(record(NOW, intents=(planned["web"], planned["api"])))
    store.save(record(NOW + 3, outcomes=(Outcome(planned["web"], NOW + 1, NOW + 3, refused),)))
    store.close()

    def listed(*asked: str | None, limit: int = 100) -> list[tuple[str, str, float | None]]:
        documents = json.loads(actions(place.reader(), *asked, limit=limit, output="json", now=NOW + 5))
        return [(document["target"], document["outcome"], document["took_seconds"]) for document in documents]

    web, api, gone = ("web-1", "failed", 3.0), ("api-1", "pending", None), ("gone-1", "pending", None)
    assert listed() == [web, api, gone]
    assert listed("web") == [web]
    assert listed("gone") == [gone]
    assert listed(None, "30s") == [web, api]
    assert listed(limit=1) == [web]
    assert "failed: AddressTaken" in actions(place.reader(), now=NOW)


def test_revisions_are_listed_with_what_was_wrong_with_each(place: Place) -> None:
    web = Problem("web.yaml", 3, "spec.image", "nothing", "an image", "web")
    bad, whole = replace(web, path="bad.yaml", app_name="bad"), replace(web, path="odd.yaml", app_name=None)
    store = place.store()
    for at, revision, problems in ((0, "one", (web, bad)), (60, "two", (bad, whole)), (120, "three", ())):
        kept = state(revision=revision, problems=problems)
        store.save(record(NOW + at, state=kept, notices=("mind the gap",)))
    store.close()

    def listed(*asked: str | None, limit: int = 100) -> list[tuple[str, list[str]]]:
        documents = json.loads(revisions(place.reader(), *asked, limit=limit, output="json", now=NOW + 120))
        assert all(document["notices"] == ["mind the gap"] for document in documents)
        return [(document["revision"], [it["path"] for it in document["problems"]]) for document in documents]

    assert listed() == [("three", []), ("two", ["bad.yaml", "odd.yaml"]), ("one", ["web.yaml", "bad.yaml"])]
    assert listed("web") == [("three", []), ("two", []), ("one", ["web.yaml"])]
    assert listed("bad", "90s") == [("three", []), ("two", ["bad.yaml"])]
    assert listed(limit=1) == [("three", [])]
    assert "problem: odd.yaml:3: spec.image: found nothing" in revisions(place.reader(), now=NOW)


def test_no_actions_and_no_revisions_are_said(place: Place) -> None:
    store = place.store()
    store.save(record(state=state(revision="")))
    store.close()
    assert actions(place.reader(), now=NOW) == actions(place.reader(), "web", now=NOW) == "no actions on record"
    assert revisions(place.reader(), now=NOW) == revisions(place.reader(), "web", now=NOW) == "no revisions on record"

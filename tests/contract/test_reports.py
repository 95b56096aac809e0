"""Reports through a real store: that each asks the right questions of it, on both kinds of database."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reconciler.decide.scaling.metrics import factor_of
from reconciler.model.actions import ActionFailure, FailureKind, Outcome, StartReplica
from reconciler.model.change import Change
from reconciler.model.desired import Problem
from reconciler.model.events import Event
from reconciler.model.load import LoadSample
from reconciler.model.reasons import Reason
from reconciler.ports import NothingRecorded, StatusReader
from reconciler.report import BadRequest
from reconciler.report.actions import actions
from reconciler.report.events import events, follow
from reconciler.report.explain import explain
from reconciler.report.history import history
from reconciler.report.logs import last_words
from reconciler.report.revisions import revisions
from reconciler.report.status import status
from reconciler.report.times import rfc3339
from tests.support.records import NOW, app_state, app_status, decision, record, state
from tests.support.site import INTERRUPTIBLE, ORCHESTRY
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
    with pytest.raises(BadRequest, match="found 'nonsense'; expected one of app, action"):
        messages(None, "nonsense")
    with pytest.raises(BadRequest, match="since: found 'soon'"):
        messages(None, None, "soon")


def test_events_are_printed_as_a_log_is_with_the_newest_last(recorded: Place) -> None:
    def messages(limit: int) -> list[str]:
        return [line.split("  ")[-1] for line in events(recorded.reader(), limit=limit, now=NOW).splitlines()[1:]]

    assert messages(100) == ["registered", "rollout complete", "not web's"]
    assert messages(2) == ["rollout complete", "not web's"]


class Log:
    """What following prints, as far as it was asked for: each pause is a chance to change what is on record."""

    def __init__(self, place: Place, *, output: str = "text", limit: int = 100, app_name: str | None = None) -> None:
        self.warnings: list[str] = []
        self.changes: list[Callable[[], object]] = []
        self._lines = follow(
            place.reader(), app_name, limit=limit, output=output, now=NOW, pause=self._pause, warn=self.warnings.append
        )

    def _pause(self) -> None:
        self.changes.pop(0)()

    def next(self, count: int, *changes: Callable[[], object]) -> list[str]:
        self.changes += changes
        return list(islice(self._lines, count))


def happened(place: Place, *events: Event) -> None:
    """A controller that starts, records these and ends."""
    store = place.store()
    store.load()
    store.save(record(apps=2, events=events))
    store.close()


def test_following_events_goes_on_with_those_of_every_controller_that_comes(recorded: Place) -> None:
    log = Log(recorded, limit=1)
    assert log.next(1) == ["2027-01-15 08:00:05  rollout     app-2  not web's"]
    late, next_one = Event(NOW - 60, "health", "told late", "web"), Event(NOW + 9, "controller", "of nobody")
    lines = log.next(2, lambda: None, lambda: happened(recorded, next_one, late))
    assert lines == [
        "2027-01-15 07:59:00  health      web    told late",
        "2027-01-15 08:00:09  controller  -      of nobody",
    ]
    assert log.next(1, lambda: happened(recorded, next_one)) == lines[1:], "another one just like it"


def test_followed_events_pass_the_filters_and_are_an_object_a_line_as_json(recorded: Place) -> None:
    log = Log(recorded, output="json", app_name="web")
    assert [json.loads(line)["message"] for line in log.next(2)] == ["registered", "rollout complete"]
    two_lines = Event(NOW + 9, "health", "exited", "web", {"log": "one\ntwo"})
    [line] = log.next(1, lambda: happened(recorded, Event(NOW + 8, "app", "x", "app-2"), two_lines))
    assert json.loads(line)["details"] == {"log": "one\ntwo"}
    documents = "\n".join(Log(recorded, output="yaml").next(5))
    assert [one["message"] for one in YAML(typ="safe", pure=True).load_all(documents)][-2:] == ["x", "exited"]


def test_following_events_outlives_a_database_that_is_away_and_one_that_is_begun_anew(tmp_path: Path) -> None:
    with ExitStack() as stack:
        place = Place(None, tmp_path / "state", stack)
        file = tmp_path / "state" / "orchestry.db"
        happened(place, Event(NOW, "app", "one"), Event(NOW, "app", "two"))
        log = Log(place)
        assert len(log.next(2)) == 2
        [line] = log.next(
            1, file.unlink, lambda: None, lambda: happened(place, Event(NOW, "app", "in the new one")), lambda: None
        )
        assert line.endswith("in the new one")
        assert len(log.warnings) == 1
        assert f"there is no SQLite database {file}" in log.warnings[0]


def test_followed_events_reach_a_pipe_at_once_and_an_interrupt_ends_them_quietly(tmp_path: Path) -> None:
    with ExitStack() as stack:
        place = Place(None, tmp_path / "state", stack)
        happened(place, Event(NOW, "app", "one"))
        command = [*INTERRUPTIBLE, str(ORCHESTRY), "events", "-f", "-o", "json", "--state-dir", str(tmp_path / "state")]
        following = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        stack.callback(following.kill)
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["message"] == "one"
        happened(place, Event(NOW, "app", "two"))
        assert json.loads(following.stdout.readline())["message"] == "two"
        following.send_signal(signal.SIGINT)
        assert (*following.communicate(timeout=30), following.returncode) == ("", "", 130)


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


def first_followed(reader: StatusReader, app_name: str, *, now: float) -> str:
    return next(follow(reader, app_name, now=now, pause=lambda: None, warn=lambda _: None))


def words(reader: StatusReader, app_name: str, *, now: float) -> list[object]:
    return ["these:", *last_words(reader, app_name, since=now)]


PRESENT: list[Callable[..., object]] = [status, explain]
PAST: list[Callable[..., object]] = [
    events,
    first_followed,
    actions,
    revisions,
    partial(history, factor_of=factor_of),
    words,
]


def test_a_report_on_an_unknown_app_names_those_that_are_known(recorded: Place) -> None:
    for ask in (*PRESENT, *PAST):
        with pytest.raises(NothingRecorded, match="there is no app 'nope' in instance 'default'; known: app-2, web"):
            ask(recorded.reader(), "nope", now=NOW)


def test_an_app_that_is_no_more_or_never_was_good_is_told_from_an_unknown_one(place: Place) -> None:
    problem = Problem("bad.yaml", 3, "spec.image", "nothing", "an image", "bad")
    past = (Event(NOW, "rollout", "first rollout", "gone"), Event(NOW + 5, "app", "removed; bye", "gone"))
    store = place.store()
    store.save(record(events=past, state=state(problems=(problem,))))
    store.close()
    for ask in PRESENT:
        with pytest.raises(NothingRecorded, match="no app 'gone' any more; .* UTC: removed; bye"):
            ask(place.reader(), "gone", now=NOW)
    for ask in PAST:
        assert ask(place.reader(), "gone", now=NOW + 60)
    assert events(place.reader(), "gone", since="1s", now=NOW + 60) == "no events"
    long_after = history(place.reader(), "gone", "1s", factor_of=factor_of, now=NOW + 60)
    assert "no scaling decisions and no rollouts" in long_after
    for ask in (*PRESENT, events, first_followed, actions):
        with pytest.raises(NothingRecorded, match="'bad' has never had a valid spec:\nbad.yaml:3: spec.image"):
            ask(place.reader(), "bad", now=NOW)


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

"""How lines of logs look, and which recorded ones stand in for containers that are gone."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, cast

import pytest

from reconciler.model.events import Event
from reconciler.model.recorded import AppRecord, Controller, Recorded
from reconciler.model.restarts import Exits
from reconciler.ports import NothingRecorded, StatusReader
from reconciler.report import BadRequest
from reconciler.report.logs import LastWords, Marked, last_words, on_terminal, recorded_lines, slot_of
from reconciler.runtime.logs import MAX_LINE_BYTES, _split
from tests.support.records import NOW, replica_state

CONFIG = {"Labels": {"orchestry.secrets": "TOKEN"}, "Env": ["TOKEN=hunter2", "OTHER=hunter2-no-secret"]}
STAMP = b"2026-11-24T15:12:03.000000001Z "


class Reader:
    """A record of one app, with what events tell."""

    def __init__(self, *events: Event, **logs: str) -> None:
        self._events = events
        replicas = {
            name.replace("_", "-"): replace(replica_state(), exits=Exits((NOW,), NOW, 1, log))
            for name, log in logs.items()
        }
        apps = {"web": AppRecord("web", replicas=replicas)} if logs else {}
        self._recorded = Recorded(Controller("default", "1", "host", 1, NOW, NOW), apps)

    def recorded(self) -> Recorded:
        return self._recorded

    def events(self, *, since: float | None = None, **_: Any) -> tuple[Event, ...]:
        return tuple(event for event in self._events if since is None or event.at >= since)


def words_of(reader: Reader, slot: int | None = None, since: float | None = None) -> list[tuple[str, str]]:
    return [(each.replica, each.log) for each in last_words(cast(StatusReader, reader), "web", slot, since)]


def test_each_line_of_a_log_is_marked_with_its_replica() -> None:
    mark = Marked(coloured=False)
    assert [mark.line("web-1", "hello"), mark.line("web-10", "hi"), mark.line("web-1", "")] == [
        "web-1 | hello",
        "web-10 | hi",
        "web-1  |",
    ]


def test_marks_of_replicas_have_colours_of_their_own_on_a_terminal() -> None:
    mark = Marked(coloured=True)
    first, second, again = (mark.line(name, "x").split(" ")[0] for name in ("web-1", "web-2", "web-1"))
    assert first == again == "\x1b[36mweb-1"
    assert second == "\x1b[33mweb-2"


@pytest.mark.parametrize(
    ("terminal", "no_color", "coloured"), [(True, "", True), (False, "", False), (True, "1", False)]
)
def test_logs_are_coloured_on_a_terminal_alone_and_not_against_its_users_will(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, no_color: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert on_terminal() is coloured


def test_control_characters_of_logged_lines_never_reach_the_terminal() -> None:
    assert Marked(coloured=False).line("web-1", "\x1b]0;owned\x07 \u202e") == "web-1 | \ufffd]0;owned\ufffd \ufffd"


@pytest.mark.parametrize(("text", "slot"), [(None, None), ("2", 2), ("web-2", 2), ("staging-web-12", 12)])
def test_a_replica_whose_log_is_asked_for_is_named_or_numbered(text: str | None, slot: int | None) -> None:
    assert slot_of(text) == slot


@pytest.mark.parametrize("text", ["", "web", "0", "web-", "-2x", "web-0"])
def test_what_is_no_replica_whose_log_could_be_asked_for_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="expected the name of one such as web-2, or its number"):
        slot_of(text)


def test_last_words_are_those_of_events_and_of_remembered_replicas_each_once() -> None:
    crash = Event(NOW - 9, "health", "web-2 exited with code 1", "web", {"log": "no database\n"})
    failed = Event(NOW - 5, "rollout", "rollout failed", "web", {"replica": "web-3", "log": "bad flag"})
    same = Event(NOW - 3, "health", "web-1 exited with code 1", "web", {"log": "told"})
    reader = Reader(same, failed, crash, web_1="told", web_4="also")
    assert words_of(reader) == [
        ("web-2", "no database\n"),
        ("web-3", "bad flag"),
        ("web-1", "told"),
        ("web-4", "also"),
    ]
    assert words_of(reader, slot=3) == [("web-3", "bad flag")]
    assert words_of(reader, since=NOW - 4) == [("web-1", "told"), ("web-4", "also")]


def test_last_words_of_an_app_that_is_gone_are_those_of_its_events() -> None:
    assert words_of(Reader(Event(NOW, "health", "web-1 exited", "web", {"log": "bye"}))) == [("web-1", "bye")]


def test_last_words_of_an_app_that_never_was_are_an_error() -> None:
    with pytest.raises(NothingRecorded, match="there is no app 'web'"):
        words_of(Reader())


def test_recorded_lines_say_when_the_program_ended() -> None:
    lines = recorded_lines([LastWords(NOW, "web-1", "one\ntwo\n")], Marked(coloured=False))
    assert list(lines) == [
        "web-1 | (ended 2027-01-15 08:00:00 UTC, its last lines on record)",
        "web-1 | one",
        "web-1 | two",
    ]


def lines_of(*parts: bytes) -> list[str]:
    return [text for _, text in _split(iter(parts), CONFIG)]


def test_a_logged_line_in_parts_is_one_line_and_has_one_time() -> None:
    parts = (STAMP + b"pw=hun", STAMP + b"ter2 end\n", STAMP + b"next\n")
    assert list(_split(iter(parts), CONFIG)) == [
        ("2026-11-24T15:12:03.000000001Z", "pw=*** end"),
        ("2026-11-24T15:12:03.000000001Z", "next"),
    ]


def test_logged_lines_of_a_terminal_come_byte_by_byte() -> None:
    whole = STAMP + b"one hunter2\r\n" + STAMP + b"two\r\n" + STAMP + b"rest"
    assert lines_of(*(whole[at : at + 1] for at in range(len(whole)))) == ["one ***", "two", "rest"]


def test_a_logged_line_without_end_is_cut_without_the_beginning_of_a_secret() -> None:
    filling = b"x" * (MAX_LINE_BYTES - len(STAMP) - 3)
    (line,) = lines_of(STAMP + filling, STAMP + b"hunter2", *[STAMP + b"y" * 4096] * 100, STAMP + b"\n")
    assert "hun" not in line
    assert line.endswith("…")
    assert len(line) <= MAX_LINE_BYTES


def test_bytes_of_a_log_that_are_no_text_are_shown_as_such() -> None:
    assert lines_of(STAMP + b"a\xffb\n") == ["a\ufffdb"]

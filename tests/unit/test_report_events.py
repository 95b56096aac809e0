"""Events as a table and as JSON; what containers wrote never commands a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.events import Event
from reconciler.report.events import event_document, event_table
from reconciler.report.tables import printable
from tests.support.records import NOW


def test_the_table_of_events_shows_the_last_words_of_what_died() -> None:
    crashed = Event(NOW + 1, "health", "web-1 exited with code 3", "web", {"log": "no database\ngiving up\n"})
    assert (
        event_table((crashed, Event(NOW, "source", "revision 1f2e3d4c applied")))
        == """\
TIME (UTC)           TYPE    APP  MESSAGE
2027-01-15 08:00:01  health  web  web-1 exited with code 3
                                    no database
                                    giving up
2027-01-15 08:00:00  source  -    revision 1f2e3d4c applied"""
    )


def test_what_is_known_of_a_replica_that_was_removed_stands_below_its_event() -> None:
    answer = "GET http://10.0.0.2:8080/healthz: no answer within 5 s"
    details = {"answer": answer, "exit_code": "7", "out_of_memory": "OOMKilled: it needed more", "log": "stuck"}
    removed = Event(NOW, "action", f"remove web-1: unhealthy ({answer}), and replaced", "web", details)
    assert (
        event_table((removed, Event(NOW, "action", "remove web-2: replaced by demo:1", "web", details)))
        == f"""\
TIME (UTC)           TYPE    APP  MESSAGE
2027-01-15 08:00:00  action  web  remove web-1: unhealthy ({answer}), and replaced
                                    exited with code 7
                                    OOMKilled: it needed more
                                    stuck
2027-01-15 08:00:00  action  web  remove web-2: replaced by demo:1
                                    exited with code 7
                                    OOMKilled: it needed more
                                    last failed answer: {answer}
                                    stuck"""
    )


def test_markup_in_the_messages_of_events_is_text() -> None:
    assert "[red]not red[/red] :smile:" in event_table((Event(NOW, "app", "[red]not red[/red] :smile:"),))


def test_events_as_json_are_plain() -> None:
    assert event_document(Event(NOW, "app", "registered", "web", {"revision": "r1"})) == {
        "at": "2027-01-15T08:00:00.000Z",
        "type": "app",
        "app": "web",
        "message": "registered",
        "details": {"revision": "r1"},
    }


def test_escape_sequences_do_not_pass_in_events() -> None:
    text = event_table((Event(NOW, "app", "\x1b]0;owned\x07 \x9b31m \u202egnp"),))
    assert "\ufffd]0;owned\ufffd \ufffd31m \ufffdgnp" in text


@given(st.text())
def test_printable_text_has_no_control_characters(text: str) -> None:
    assert all(c in "\n\t" or c.isprintable() or c.isspace() for c in printable(text) if ord(c) < 0xA0)
    assert len(printable(text)) == len(text)

"""Tables say the same at any width: a row is a line, and what it has no room for stands below, marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.cells import cell_len

from reconciler.model.actions import ActionFailure, FailureKind, Outcome, StartReplica
from reconciler.model.events import Event
from reconciler.model.reasons import Reason
from reconciler.report.tables import listing, shortened, table
from reconciler.store import open_store
from tests.support.records import (
    NOW,
    app_state,
    app_status,
    conditions,
    decision,
    record,
    replica_state,
    replica_status,
    state,
)
from tests.support.terminals import printed

LONG_NAME = "a-name-that-is-as-long-as-a-name-can-be-in-any-spec-of-an-app-x"
MESSAGE = "image registry.example/shop:2 can't be had: the registry's answer was 請求被拒絕, and it will be asked again"
NOTE = "not ready yet: 0 of 3 successes; last answer: answered 503 within 12 ms, as it has done ever since it started"


COMMANDS = {
    "status": ("status",),
    "wide": ("status", "-o", "wide"),
    "status of one": ("status", LONG_NAME),
    "events": ("events",),
    "explain": ("explain", LONG_NAME),
    "history": ("history", "web"),
    "actions": ("history", "--actions"),
    "revisions": ("history", "--revisions"),
    "settings": ("settings",),
}


def recorded_in(state_dir: Path) -> None:
    """An old record of two apps in trouble, one of them with a very long name."""
    names = ("web", LONG_NAME)
    waiting = {name: replica_status(f"{name}-1", note=NOTE, state="down", phase="starting") for name in names}
    statuses = {
        name: app_status(
            name,
            1,
            replicas=(waiting[name],),
            conditions=conditions(ready=False, degraded=MESSAGE),
            error=f"{MESSAGE}\nlast log lines of {name}-1:\nboom",
        )
        for name in names
    }
    kept = replace(
        state(),
        apps={name: app_state(name, decision=decision(reason=MESSAGE)) for name in names},
        replicas={f"{name}-1": replica_state(f"{name}-1", app_name=name) for name in names},
    )
    start = StartReplica("web", "web-1", "c0ffee", MESSAGE)
    failure = ActionFailure(FailureKind.TRY_LATER, Reason.ADDRESS_TAKEN, MESSAGE)
    events = (Event(NOW, "health", MESSAGE, "web", {"log": "first\nsecond"}), Event(NOW, "rollout", "done", "web"))
    with closing(open_store(None, state_dir=state_dir, instance="default")) as store:
        store.save(record(state=kept, statuses=statuses, events=events, intents=(start,), notices=(MESSAGE,)))
        store.save(record(NOW + 1, state=kept, statuses=statuses, outcomes=(Outcome(start, NOW, NOW + 1, failure),)))


@pytest.fixture(scope="module", params=(80, 100, 120, None))
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """What each command prints on a terminal of this width, or into a pipe."""
    state_dir = tmp_path_factory.mktemp("state")
    recorded_in(state_dir)
    commands = [[*command, "--state-dir", str(state_dir)] for command in COMMANDS.values()]
    return Shown(request.param, dict(zip(COMMANDS, printed(request.param, commands), strict=True)), str(state_dir))


class Shown(NamedTuple):
    """The lines of each command, by its name in `COMMANDS`; the width is None for a pipe."""

    columns: int | None
    lines: Mapping[str, Sequence[str]]
    state_dir: str


def test_the_status_has_a_line_for_each_app_at_any_width_and_below_it_what_was_cut(shown: Shown) -> None:
    lines = shown.lines["status"]
    begin = next(number for number, line in enumerate(lines) if line.startswith("APP"))
    heading, long, web, blank, *below = lines[begin:]
    assert (heading.split()[-1], blank) == ("MESSAGE", "")
    assert (long.split()[:2], web.split()[:2]) == ([LONG_NAME, "1/1"], ["web", "1/1"])
    assert web.index("Unknown") == long.index("Unknown") == heading.index("STATUS")
    assert (web[-1], long[-1]) == ("…", "…")
    assert [f"{LONG_NAME}: was Degraded: {MESSAGE}", f"  last log lines of {LONG_NAME}-1:", "  boom"] == below[:3]
    assert [f"web: was Degraded: {MESSAGE}", "  last log lines of web-1:", "  boom"] == below[3:]
    assert (f"Unknown  was Degraded: {MESSAGE} …" in web) == (shown.columns is None)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("wide", (NOTE, MESSAGE, "10.0.0.2:8080", f"{LONG_NAME}-1", "demo:1")),
        ("status of one", (NOTE, MESSAGE, "10.0.0.2:8080", f"{LONG_NAME}-1", "demo:1")),
        ("events", (MESSAGE, "first", "second")),
        ("explain", (NOTE, MESSAGE)),
        ("history", (MESSAGE,)),
        ("actions", (MESSAGE, "failed: AddressTaken")),
        ("revisions", (MESSAGE,)),
    ],
)
def test_no_report_cuts_a_name_or_loses_a_message_at_any_width(
    shown: Shown, command: str, wanted: Sequence[str]
) -> None:
    text = "\n".join(shown.lines[command])
    assert [part for part in wanted if part not in text] == []


def test_rows_of_a_long_list_keep_to_the_terminal(shown: Shown) -> None:
    for command in ("events", "history", "revisions"):
        rows = [line for line in shown.lines[command] if line.startswith("2027")]
        assert rows
        assert all(shown.columns is None or cell_len(row) <= shown.columns for row in rows)


def test_settings_are_never_cut(shown: Shown) -> None:
    assert any(shown.state_dir in line and line.endswith("option --state-dir") for line in shown.lines["settings"])


def test_a_message_is_shortened_by_columns_and_never_in_the_middle_of_a_wide_character() -> None:
    assert shortened("日本語", 6) == "日本語"
    assert shortened("日本語", 5) == "日本…"
    assert shortened("日本語", 4) == "日…"
    assert shortened("a message", 4) == "a m…"
    assert shortened("a message", 3) == "a…"
    assert shortened("a message", None) == "a message"


def test_wide_characters_leave_columns_aligned() -> None:
    heading, *rows = table(("APP", "IMAGE", "MESSAGE"), [("日本", "x", "one"), ("web", "🚀🚀", "two")]).split("\n")
    assert {cell_len(row[:-3]) for row in rows} == {heading.index("MESSAGE")}


def test_only_the_last_cell_of_a_row_may_have_several_lines() -> None:
    text = table(("APP", "MESSAGE"), [("a\nb", "one\ntwo\n\nthree"), ("c", None), ("d", "")])
    assert text.split("\n") == [
        *("APP  MESSAGE", "a b  one …", "c    -", "d    -"),
        *("", "a b: one", "  two", "", "  three"),
    ]


def test_further_lines_of_a_long_list_stand_beneath_their_row() -> None:
    text = listing(("APP", "MESSAGE"), [("web", "one\n  two"), ("api", "three")])
    assert text.split("\n") == ["APP  MESSAGE", "web  one", "       two", "api  three"]

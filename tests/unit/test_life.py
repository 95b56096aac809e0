"""Whether a controller runs and does its work, by its last sign of life and by the age of the record."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.recorded import AppRecord, Controller, Recorded, SignOfLife
from reconciler.report.dump import status_of
from reconciler.report.explain import Subject, explained
from reconciler.report.life import Life, life
from reconciler.report.status import exit_code, formatted
from tests.support.records import NOW, app_state, app_status, conditions, published

CONTROLLER = Controller("default", "1.0.0", "host", 77, NOW - 590, NOW - 2, revision="1f2e3d4c5b6a")
WELL = SignOfLife(NOW, "host", 77, NOW - 600)


def sign(**changes: Any) -> SignOfLife:
    return replace(WELL, **changes)


SILENT = "the controller seems not to be running: pid 77 on host was last seen 13 s ago"
STOPPED = (
    "the controller is not running: it was stopped 13 s ago, at 2027-01-15 08:00:00 UTC; apps go on as they are, and "
    "nobody heals them or rolls anything out"
)
LIVES = {
    "well": (WELL, NOW, Life(True)),
    "seen some seconds ago": (WELL, NOW + 11, Life(True)),
    "silent": (WELL, NOW + 13, Life(False, SILENT)),
    "silent after trouble": (sign(trouble="the database can't be written: full"), NOW + 13, Life(False, SILENT)),
    "of a time that is yet to come": (
        WELL,
        NOW - 60,
        Life(
            False,
            "the controller seems not to be running: pid 77 on host was last seen at a time that is yet to come",
        ),
    ),
    "hanging": (
        sign(trouble="the controller is waiting for the Docker Engine", trouble_since=NOW - 20),
        NOW + 3,
        Life(True, "the controller is waiting for the Docker Engine (for 23 s)"),
    ),
    "stopped": (sign(ended="stopped"), NOW + 13, Life(False, STOPPED, NOW)),
    "stopped a moment ago": (
        sign(ended="stopped"),
        NOW,
        Life(False, STOPPED.replace("13 s", "0 s"), NOW),
    ),
    "failed": (
        sign(ended="failed", trouble="no Engine"),
        NOW + 300,
        Life(False, "the controller is not running: it ended 5 min ago, at 2027-01-15 08:00:00 UTC: no Engine", NOW),
    ),
    "removed": (
        sign(ended="removed"),
        NOW + 5,
        Life(
            False,
            "the controller is not running: everything of this instance was removed 5 s ago, at 2027-01-15 "
            "08:00:00 UTC",
            NOW,
        ),
    ),
    "started a moment ago": (
        sign(started_at=NOW - 1),
        NOW + 1,
        Life(True, "the controller was started 2 s ago and has not looked yet"),
    ),
    "without a file": (None, NOW + 20, Life(True)),
    "without a file for long": (
        None,
        NOW + 40,
        Life(False, "the controller seems not to be running: pid 77 on host was last seen 42 s ago"),
    ),
    "recording, with a file that can't be written": (sign(at=NOW - 600), NOW, Life(True)),
    "recording after an end that is no more so": (sign(at=NOW - 600, ended="stopped"), NOW, Life(True)),
}


@pytest.mark.parametrize("case", LIVES)
def test_the_life_of_a_controller_is_told_by_its_last_sign(case: str) -> None:
    last_sign, now, expected = LIVES[case]
    assert life(CONTROLLER, last_sign, now) == expected


def test_a_controller_that_lives_and_records_nothing_is_in_trouble() -> None:
    old = replace(CONTROLLER, seen_at=NOW - 40)
    assert life(old, WELL, NOW) == Life(True, "the controller has last recorded anything 40 s ago")


# -- what is shown ----------------------------------------------------------------------------------------------------

TROUBLES = [case for case, (_, _, expected) in LIVES.items() if expected.trouble]


def recorded(last_sign: SignOfLife | None, **changes: Any) -> Recorded:
    app = AppRecord("web", app_status(**changes), app_state())
    return Recorded(CONTROLLER, {"web": app}, published("web-1", "web-2"), sign=last_sign)


@pytest.mark.parametrize("case", TROUBLES)
def test_of_an_app_whose_controller_is_in_trouble_nothing_is_known(case: str) -> None:
    last_sign, now, expected = LIVES[case]
    status = status_of(recorded(last_sign), now=now)
    assert exit_code(status) == exit_code(status_of(recorded(last_sign), now=now, app_name="web")) == 1
    document = json.loads(formatted(status, "json"))
    [app] = document["apps"]
    assert (document["converged"], app["converged"], app["known"]) == (False, False, False)
    assert [condition["status"] for condition in app["conditions"]] == [True, False, False], "as they are on record"
    assert document["controller"]["trouble"] == expected.trouble
    assert document["controller"]["running"] == expected.running
    assert (document["controller"]["stopped_at"] is None) == (expected.stopped_at is None)
    for output in ("table", "wide"):
        lines = formatted(status, output).splitlines()
        assert lines[1] == f"warning: {expected.trouble}"
        [row] = [line for line in lines if line.startswith("web ")]
        assert row.split("Unknown")[1].strip() == "was Ready"
    text = explained(Subject(recorded(last_sign).apps["web"], CONTROLLER, published(), (), now, last_sign))
    assert text.splitlines()[0].endswith(f"ago; {expected.trouble}")


def test_what_was_wrong_with_an_app_when_it_was_last_looked_at_is_told_as_such() -> None:
    status = status_of(
        recorded(sign(ended="stopped"), conditions=conditions(degraded="no image"), error="no image"), now=NOW
    )
    assert "Unknown  was Degraded: no image" in formatted(status, "table")


def test_of_an_app_whose_controller_is_well_everything_is_known() -> None:
    status = status_of(recorded(WELL), now=NOW)
    assert (exit_code(status), status.converged, status.apps[0].known) == (0, True, True)
    assert (status.controller.trouble, status.controller.stopped_at) == ("", None)
    document = json.loads(
        explained(Subject(recorded(WELL).apps["web"], CONTROLLER, published(), (), NOW, WELL), "json")
    )
    assert (document["controller_trouble"], document["status"]["known"]) == ("", True)

"""Which entry of a schedule is in force at a given moment."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from reconciler.model.spec import Scaling, ScheduledBounds
from reconciler.schedule import bounds_in_force

BERLIN = "Europe/Berlin"


def entry(cron: str, minimum: int, timezone: str = BERLIN) -> ScheduledBounds:
    return ScheduledBounds(cron=cron, timezone=timezone, min_replicas=minimum, max_replicas=10)


def min_at(moment: str, *entries: ScheduledBounds, timezone: str = BERLIN) -> int | None:
    now = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(timezone)).timestamp()
    bounds = bounds_in_force(Scaling(schedule=entries), now)
    return bounds.min_replicas if bounds else None


DAYS = (entry("0 8 * * 1-5", 5), entry("0 20 * * *", 1))


@pytest.mark.parametrize(
    ("moment", "minimum"),
    [
        ("2024-05-06T07:59:59", 1),  # Monday
        ("2024-05-06T08:00:00", 5),
        ("2024-05-06T19:59:59", 5),
        ("2024-05-06T20:00:00", 1),
        ("2024-05-05T12:00:00", 1),  # Sunday: still what Saturday evening began
        ("2024-05-10T23:00:00", 1),
    ],
)
def test_an_entry_of_a_schedule_holds_until_another_one_matches(moment: str, minimum: int) -> None:
    assert min_at(moment, *DAYS) == minimum
    assert min_at(moment, *reversed(DAYS)) == minimum


def test_a_single_entry_of_a_schedule_holds_from_its_last_match_on() -> None:
    assert min_at("2024-05-06T07:00:00", entry("0 8 * * *", 3)) == 3


def test_of_two_schedule_entries_in_the_same_minute_the_one_further_down_holds() -> None:
    assert min_at("2024-05-06T08:00:00", entry("0 8 * * *", 3), entry("0 8 * * 1", 4)) == 4
    assert min_at("2024-05-06T08:00:00", entry("0 8 * * 1", 4), entry("0 8 * * *", 3)) == 3


def test_each_entry_of_a_schedule_is_meant_in_its_own_time_zone() -> None:
    entries = (entry("0 8 * * *", 2, "UTC"), entry("0 9 * * *", 4, "America/New_York"))
    assert min_at("2024-05-06T12:59:59", *entries, timezone="UTC") == 2
    assert min_at("2024-05-06T13:00:00", *entries, timezone="UTC") == 4


@pytest.mark.parametrize(
    ("moment", "minimum"),
    [
        ("2024-03-31T01:59:00", 1),
        ("2024-03-31T03:00:00", 5),  # half past two does not exist that night: the change happens right after the gap
        ("2024-10-27T02:29:00", 1),
        ("2024-10-27T02:30:00", 5),  # the first of two
        ("2024-10-27T04:00:00", 5),
    ],
)
def test_a_schedule_holds_when_summer_time_begins_and_ends(moment: str, minimum: int) -> None:
    assert min_at(moment, entry("30 2 * * *", 5), entry("0 0 * * *", 1)) == minimum


def test_a_schedule_that_never_matched_leaves_the_policys_own_bounds() -> None:
    assert min_at("2024-05-06T08:00:00") is None
    assert min_at("2024-05-06T08:00:00", entry("0 0 */20 * 1L", 5)) is None


def test_bounds_by_a_schedule_name_their_entry_for_people() -> None:
    bounds = bounds_in_force(Scaling(schedule=DAYS), 1_714_975_200)
    assert bounds is not None
    assert bounds.source == "schedule 0 8 * * 1-5 (Europe/Berlin)"

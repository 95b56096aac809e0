"""Times as text, and text as times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.report import BadRequest
from reconciler.report.times import age, clock, duration, parse_since, rfc3339
from tests.support.records import NOW


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172799, "47 h"),
        (172800, "2 d"),
    ],
)
def test_ages_have_one_sensible_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0 s"), (0.25, "0.2 s"), (9.75, "9.8 s"), (10, "10 s"), (119.9, "119 s"), (120, "2 min")],
)
def test_a_duration_below_ten_seconds_shows_tenths(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_times_are_utc_to_the_millisecond() -> None:
    assert rfc3339(NOW + 0.25) == "2027-01-15T08:00:00.250Z"
    assert clock(NOW + 0.25) == "2027-01-15 08:00:00"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("30s", NOW - 30),
        ("1.5m", NOW - 90),
        ("2h", NOW - 7200),
        ("3d", NOW - 259200),
        ("2027-01-15T07:00Z", NOW - 3600),
        ("2027-01-15T08:00:00+01:00", NOW - 3600),
        ("2027-01-15", NOW - 8 * 3600),
    ],
)
def test_what_a_filter_begins_with_is_a_span_or_a_time(text: str, at: float) -> None:
    assert parse_since(text, NOW) == at


@given(st.floats(min_value=0, max_value=4e9))
def test_a_printed_time_reads_back(at: float) -> None:
    assert parse_since(rfc3339(at), NOW) == pytest.approx(at, abs=0.001)


@pytest.mark.parametrize("text", ["", "yesterday", "10", "-5m", "5w", "2027-13-01"])
def test_what_is_no_span_and_no_time_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(BadRequest, match="expected a span such as 30s"):
        parse_since(text, NOW)
    assert parse_since(None, NOW) is None

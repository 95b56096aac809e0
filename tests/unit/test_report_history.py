"""Histories: a list, newest first, and plots above it."""

from __future__ import annotations

import json
from typing import Any

import plotext
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.events import Event
from reconciler.model.load import LoadSample
from reconciler.model.scaling import Factor
from reconciler.report.history import Past, series_of, told
from reconciler.report.plots import Series, plot, thinned
from tests.support.records import NOW, decision

PAST = Past(
    "web",
    decisions=(
        decision(
            NOW,
            1,
            2,
            reason="scale out from 1 to 2",
            factors=(Factor("cpu", 1.0, 1.0, 1.3), Factor("rps", None, 1.0, None)),
        ),
        decision(NOW + 60, 2, 4, reason="scale out from 2 to 4", factors=(Factor("cpu", 1.0, 1.0, 1.6),)),
        decision(NOW + 90, 4, 3, reason="scale in from 4 to 3", acted=False, factors=()),
    ),
    rollouts=(Event(NOW + 30, "rollout", "rollout of 1f2e3d4c complete", "web"),),
    samples=tuple(LoadSample("web", NOW + at, 10, 1 + at // 60, rps=at * 1.0) for at in range(0, 100, 10)),
    factors=((NOW, 0.2), (NOW + 90, 1.2)),
)


def test_the_list_mixes_decisions_and_rollouts_newest_first() -> None:
    assert (
        told(PAST, width=80).partition("TIME (UTC)")[2]
        == """           WHAT     REPLICAS  WHY
2027-01-15 08:01:30  scaling  4 → 3     scale in from 4 to 3 (not acted upon)
2027-01-15 08:01:00  scaling  2 → 4     scale out from 2 to 4
2027-01-15 08:00:30  rollout  -         rollout of 1f2e3d4c complete
2027-01-15 08:00:00  scaling  1 → 2     scale out from 1 to 2"""
    )


def test_load_factors_and_replicas_are_plotted() -> None:
    text = told(PAST, width=80)
    titles = ("requests per second", "factor of the metric that works hardest", "healthy replicas")
    assert [text.index(title) for title in titles] == sorted(text.index(title) for title in titles)
    assert "p95 latency" not in text, "nothing is known of it"
    assert max(map(len, text.splitlines())) <= 80


def test_a_decision_to_keep_the_count_looks_like_one() -> None:
    kept = decision(NOW, 3, 3, reason="keep 3: between 30 % and 80 %")
    assert "scaling  3         keep 3: between" in told(Past("web", (kept,), (), ()), width=80)


def test_replicas_are_plotted_as_steps() -> None:
    series = series_of(PAST)[-1]
    assert series.points[8:14] == [
        (NOW + 30, 1), (NOW + 40, 1), (NOW + 40, 1), (NOW + 50, 1), (NOW + 50, 2), (NOW + 60, 2),
    ]  # fmt: skip


def test_what_went_wrong_with_requests_is_plotted_where_anything_did() -> None:
    well = [LoadSample("web", NOW + at, 10, 1, rps=1.0, error_rate=0.0, repaired=0, given_up=0) for at in (0, 10)]
    assert "answered with an error" not in told(Past("web", (), (), tuple(well)), width=80)
    wrong = LoadSample("web", NOW + 20, 60, 1, rps=1.0, error_rate=0.25, repaired=6, given_up=12)
    past = Past("web", (), (), (*well, wrong))
    series = {line.title: line.points[-1][1] for line in series_of(past) if line.points}
    assert series["answered with an error (5xx), percent of requests"] == 25
    assert series["failed by one replica and answered by another, requests per minute"] == 6
    assert series["given up by clients (499), requests per minute"] == 12
    assert json.loads(told(Past("web", (), (), (wrong,)), "json", width=80))["samples"][0]["given_up"] == 12


def test_an_app_without_requests_shows_its_cpu() -> None:
    samples = tuple(LoadSample("web", NOW + at, 10, 1, rps=0.0, cpu_percent=at) for at in (0, 10))
    text = told(Past("web", (), (), samples), width=80)
    assert "cpu, percent of the limit" in text
    assert "requests" not in text


def test_without_samples_the_counts_decided_are_plotted() -> None:
    text = told(Past("web", PAST.decisions, (), ()), width=80)
    assert "4┤" in text.partition("replicas\n")[2]


def test_nothing_on_record_is_said() -> None:
    assert told(Past("web", (), (), ()), width=80) == "no scaling decisions and no rollouts on record"


def test_json_has_all_of_it_newest_first() -> None:
    found = json.loads(told(PAST, "json", width=80))
    assert [one["at"] for one in found["decisions"]] == [
        "2027-01-15T08:01:30.000Z",
        "2027-01-15T08:01:00.000Z",
        "2027-01-15T08:00:00.000Z",
    ]
    assert found["rollouts"][0]["message"] == "rollout of 1f2e3d4c complete"
    assert (found["samples"][0]["at"], found["samples"][0]["rps"]) == ("2027-01-15T08:01:30.000Z", 90.0)


def test_a_single_point_is_no_plot() -> None:
    assert plot([Series("one", [(NOW, 1.0)])], width=80) == ""


def test_plots_take_no_notice_of_what_was_plotted_before() -> None:
    rising = Series("rising", [(NOW, 0.0), (NOW + 1, 5.0)])
    assert plot([rising], width=60) == plot([rising], width=60)


def test_a_plot_of_all_samples_there_can_be_draws_few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    signal = plotext.figure.signal

    def counted(xs: list[float], ys: list[float], **options: Any) -> Any:
        drawn.append(len(xs))
        return signal(xs, ys, **options)

    monkeypatch.setattr(plotext.figure, "signal", counted)
    samples = tuple(LoadSample("web", NOW + 10 * at, 10, 2, rps=float(at % 500)) for at in range(60_000))
    assert "requests per second" in told(Past("web", (), (), samples), width=80)
    assert len(drawn) == 2
    assert max(drawn) <= 400


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)), max_size=300).map(sorted), st.integers(1, 50))
def test_thinning_keeps_order_and_peaks(points: list[tuple[float, float]], most: int) -> None:
    kept = list(thinned(points, most))
    assert len(kept) <= most
    assert kept == sorted(kept)
    assert max((value for _, value in kept), default=0) == max((value for _, value in points), default=0)


@pytest.mark.parametrize("count", [0, 1, 400])
def test_few_points_are_left_alone(count: int) -> None:
    points = [(float(at), 1.0) for at in range(count)]
    assert thinned(points, 400) == points

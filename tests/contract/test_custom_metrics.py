"""Custom metrics from a real Prometheus, and from everything that can stand in its place."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.load import open_meter
from reconciler.load.prometheus import CustomMetrics, NoNumber, Prometheus, PrometheusUnreachable
from reconciler.model.load import AppLoad
from tests.support.apps import app
from tests.support.prometheus import prometheus
from tests.support.tcp import Script, answer, serving, unused_port
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("query", "value"),
    [("vector(42)", 42), ("scalar(vector(7))", 7), ("sum(up)", 1), ('up{job="itself"}', 1), ("2^10", 1024)],
)
def test_a_query_of_a_metric_gives_its_number(url: str, query: str, value: float) -> None:
    assert Prometheus(url).ask(query) == value


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("no_such_metric", "the query matches no series"),
        ('{__name__=~"prometheus_tsdb.+"}', r"the query gives \d+ series; one is needed: aggregate it"),
        ("sum(", r"refused \(bad_data\): invalid parameter .*parse error"),
        ("up[1m]", "the query gives a matrix; a single number is needed"),
        ('"text"', "the query gives a string; a single number is needed"),
        ("vector(1)/0", "the value is inf"),
        ("vector(0)/0", "the value is nan"),
    ],
)
def test_a_query_of_a_metric_that_gives_no_number_says_why(url: str, query: str, problem: str) -> None:
    with pytest.raises(NoNumber, match=problem):
        Prometheus(url).ask(query)


@pytest.mark.prometheus
def test_an_apps_metrics_reach_its_load(url: str, tmp_path: Path) -> None:
    metrics = [
        {"name": "queue", "query": "vector(42)", "target": 5},
        {"name": "lost", "query": "no_such_metric", "targetPerReplica": 5},
    ]
    watched = app(replicas=None, scaling={"metrics": metrics})
    with closing(open_meter(state_dir=tmp_path, prometheus_url=url)) as meter:

        def known() -> AppLoad | None:
            load = meter.read([watched], [], [], time.time()).apps.get("web")
            return load if load and load.custom["queue"] is not None else None

        load = eventually(known, within_seconds=30)
        assert load is not None
        assert load.custom == {"queue": 42, "lost": None}
        notices = meter.read([watched], [], [], time.time()).notices
        assert notices == ("web: metric lost: the query matches no series",)


def body(value: Any) -> Script:
    return answer(200, json.dumps(value).encode())


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (answer(404, b"page not found"), "answered 404 with something that is no result of a query"),
        (answer(302, b"", "Location: http://127.0.0.1:1/"), "answered 302 with something"),
        (answer(200, b"[]"), "answered 200 with something"),
        (body({"status": "success", "data": {"resultType": "scalar", "result": [0]}}), "answered 200 with something"),
        (body({"status": "success", "data": {"resultType": "vector", "result": [{}]}}), "answered 200 with something"),
        (body({"status": "error", "error": "no\nway\x1b"}), r"refused \(200\): no way "),
        (answer(200, b" " * 3_000_000), "the answer is too large to be one number"),
        (lambda connection: connection.recv(1), "did not answer within 0.3 s"),
        (lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), "can't be reached"),
        (lambda connection: connection.sendall(b"\x16\x03\x01"), "can't be reached"),
    ],
)
def test_what_is_no_prometheus_gives_no_number(script: Script, problem: str) -> None:
    with serving(script) as server, pytest.raises(NoNumber, match=problem):
        Prometheus(f"http://127.0.0.1:{server.port}", timeout_seconds=0.3).ask("up")


def test_a_password_in_the_url_of_prometheus_is_used_and_never_said() -> None:
    with serving(answer(500)) as server, pytest.raises(NoNumber) as raised:
        Prometheus(f"http://user:hunter2@127.0.0.1:{server.port}").ask("up")
    assert b"Authorization: Basic" in server.requests[0]
    with pytest.raises(PrometheusUnreachable) as unreachable:
        Prometheus(f"http://user:hunter2@127.0.0.1:{unused_port()}").ask("up")
    assert "hunter2" not in f"{raised.value}{unreachable.value}"


class Answers:
    """Stands for the API: a number per query, or an error to raise."""

    def __init__(self, **numbers: float | Exception) -> None:
        self.numbers = numbers
        self.asked: list[str] = []

    def __call__(self, query: str) -> float:
        self.asked.append(query)
        number = self.numbers[query]
        if isinstance(number, Exception):
            raise number
        return number


def test_a_metric_is_renewed_and_lost_when_its_query_fails() -> None:
    answers = Answers(a=1.0)
    metrics = CustomMetrics(answers, interval_seconds=0.02)
    metrics.watch(["a"])
    eventually(lambda: metrics.value("a") == 1)
    answers.numbers["a"] = 2.0
    eventually(lambda: metrics.value("a") == 2)
    answers.numbers["a"] = NoNumber("gone")
    eventually(lambda: metrics.value("a") is None)
    assert metrics.problem("a") == "gone"
    metrics.close()


def test_a_prometheus_that_is_down_is_asked_once_a_round() -> None:
    answers = Answers(a=1.0, b=PrometheusUnreachable("down"), c=3.0)
    metrics = CustomMetrics(answers, interval_seconds=0.02)
    metrics.watch(["a", "b", "c"])
    eventually(lambda: answers.asked.count("b") >= 3)
    assert "c" not in answers.asked
    assert (metrics.value("a"), metrics.value("b"), metrics.value("c")) == (1, None, None)
    assert metrics.problem("c") == "down"
    metrics.close()


def test_queries_of_metrics_that_nobody_watches_are_not_asked() -> None:
    answers = Answers(a=1.0, b=2.0)
    metrics = CustomMetrics(answers, interval_seconds=0.02)
    metrics.watch(["a"])
    eventually(lambda: metrics.value("a") == 1)
    metrics.watch(["b"])
    eventually(lambda: metrics.value("b") == 2)
    assert metrics.value("a") is None
    asked = answers.asked.count("a")
    eventually(lambda: answers.asked.count("b") >= 3)
    assert answers.asked.count("a") <= asked
    metrics.close()

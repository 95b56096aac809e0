"""Custom metrics: one number per query, from a Prometheus-compatible API, asked in the background.

A query that fails, that returns nothing, or more than one series, is unknown (None), and why is said in a notice:
guessing a number would scale an app on it. An answer is used as long as the next two could still replace it.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from reconciler.loud_thread import LoudThread

INTERVAL_SECONDS = 5.0
TIMEOUT_SECONDS = 5.0
_STALE_AFTER_SECONDS = 3 * (INTERVAL_SECONDS + TIMEOUT_SECONDS)
_MAX_BYTES = 1024 * 1024


class NoNumber(Exception):
    """A query that did not come to a number. The message says what came instead."""


class PrometheusUnreachable(NoNumber):
    """The API can't be asked at all just now, whatever the query."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """The last answer to a query: its number or, in words, why there is none. ``at`` is monotonic time."""

    at: float
    value: float | None
    problem: str = ""


class Prometheus:
    """A Prometheus-compatible API, at ``url`` (the part before ``/api/v1``; it may carry a user and a password)."""

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._endpoint = f"{url.rstrip('/')}/api/v1/query"
        self._timeout_seconds = timeout_seconds
        self._session = requests.Session()
        self._session.trust_env = False
        parts = urlsplit(url)
        self.name = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def ask(self, query: str) -> float:
        """The value of an instant query, now. Raises NoNumber, or PrometheusUnreachable."""
        try:
            with self._session.get(
                self._endpoint,
                params={"query": query},
                timeout=self._timeout_seconds,
                stream=True,
                allow_redirects=False,
            ) as response:
                text = _read(response, self._timeout_seconds)
        except requests.Timeout:
            raise PrometheusUnreachable(f"{self.name} did not answer within {self._timeout_seconds:g} s") from None
        except requests.RequestException:
            raise PrometheusUnreachable(f"{self.name} can't be reached") from None
        return _number(response.status_code, text)

    def close(self) -> None:
        self._session.close()


class CustomMetrics:
    """Keeps the latest number of each query that is watched. ``ask`` raises NoNumber."""

    def __init__(self, ask: Callable[[str], float], interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._ask = ask
        self._interval_seconds = interval_seconds
        self._changed = threading.Condition()
        self._queries: frozenset[str] = frozenset()
        self._answers: dict[str, _Answer] = {}
        self._closed = False
        self._thread = LoudThread(self._run, "custom-metrics")
        self._thread.start()

    def watch(self, queries: Iterable[str]) -> None:
        """Ask these queries from now on, and no others."""
        self._thread.check()
        wanted = frozenset(queries)
        with self._changed:
            if wanted != self._queries:
                self._queries = wanted
                self._answers = {query: answer for query, answer in self._answers.items() if query in wanted}
                self._changed.notify()

    def value(self, query: str) -> float | None:
        with self._changed:
            answer = self._answers.get(query)
        return answer.value if answer and time.monotonic() - answer.at < _STALE_AFTER_SECONDS else None

    def problem(self, query: str) -> str:
        """Why there is no value, in words; "" where there is one, or none was asked for yet."""
        with self._changed:
            answer = self._answers.get(query)
        return answer.problem if answer else ""

    def close(self) -> None:
        """Ask nothing more; a question under way is not waited for."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while (queries := self._next_round()) is not None:
            answers = self._round(queries)
            with self._changed:
                self._answers |= {query: answer for query, answer in answers.items() if query in self._queries}

    def _next_round(self) -> list[str] | None:
        """The queries of the next round once it is time for it; None when closed."""
        with self._changed:
            if not self._closed and self._queries <= self._answers.keys():
                self._changed.wait(self._interval_seconds if self._queries else None)
            return None if self._closed else sorted(self._queries)

    def _round(self, queries: list[str]) -> dict[str, _Answer]:
        """An answer to each query; when the API can't be reached, that is the answer to all that were not asked yet."""
        answers: dict[str, _Answer] = {}
        for query in queries:
            now = time.monotonic()
            try:
                answers[query] = _Answer(now, self._ask(query))
            except PrometheusUnreachable as error:
                return dict.fromkeys(queries, _Answer(now, None, str(error))) | answers
            except NoNumber as error:
                answers[query] = _Answer(now, None, str(error))
        return answers


def _read(response: requests.Response, timeout_seconds: float) -> bytes:
    """The whole body, within bounds of size and time."""
    ends_at = time.monotonic() + timeout_seconds
    body = b""
    for chunk in response.iter_content(65536):
        body += chunk
        if len(body) > _MAX_BYTES:
            raise NoNumber("the answer is too large to be one number; aggregate the query, for instance with sum()")
        if time.monotonic() > ends_at:
            raise requests.Timeout
    return body


def _number(status: int, text: bytes) -> float:
    try:
        answer: Any = json.loads(text)
        if answer["status"] != "success":
            raise NoNumber(f"refused ({answer.get('errorType', status)}): {_short(answer.get('error', ''))}")
        kind, result = answer["data"]["resultType"], answer["data"]["result"]
        if kind == "vector":
            result = _only_series(result)
        elif kind != "scalar":
            raise NoNumber(f"the query gives a {_short(kind)}; a single number is needed, such as sum(rate(…))")
        number = float(result[1])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise NoNumber(f"answered {status} with something that is no result of a query") from None
    if not math.isfinite(number):
        raise NoNumber(f"the value is {number}, for instance a division by zero")
    return number


def _only_series(series: list[Any]) -> Any:
    if not series:
        raise NoNumber("the query matches no series")
    if len(series) > 1:
        raise NoNumber(f"the query gives {len(series)} series; one is needed: aggregate it, for instance with sum()")
    return series[0]["value"]


def _short(text: object) -> str:
    return "".join(c if c.isprintable() else " " for c in str(text)[:200])

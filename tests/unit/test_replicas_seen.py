"""What an observation makes of each replica: who is adopted, who has crashed, whose answers count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from reconciler.decide.state.replicas import follow
from reconciler.model.events import Event
from reconciler.model.health import Health, Tally, Verdict
from reconciler.model.observed import Container, ContainerState, Inventory, Observed, ProbeSample
from reconciler.model.replica_state import ReplicaState
from reconciler.model.state import State
from tests.support.apps import desired, version
from tests.support.records import NOW, app_state, replica_state
from tests.support.stage import NETWORK

RUNNING = Container("c0ffee", "web-1", "web", 1, "abc123", "r1", ContainerState.RUNNING, "10.0.0.2")


def seen(
    container: Container, *answers: ProbeSample, before: ReplicaState | None = None, **app: Any
) -> tuple[ReplicaState, list[Event]]:
    """The replica after this look at its container, and what is told of it."""
    replicas = {} if before is None else {"web-1": before}
    observed = Observed(NOW, desired(version()), Inventory((container,), NETWORK), samples=answers)
    state, events = follow(State({"web": app_state(**app)}, replicas), observed)
    return state.replicas["web-1"], list(events)


def remembered(**changes: object) -> ReplicaState:
    return replica_state("web-1", container_id="c0ffee", ready_at=NOW - 100, **changes)


def answer(ok: bool, check: Literal["health", "readiness"] = "health", at: float = NOW) -> ProbeSample:
    return ProbeSample("c0ffee", check, at, ok, "" if ok else "answered 503")


@pytest.mark.parametrize("restarts", [None, 0, 7])
def test_restarts_before_a_container_was_adopted_are_no_crash(restarts: int | None) -> None:
    replica, events = seen(replace(RUNNING, restart_count=restarts))
    assert [event.message.split()[0] for event in events] == ["adopted"]
    assert (replica.exits.recent, replica.restarts.by_engine) == ((), restarts or 0)


@pytest.mark.parametrize("state", [state for state in ContainerState if state is not ContainerState.RUNNING])
def test_answers_of_a_container_that_runs_no_more_count_for_nothing(state: ContainerState) -> None:
    replica, _ = seen(replace(RUNNING, state=state), answer(False), before=remembered())
    assert replica.health.tally.failures == 0


def test_an_answer_of_a_container_that_runs_counts() -> None:
    replica, _ = seen(RUNNING, answer(False), before=remembered())
    assert (replica.health.verdict, replica.health.consecutive_failures) == (Verdict.HEALTHY, 1)


def test_answers_to_two_checks_of_one_moment_are_told_in_one_order_whichever_came_first() -> None:
    answers = answer(True), answer(True, "readiness")
    context: dict[str, Any] = {
        "before": replica_state("web-1", container_id="c0ffee", ready_at=None, health=Health()),
        "version": version(readiness={"path": "/ready"}),
    }
    assert seen(RUNNING, *answers, **context) == seen(RUNNING, *reversed(answers), **context)


def test_answers_are_counted_one_by_one() -> None:
    begun = replica_state("web-1").health.tally
    failed, _ = seen(RUNNING, answer(False, at=NOW - 2), answer(False, at=NOW - 1), before=remembered())
    assert failed.health.tally == Tally(begun.checks + 2, 2, 0, NOW - 1, begun.last_success_at, NOW - 1)
    well, _ = seen(RUNNING, answer(True), before=failed)
    assert well.health.tally == Tally(begun.checks + 3, 2, 1, NOW, NOW, NOW - 1)
    assert (well.health.consecutive_failures, well.health.detail) == (0, "")


def test_an_answer_to_a_check_that_is_asked_no_more_hides_none_that_came_later() -> None:
    answers = answer(True, "readiness", at=NOW - 1), answer(False, "health")
    replica, _ = seen(RUNNING, *answers, before=remembered())
    assert (replica.readiness.tally.checks, replica.health.tally.failures) == (0, 1)


def test_an_answer_from_before_a_container_was_started_again_counts_for_nothing() -> None:
    restarted = replace(RUNNING, started_at=NOW)
    replica, _ = seen(restarted, answer(ok=False, at=NOW - 1), before=remembered())
    assert replica.health.tally.failures == 0
    replica, _ = seen(restarted, answer(ok=False, at=NOW), before=remembered())
    assert replica.health.tally.failures == 1

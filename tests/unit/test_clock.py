"""A clock that is set back makes no wait longer than it is by itself."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.state.backoff import LONGEST_SECONDS
from reconciler.decide.state.clock import without_future
from reconciler.model.state import Backoff, Repetition, Rollout, State
from tests.support.records import NOW, app_state, replica_state

LATER = NOW + 3600


def test_a_memory_without_future_is_left_as_it_is() -> None:
    state = State({"web": app_state()}, {"web-1": replica_state(ready_at=NOW, crashes=(NOW,))})
    assert without_future(state, NOW) is state


def test_every_moment_of_a_replica_is_now_at_the_latest() -> None:
    ahead = Backoff(3, LATER, "CrashLoopBackOff", "keeps crashing")
    replica = replica_state(
        created_at=LATER,
        ready_at=LATER,
        unrouted_at=LATER,
        exited_at=LATER,
        disturbed_at=LATER,
        crashes=(NOW - 5, LATER),
        backoff=ahead,
        removal=ahead,
    )
    (after,) = without_future(State({}, {"web-1": replica}), NOW).replicas.values()
    soon = replace(ahead, next_at=NOW + LONGEST_SECONDS)
    assert after == replace(
        replica,
        created_at=NOW,
        ready_at=NOW,
        unrouted_at=NOW,
        exited_at=NOW,
        disturbed_at=NOW,
        crashes=(NOW - 5, NOW),
        backoff=soon,
        removal=soon,
    )


def test_every_moment_of_an_app_is_now_at_the_latest() -> None:
    app = app_state(
        rollout=Rollout(None, "abc", LATER, LATER, canary_at=LATER),
        repetitions=(Repetition("create web-1 abc", 7, LATER),),
        replacement=Backoff(1, LATER, "Unhealthy", "replaced"),
    )
    (after,) = without_future(State({"web": app}, {}), NOW).apps.values()
    assert after.rollout == Rollout(None, "abc", NOW, NOW, canary_at=NOW)
    assert after.repetitions[0].at == NOW
    assert after.replacement is not None
    assert after.replacement.next_at == NOW + LONGEST_SECONDS

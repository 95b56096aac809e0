"""What a tick has to look at before it can decide: neither less than a decision needs, nor more."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.decide.questions import Questions, questions
from reconciler.decide.state.images import noted
from reconciler.model.backoff import Backoff
from reconciler.model.reasons import Reason
from reconciler.model.state import FailedVersion, Pacing, State, Traffic
from reconciler.model.version import Version
from tests.support.apps import desired, version
from tests.support.records import NOW, app_state, replica_state

ROUTED, DRAINING = Traffic(entered=True), Traffic(entered=True, left_at=NOW)
FAILED = FailedVersion(version(image="demo:2").spec_hash, "r2", NOW, Reason.CRASH_LOOP, "it crashed")


def asked(state: State, *versions: Version) -> Questions:
    return questions(desired(*versions), state, NOW)


def with_replica(**changes: Any) -> State:
    return State(replicas={"web-1": replica_state("web-1", **changes)})


def test_requests_in_flight_are_asked_of_addresses_that_a_served_table_lacks() -> None:
    assert asked(with_replica(traffic=DRAINING)).drained == {"10.0.0.2"}
    assert asked(with_replica(traffic=DRAINING, address="")).drained == frozenset()
    assert asked(with_replica(traffic=ROUTED)).drained == frozenset()
    assert asked(with_replica()).drained == frozenset()


def test_load_is_the_mean_of_ready_replicas_that_were_not_taken_out_of_traffic() -> None:
    assert asked(with_replica(ready_at=NOW, traffic=ROUTED)).measured == {"web-1"}
    assert asked(with_replica(ready_at=NOW)).measured == {"web-1"}
    assert asked(with_replica(ready_at=NOW, traffic=DRAINING)).measured == frozenset()
    assert asked(with_replica(traffic=ROUTED)).measured == frozenset()


def test_an_app_that_the_source_lacks_is_looked_at_by_its_last_good_spec() -> None:
    old, new = version("web", replicas=1), version("web", replicas=5)
    state = State({"web": app_state("web", version=old), "gone": app_state("gone")})
    counts = {app.name: app.scaling.manual_replicas for app in asked(state, new).apps}
    assert counts == {"web": 5, "gone": 2}


def test_an_image_is_looked_for_until_it_was_seen_or_its_version_failed() -> None:
    wanted = version(image="demo:2")
    ready = app_state(image_ready=wanted.spec_hash)
    failed = app_state(failed=FAILED)
    for_another = app_state(image_ready=version(image="demo:1").spec_hash)
    assert asked(State(), wanted).images == {"demo:2"}
    assert asked(State({"web": app_state()}), wanted).images == {"demo:2"}
    assert asked(State({"web": for_another}), wanted).images == {"demo:2"}
    assert asked(State({"web": ready}), wanted).images == frozenset()
    assert asked(State({"web": failed}), wanted).images == frozenset()


def test_an_image_that_must_always_be_pulled_is_never_looked_for() -> None:
    always = version(imagePullPolicy="Always")
    assert asked(State(), always).images == frozenset()
    before = {"web": app_state(version=always)}
    assert noted(before, frozenset({"demo:1"})) == before


@pytest.mark.parametrize("seen_before", [None, "abc"])
def test_an_image_that_was_seen_needs_no_pull(seen_before: str | None) -> None:
    before = app_state(image_ready=seen_before)
    assert noted({"web": before}, frozenset({"demo:1"}))["web"].image_ready == before.version.spec_hash
    assert noted({"web": before}, frozenset({"demo:2"}))["web"] == before


@pytest.mark.parametrize(
    ("reason", "goes_on"),
    [
        (Reason.IMAGE_NOT_FOUND, True),
        (Reason.IMAGE_PULL_FAILED, True),
        (Reason.CREATE_REFUSED, False),
    ],
)
def test_an_image_that_turns_up_ends_the_back_off_of_its_lack_and_no_other(reason: Reason, goes_on: bool) -> None:
    before = app_state(pacing=Pacing(creation=Backoff(3, NOW, reason, "not to be had")))
    after = noted({"web": before}, frozenset({"demo:1"}))["web"]
    assert (after.pacing.creation is None) is goes_on

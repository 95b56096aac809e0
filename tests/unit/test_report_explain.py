"""Explanations retell decisions in the words they were made in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from reconciler.model.app_state import FailedVersion, Pacing, Rollout
from reconciler.model.backoff import Backoff
from reconciler.model.change import Change
from reconciler.model.events import Event
from reconciler.model.health import Health, Verdict
from reconciler.model.load import RecentTraffic
from reconciler.model.reasons import Reason
from reconciler.model.recorded import AppRecord, Controller
from reconciler.model.replica_state import ReplicaState
from reconciler.model.restarts import Restarts
from reconciler.model.routes import Refusal, RouteTable
from reconciler.model.scaling import Clamp, Factor, ScalingState
from reconciler.model.state import Published
from reconciler.model.status import CertificateStatus, Vitals
from reconciler.model.unrest import Unrest
from reconciler.report.explain import Subject, explained
from tests.support.apps import version
from tests.support.golden import assert_golden
from tests.support.records import (
    NOW,
    app_state,
    app_status,
    conditions,
    decision,
    published,
    replica_state,
    replica_status,
)

EDGE = "nginx 1.22.1 (process), replicas change by reload"
EVENT = Event(NOW, "scaling", "scale out from 2 to 3", "web")


def subject(record: AppRecord, **changes: Any) -> Subject:
    now, at = changes.pop("now", NOW + 12), changes.pop("seen_at", NOW + 10)
    controller = Controller("default", "1.0.0", "host", 77, NOW, at, edge=EDGE)
    fields: dict[str, Any] = {"published": published("web-1"), "events": (EVENT,), "now": now}
    return Subject(record, controller, **(fields | changes))


def scaled(estimated: bool = True) -> AppRecord:
    factors = (
        Factor("cpu", 84.7, 70.0, 1.21, "%"),
        Factor("rps", None, 50.0, None, "per replica"),
        Factor("connections", 12.0, 80.0, 0.15, "per replica", estimated=estimated),
    )
    clamps = (Clamp("maxScaleOutStep", 6, 5, "maxScaleOutStep is 3"), Clamp("maxReplicas", 5, 3, "maxReplicas is 3"))
    made = decision(raw=6, factors=factors, clamps=clamps, reason="scale out from 2 to 3: cpu is over its target")
    state = app_state(decision=made, scaling=ScalingState(3, NOW))
    waiting = replica_status("web-2", state="down", phase="starting", note="not ready yet: 1 of 2 successes")
    status = app_status(
        mode="auto",
        desired=3,
        ready=1,
        routed=1,
        replicas=(replica_status("web-1"), waiting),
        conditions=conditions(ready=False, progressing=True),
    )
    return AppRecord("web", status, state, {name: replica_state(name) for name in ("web-1", "web-2")})


def test_an_explanation_tells_the_whole_chain_of_reasons_of_a_decision() -> None:
    assert_golden("reports/explain.txt", explained(subject(scaled())))


def test_an_explanation_tells_who_changed_the_app_last() -> None:
    change = Change("1f2e3d4c5b6a79880123456789abcdef01234567", "Jane Doe", NOW - 7188, "Scale web to 3")
    record = AppRecord("web", app_status(change=change), app_state(), {})
    told = "web, as recorded 2 s ago\nchanged by Jane Doe 2 h ago in 1f2e3d4c5b6a: Scale web to 3\n\nReplicas"
    assert explained(subject(record)).startswith(told)
    assert json.loads(explained(subject(record), "json"))["status"]["last_change"]["author"] == "Jane Doe"


def test_an_explanation_without_an_edge_says_nothing_of_routed_replicas() -> None:
    controller = Controller("default", "1.0.0", "host", 77, NOW, NOW, edge="none")
    text = explained(replace(subject(scaled()), controller=controller))
    assert "3 wanted, 2 running, 1 ready (scaling is auto)" in text
    assert "REPLICA  PHASE     HEALTH   WHY\n" in text
    assert "routes */web, and no edge: replicas are reached by their addresses alone" in text


def test_an_explanation_calls_no_count_of_the_edge_an_estimate() -> None:
    assert "note:" not in explained(subject(scaled(estimated=False)))


def test_an_explanation_says_that_scaling_is_a_dry_run() -> None:
    record = AppRecord("web", app_status(), app_state(decision=decision(acted=False)))
    assert "result: 3 (not acted upon: dryRun)" in explained(subject(record))


def held_back(name: str, backoff: Backoff) -> ReplicaState:
    return replica_state(name, restarts=Restarts(backoff=backoff))


def test_an_explanation_tells_of_rollouts_failures_and_back_offs() -> None:
    state = app_state(
        rollout=Rollout("abc123", "def456", NOW - 48, NOW - 3),
        failed=FailedVersion("def456", "99887766aabb", NOW, Reason.CRASH_LOOP, "web-3 exited with code 1"),
        pacing=Pacing(creation=Backoff(2, NOW + 18, Reason.IMAGE_PULL_FAILED, "no such image")),
    )
    crashing = held_back("web-2", Backoff(4, NOW + 92, Reason.CRASH_LOOP, "exited with code 3"))
    doomed = held_back("web-1", Backoff(1, 0, Reason.START_REFUSED, "no such command", until_changed=True))
    down = tuple(replica_status(name, state="down", phase="crashed") for name in ("web-1", "web-2"))
    record = AppRecord("web", app_status(replicas=down), state, {"web-1": doomed, "web-2": crashing})
    text = explained(subject(record))
    assert "paused from abc123 to def456: started 60 s ago, last progress 15 s ago" in text
    assert "revision 99887766aabb failed 12 s ago, CrashLoopBackOff: web-3 exited with code 1" in text
    assert "ImagePullFailed: no such image (attempt 2, next try in 8 s)" in text
    assert "CrashLoopBackOff: exited with code 3 (attempt 4, next try in 88 s)" in text
    assert "StartRefused: no such command (attempt 1, not again until the spec changes)" in text


def test_an_explanation_says_what_ends_a_rollout() -> None:
    canary = version(strategy={"canary": {"holdSeconds": 300}, "onFailure": "pause"})

    def told(rollout: Rollout, **changes: Any) -> str:
        return explained(subject(AppRecord("web", app_status(), app_state(rollout=rollout, **changes))))

    waiting = Rollout("abc123", "def456", NOW, NOW)
    assert "under way from abc123 to def456: started 12 s ago" in told(waiting)
    assert "there is no version to go back to" in told(replace(waiting, from_hash=None))
    assert "rolled back in 9 min if no further replica becomes ready" in told(waiting)
    assert "paused in 9 min if no further replica becomes ready" in told(waiting, version=canary)
    analysed = replace(waiting, canary_at=NOW)
    text = told(analysed, version=canary)
    assert "canary: has its share of the traffic since 12 s ago, judged in 4 min" in text
    assert "if no further" not in text
    text = told(replace(analysed, promoted=True), version=canary)
    assert "canary: has its share of the traffic since 12 s ago, promoted" in text
    assert "if no further" in text


def test_an_explanation_of_a_suspended_app_has_no_new_decisions() -> None:
    state = app_state(version=version(suspend=True), decision=decision())
    text = explained(subject(AppRecord("web", app_status(), state)))
    assert "suspended by its spec: nothing is decided; the last decision before was this" in text


def test_an_explanation_tells_a_crash_loop_once() -> None:
    words = "CrashLoopBackOff: keeps crashing: exited with code 1"
    crashed = replica_status(state="down", phase="crashed", note=words)
    backoff = Backoff(4, NOW + 92, Reason.CRASH_LOOP, "keeps crashing: exited with code 1")
    leaving = published("web-1")
    server = replace(leaving.table.apps[0].servers[0], draining=True)
    table = RouteTable((replace(leaving.table.apps[0], servers=(server,)),))
    record = AppRecord("web", app_status(replicas=(crashed,)), app_state(), {"web-1": held_back("web-1", backoff)})
    text = explained(subject(record, published=replace(leaving, table=table)))
    assert f"web-1    crashed  healthy  no      {words} (attempt 4, next try in 88 s)" in text
    draining = AppRecord("web", app_status(replicas=(replace(crashed, state="draining"),)), app_state())
    assert "crashed  healthy  draining" in explained(subject(draining, published=replace(leaving, table=table)))


def test_an_explanation_calls_no_crash_loop_over_before_the_replica_is_ready() -> None:
    backoff = Backoff(4, NOW, Reason.CRASH_LOOP, "keeps crashing: exited with code 1")

    def told(phase: str) -> str:
        replica = replica_status(phase=phase, restarts=4, last_restarted_at=NOW - 108)
        record = AppRecord("web", app_status(replicas=(replica,)), app_state(), {"web-1": held_back("web-1", backoff)})
        return explained(subject(record))

    words = "CrashLoopBackOff: keeps crashing: exited with code 1 (attempt 4, the next is under way)"
    assert f"{words}; restarted 4 times, last 2 min ago" in told("starting")
    assert "healthy since 12 s ago; restarted 4 times, last 2 min ago" in told("ready")
    assert "CrashLoopBackOff" not in told("ready")


def test_an_explanation_tells_what_the_engine_itself_says_of_a_replica() -> None:
    status = app_status(replicas=(replica_status(engine_health="unhealthy"), replica_status("web-2")))
    text = explained(subject(AppRecord("web", status, app_state())))
    words = "healthy since 12 s ago; the Engine's own HEALTHCHECK says unhealthy, which decides nothing here"
    assert text.count(words) == text.count("HEALTHCHECK") == 1


def test_an_explanation_tells_of_replicas_that_are_replaced_again_and_again() -> None:
    status = app_status(unrest="replaced 3 times in the last hour")
    state = app_state(unrest=Unrest(replaced=(NOW - 600, NOW - 400, NOW - 168)))
    assert "replaced 3 times in the last hour, last 3 min ago" in explained(subject(AppRecord("web", status, state)))


def test_an_explanation_says_why_no_replica_is_routed() -> None:
    refused = Published(refusals=(Refusal("web", "duplicate location"), Refusal("api", "not ours")))
    record = AppRecord("web", app_status(replicas=(replica_status(health=Health()),)), app_state())
    text = explained(subject(record, published=refused))
    assert "web-1    ready  unknown  no      -" in text
    assert "routes */web, not published yet" in text
    assert "refused: duplicate location" in text
    assert "not ours" not in text


def test_an_explanation_says_which_app_serves_a_route_as_yet() -> None:
    serving = published("web-1")
    table = RouteTable((replace(serving.table.apps[0], app_name="old"),))
    text = explained(
        subject(
            AppRecord("web", app_status(routes=("*/web/", "*/api")), app_state()),
            published=replace(serving, table=table),
        )
    )
    assert "*/web is served by old as yet" in text
    assert "*/api is served" not in text


def test_an_explanation_does_not_say_since_when_health_is_unknown() -> None:
    unseen = replica_status(health=replace(replica_status().health, verdict=Verdict.UNKNOWN))
    text = explained(subject(AppRecord("web", app_status(replicas=(unseen,)), app_state())))
    assert "web-1    ready  unknown  yes     -" in text


def test_an_app_without_routes_is_reached_by_nobody() -> None:
    record = AppRecord("web", app_status(routes=()), app_state())
    assert "no routes: nothing reaches it through the edge" in explained(subject(record))


def test_an_app_that_never_had_a_good_spec_is_explained_by_its_error() -> None:
    record = AppRecord("web", app_status(count=0, error="web.yaml:1: found nothing; expected an image"))
    text = explained(subject(record, events=()))
    assert "Replicas\n  web.yaml:1: found nothing; expected an image" in text
    assert "no version has been accepted yet" in text
    assert "Last events" not in text


def test_an_explanation_of_an_old_record_says_that_it_is_old() -> None:
    assert "web, as recorded 90 s ago; the controller seems not to be running" in explained(
        subject(scaled(), now=NOW + 100)
    )


def test_an_explanation_tells_what_came_of_requests_lately_and_which_replica_failed_them() -> None:
    failing = replica_status("web-2", vitals=Vitals(traffic=RecentTraffic(300, 120, 12)))
    well = replica_status("web-1", vitals=Vitals(traffic=RecentTraffic(300, 100, 0)))
    traffic = RecentTraffic(300, 209, 1, repaired=11, given_up=3)
    status = app_status(replicas=(well, failing), traffic=traffic, warnings=("web-2 failed 10 %",))
    text = explained(subject(AppRecord("web", status, app_state())))
    assert "AsExpected\n  warning: web-2 failed 10 %\n" in text
    assert (
        """
Traffic
  209 requests in the last 5 min, 1 answered 5xx (0.5 %), 11 repaired by another replica, 3 given up by clients
  web-2 failed 12 of the 120 it was asked (10 %)

Conditions"""
        in text
    )


def test_an_explanation_tells_until_when_the_certificates_of_an_app_are_valid() -> None:
    certificate = CertificateStatus("shop", ("shop.example.com",), NOW, NOW + 40 * 86_400, "valid")
    text = explained(subject(AppRecord("web", app_status(certificates=(certificate,)), app_state())))
    assert "\n  certificate shop for shop.example.com until 2027-02-24T08:00:00.000Z (40 d)\n" in text


def test_an_explanation_of_an_app_whose_requests_are_not_known_says_nothing_of_them() -> None:
    assert "Traffic" not in explained(subject(scaled()))


def test_an_explanation_as_json_has_all_of_it() -> None:
    found = json.loads(explained(subject(scaled()), "json"))
    assert found["scaling"]["recommended"] == 6
    assert found["scaling"]["factors"][1] == {
        "metric": "rps",
        "value": None,
        "target": 50.0,
        "factor": None,
        "unit": "per replica",
    }
    assert [clamp["name"] for clamp in found["scaling"]["clamps"]] == ["maxScaleOutStep", "maxReplicas"]
    assert found["routed"] == {"web-1": "yes", "web-2": "no"}
    assert found["status"]["instances"][1]["note"] == "not ready yet: 1 of 2 successes"
    assert found["events"][0]["message"] == "scale out from 2 to 3"
    assert found["controller_running"] is True

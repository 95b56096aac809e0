"""What happens to replicas that crash, loop, or are unwell; and what does not."""

from __future__ import annotations

import contextlib
import http.client
from datetime import datetime
from typing import Any

import pytest

from tests.support.http import fetch, serves
from tests.support.runtimes import fill_memory
from tests.support.site import Site, web
from tests.support.undisturbed import undisturbed
from tests.support.waiting import eventually

pytestmark = [pytest.mark.engine, pytest.mark.nginx]


def crash(address: str) -> None:
    with contextlib.suppress(http.client.RemoteDisconnected, ConnectionResetError):
        fetch(address, "/crash")


def instance(site: Site, name: str) -> dict[str, Any]:
    """The app's first replica, as the status has it."""
    return next(iter(site.app(name).get("instances", ())), {})


def test_a_crashed_replica_is_restarted_in_place_without_a_change_of_routes(shared: Site) -> None:
    shared.deploy({"crashed.yaml": web("crashed")}, "crashed")
    before, routes = shared.ids("crashed"), len(shared.events("crashed", "routes"))
    victim = instance(shared, "crashed")
    with undisturbed(shared, "crashed"):
        crash(victim["address"])
        shared.wait(lambda: instance(shared, "crashed")["restarts"] == 1)
        shared.wait(lambda: instance(shared, "crashed")["state"] == "ready")
        shared.wait(lambda: fetch(victim["address"], "/healthz").status == 200)
    assert shared.ids("crashed") == before
    assert instance(shared, "crashed")["address"] == victim["address"]
    assert len(shared.events("crashed", "routes")) == routes
    assert not [event for event in shared.events("crashed", "action") if event.message.startswith("start")]


def test_a_crash_loop_is_paced_visibly_and_across_a_restart_of_the_controller(site: Site) -> None:
    site.commit({"loop.yaml": web("loop", replicas=1, EXIT_AFTER_MS="50", EXIT_CODE="7")})
    site.start()

    def attempts() -> int:
        return int((instance(site, "loop").get("backoff") or {}).get("attempts", 0))

    site.wait(lambda: attempts() >= 3)
    assert instance(site, "loop")["backoff"]["reason"] == "CrashLoopBackOff"
    text = site.command("status", "loop").stdout
    for words in ("CrashLoopBackOff", "attempt", "exit code 7", "exiting with code 7"):
        assert words in text
    site.stop()
    known, container = attempts(), site.ids("loop")
    next_at = datetime.fromisoformat(instance(site, "loop")["backoff"]["next_at"])
    site.start()
    site.wait(lambda: attempts() > known)
    assert attempts() == known + 1, "it went on counting"
    last = [event for event in site.events("loop", "action") if event.message.startswith("start")][-1]
    assert last.at >= next_at.timestamp(), "and did not try earlier"
    assert site.ids("loop") == container, "in place"


def test_restarts_are_counted_whoever_starts_a_replica_again_and_across_a_restart_of_the_controller(site: Site) -> None:
    """The Engine's own count begins anew with each start that is not its own."""
    names = ("counted", "away")
    site.commit({f"{name}.yaml": web(name, replicas=1, grace=0) for name in names})
    site.start()
    site.wait(lambda: all(site.app(name).get("converged") for name in names))

    def crash_once(name: str) -> None:
        address = instance(site, name)["address"]
        eventually(lambda: serves(address))
        crash(address)

    for count in range(1, 6):  # three by the Engine, and the others by the controller, which paces them
        crash_once("counted")
        site.wait(lambda wanted=count: instance(site, "counted")["restarts"] == wanted)
        site.wait(lambda: instance(site, "counted")["state"] == "ready")
    site.stop()
    crash_once("counted")
    for count in (1, 2):
        crash_once("away")
        eventually(lambda wanted=count: restarts_of_engine(site, "away-1") == wanted)
    site.start()
    site.wait(lambda: instance(site, "counted")["restarts"] == 6)
    site.wait(lambda: instance(site, "away")["restarts"] == 2)
    site.wait(lambda: instance(site, "counted")["state"] == "ready")
    assert restarts_of_engine(site, "counted-1") == 0
    assert "6 (last" in site.command("status", "counted").stdout
    assert "2 (last" in site.command("status", "away").stdout
    explanation = site.command("explain", "counted").stdout
    assert "restarted 6 times, last" in explanation
    assert "healthy since" in explanation
    assert "CrashLoopBackOff" not in explanation.partition("Last events")[0]


def restarts_of_engine(site: Site, name: str) -> int:
    return int(site.api.inspect_container(site.ids(name.rpartition("-")[0])[name])["RestartCount"])


def test_a_replica_that_needs_more_memory_than_it_may_have_is_told_so_with_its_limit(shared: Site) -> None:
    limit = "  resources: {memory: 32Mi}"
    shared.deploy({"hungry.yaml": web("hungry", replicas=1, extra=limit)}, "hungry")
    fill_memory(instance(shared, "hungry")["address"])
    words = "OOMKilled: it needed more than its limit of 32 MiB (spec.resources.memory)"
    shared.wait(lambda: [event for event in shared.events("hungry", "health") if words in event.message])
    shared.wait(lambda: instance(shared, "hungry")["state"] == "ready" and instance(shared, "hungry")["restarts"] == 1)
    assert instance(shared, "hungry")["out_of_memory"]
    assert words in instance(shared, "hungry")["note"]
    for command in (("status", "hungry"), ("explain", "hungry"), ("events", "--app", "hungry")):
        assert words in shared.command(*command).stdout, command


def test_readiness_takes_a_replica_out_of_traffic_without_replacing_it(shared: Site) -> None:
    # Well as long as it answers at all; ready as long as /healthz says so.
    liveness = "{path: /version, periodSeconds: 0.5}"
    readiness = "  readiness: {path: /healthz, periodSeconds: 0.2, failureThreshold: 2}"
    shared.deploy({"ready.yaml": web("ready", check=liveness, extra=readiness)}, "ready")
    before, victim = shared.ids("ready"), instance(shared, "ready")
    with undisturbed(shared, "ready"):
        fetch(victim["address"], "/fail-health")
        shared.wait(lambda: shared.app("ready")["replicas"]["routed"] == 1)
        assert "readiness fails" in instance(shared, "ready")["note"]
        assert instance(shared, "ready")["health"] == "healthy"
        assert victim["address"] not in "".join(shared.get("/ready/").text for _ in range(6))
        fetch(victim["address"], "/pass-health")
        shared.wait(lambda: shared.app("ready")["replicas"]["routed"] == 2)
    assert shared.ids("ready") == before


def test_a_replica_that_flaps_below_the_threshold_is_never_replaced(shared: Site) -> None:
    check = "{path: /healthz, periodSeconds: 0.2, failureThreshold: 20}"
    shared.deploy({"flapping.yaml": web("flapping", check=check)}, "flapping")
    before, victim = shared.ids("flapping"), instance(shared, "flapping")
    for _ in range(2):
        fetch(victim["address"], "/fail-health")
        shared.wait(lambda: instance(shared, "flapping")["failures"])
        fetch(victim["address"], "/pass-health")
        shared.wait(lambda: instance(shared, "flapping")["failures"] == 0)
    assert shared.ids("flapping") == before
    assert instance(shared, "flapping")["health"] == "healthy"


def test_most_replicas_unwell_together_stay_routed_and_are_replaced_one_at_a_time(shared: Site) -> None:
    check = "{path: /healthz, periodSeconds: 0.2}"
    shared.deploy({"unwell.yaml": web("unwell", replicas=3, grace=0, check=check)}, "unwell")
    before, done = shared.ids("unwell"), len(shared.events("unwell", "action"))
    with undisturbed(shared, "unwell"):
        for one in shared.app("unwell")["instances"]:
            fetch(one["address"], "/fail-health")
        shared.wait(lambda: not set(before.values()) & set(shared.ids("unwell").values()))
        shared.wait(lambda: shared.app("unwell")["converged"])
    verbs = [event.message.split()[0] for event in shared.events("unwell", "action")[done:]]
    assert verbs == ["create", "remove"] * 3
    removed = [event for event in shared.events("unwell", "action") if event.message.startswith("remove")]
    assert all("listening" in event.details["log"] for event in removed)
    assert all("answered 503, expected 2xx" in event.details["answer"] for event in removed)
    assert "listening" in shared.command("events", "--app", "unwell", "--type", "action").stdout
    assert shared.app("unwell")["unrest"] == "replaced 3 times in the last hour"

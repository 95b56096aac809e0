"""Canaries: a new version is tried on a share of the traffic, and its own requests decide."""

from __future__ import annotations

import time

import pytest

from reconciler.model.events import Event
from tests.support.engine import demo_image
from tests.support.site import Site, web
from tests.support.undisturbed import undisturbed

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

HOLD_SECONDS = 4
CANARY = f"  strategy: {{canary: {{weight: 25, holdSeconds: {HOLD_SECONDS}, minRequests: 10}}}}"


def rollout_event(site: Site, name: str, word: str) -> Event:
    found = [event for event in site.events(name, "rollout") if word in event.message]
    assert len(found) == 1, [event.message for event in site.events(name, "rollout")]
    return found[0]


def test_a_good_canary_is_promoted_and_a_bad_one_rolled_back_by_their_numbers(site: Site) -> None:
    demo_image("2")
    site.start()
    names = ("good", "bad")
    site.deploy({f"{name}.yaml": web(name, replicas=3, extra=CANARY) for name in names}, *names)
    before = site.ids("bad")
    # A GET that a replica answers with 500 is answered by another: clients of the bad canary notice nothing.
    with undisturbed(site, *names):
        site.commit(
            {
                "good.yaml": web("good", replicas=3, extra=CANARY, image="orchestry-demo:2"),
                "bad.yaml": web("bad", replicas=3, extra=CANARY, image="orchestry-demo:2", ERROR_PERCENT="40"),
            }
        )
        site.wait(lambda: all((site.app(name)["rollout"] or {}).get("canary_at") for name in names))
        held_at = time.monotonic()
        assert [len(site.app(name)["instances"]) for name in names] == [4, 4], "one beside the old ones"
        site.wait(lambda: site.app("bad")["failed_version"] and not site.app("bad")["rollout"])
        assert time.monotonic() - held_at > HOLD_SECONDS / 2
        site.wait_converged(site.git("rev-parse", "HEAD"), "good")
    assert {site.get("/good/version").text for _ in range(6)} == {"2\n"}
    assert {site.get("/bad/version").text for _ in range(6)} == {"1\n"}
    assert site.ids("bad") == before
    promoted, failed = rollout_event(site, "good", "promoted"), rollout_event(site, "bad", "failed")
    assert share(promoted) == pytest.approx(0.25, abs=0.1)
    for event in (promoted, failed):
        assert {"requests", "error_rate", "p95_latency"} <= event.details.keys()
        assert event.details["error_rate"].split()[0] in event.message
    assert site.app("bad")["failed_version"]["reason"] == "CanaryFailed"
    assert float(failed.details["error_rate"].split()[0]) == pytest.approx(40, abs=20)
    assert float(promoted.details["error_rate"].split()[0]) == 0


def share(event: Event) -> float:
    """The new version's share of the requests, from "REQUESTS (old version REQUESTS)"."""
    new, old = (int(word.strip("()")) for word in event.details["requests"].split() if word.strip("()").isdigit())
    return new / (new + old)

"""An Engine that is restarted or freezes: no good version is condemned for it, and requests go to whoever answers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.dockerd import PrivateEngine, private_engine
from tests.support.engine import playground
from tests.support.site import Site, web
from tests.support.waiting import eventually

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

AWAY_SECONDS = 25.0
DEADLINE = "  strategy: {progressDeadlineSeconds: 15}"


@contextmanager
def site_with_engine(root: Path, *options: str) -> Iterator[tuple[Site, PrivateEngine]]:
    with private_engine("10.204.0.0/16", *options) as engine, playground() as place:
        engine.build_demo("1")
        here = Site(root, place, engine)
        try:
            yield here, engine
        finally:
            engine.resume()
            here.close()
            here.api.close()


def restarted_meanwhile(engine: PrivateEngine) -> None:
    """The Engine ends, and is away for longer than the rollout may take."""
    engine.end()
    time.sleep(AWAY_SECONDS)  # the outage itself
    engine.start()


@pytest.mark.parametrize("options", [(), ("--live-restore",)], ids=["containers-end", "live-restore"])
def test_a_good_version_is_not_condemned_for_an_engine_that_is_restarted_in_mid_rollout(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with site_with_engine(tmp_path, *options) as (site, engine):
        site.start()
        site.deploy({"web.yaml": web(extra=DEADLINE)})
        revision = site.commit({"web.yaml": web(extra=DEADLINE, START_DELAY_MS="9000")})
        site.wait(lambda: "starting" in [replica["phase"] for replica in site.app()["instances"]], within_seconds=30)
        restarted_meanwhile(engine)
        site.wait_converged(revision, within_seconds=90)
        told = [event.message for event in site.events()]
        assert not [message for message in told if "failed: " in message or "next start in" in message], told
        assert site.app()["failed_version"] is None
        assert all(replica["backoff"] is None for replica in site.app()["instances"])


def answering(site: Site) -> set[str]:
    """The addresses that answer now, by many requests."""
    answers = [site.get("/web/").text for _ in range(30)]
    return {match.group(1) for text in answers if (match := re.search(r" at ([\d.]+)", text))}


def test_a_replica_that_turns_bad_while_the_engine_is_frozen_gets_no_requests_until_it_is_well(tmp_path: Path) -> None:
    with site_with_engine(tmp_path) as (site, engine):
        site.start()
        site.deploy({"web.yaml": web(replicas=3)})
        addresses = {replica["address"] for replica in site.status()["apps"][0]["instances"]}
        eventually(lambda: answering(site) == addresses, within_seconds=30)
        bad = min(addresses)
        engine.pause()
        requests.get(f"http://{bad}:8080/fail-health", timeout=5)
        eventually(lambda: answering(site) == addresses - {bad}, within_seconds=60)
        eventually(lambda: "gets no requests until it answers well" in site.command("status").stdout, within_seconds=30)
        requests.get(f"http://{bad}:8080/pass-health", timeout=5)
        eventually(lambda: answering(site) == addresses, within_seconds=60)
        engine.resume()
        eventually(lambda: site.command("status", "--exit-code").returncode == 0, within_seconds=60)
        assert answering(site) == addresses
        assert not [event for event in site.events(type="action") if "remove" in event.message]

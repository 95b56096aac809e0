"""Autoscaling on real parts: load through nginx is measured, decided on, followed, recorded and explained."""

from __future__ import annotations

import itertools
import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.engine import client
from tests.support.load import Stream, load
from tests.support.prometheus import prometheus
from tests.support.relay import Relay, relay
from tests.support.site import Site, web
from tests.support.site import site as make_site

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

ENGINE_SOCKET = "/var/run/docker.sock"
# Each request costs a replica some of its fifth of a core.
WORK = Stream("work", "/web/burn?ms=3", per_second=60.0, retries=True)
QUICK = {"minReplicas": 1, "maxReplicas": 4, "targetRPSPerReplica": 20, "windowSeconds": 2, "cooldownSeconds": 1}


def auto(**scaling: Any) -> str:
    """An app with a policy that reacts within seconds."""
    return web(scaling=json.dumps({**QUICK, **scaling}), extra="  resources: {cpu: 200m, memory: 64Mi}")


def deployed(site: Site, spec: str, *flags: str) -> None:
    revision = site.commit({"web.yaml": spec})
    site.start(*flags)
    site.wait_converged(revision)


def ready(site: Site) -> int:
    return int(site.app()["replicas"]["ready"])


def scaled_out(site: Site) -> bool:
    """Whether it was, and all that is wanted is there."""
    counts = site.app()["replicas"]
    return bool(counts["routed"] == counts["ready"] == counts["desired"] > 1)


def explained(site: Site) -> dict[str, Any]:
    done = site.command("explain", "web", "-o", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def decision(site: Site) -> dict[str, Any]:
    return dict(explained(site)["scaling"])


def factors(made: dict[str, Any]) -> dict[str, float | None]:
    return {factor["metric"]: factor["factor"] for factor in made["factors"]}


def history(site: Site) -> dict[str, Any]:
    return dict(json.loads(site.command("history", "web", "--limit", "1000", "-o", "json").stdout))


def changes(site: Site) -> list[tuple[int, int]]:
    """The counts that were decided on, oldest first."""
    made = [(one["current"], one["target"]) for one in reversed(history(site)["decisions"]) if one["acted"]]
    return [change for change in made if change[0] != change[1]]


def requests_on_record(site: Site) -> int:
    """All answers that ever were sampled."""
    return sum(sample["status_2xx"] or 0 for sample in history(site)["samples"])


def test_load_is_followed_out_and_in_and_every_step_is_told(site: Site) -> None:
    deployed(site, auto())
    with load(site.port, [WORK]) as running:
        site.wait(lambda: ready(site) == 4)
        (log,) = site.state_dir.rglob("access.log")
        log.rename(log.with_name("access.log.1"))  # as logrotate does it; somebody has to tell nginx
        site.wait(lambda: factors(decision(site))["rps"] == pytest.approx(0.75, abs=0.1))
        text = site.command("explain", "web").stdout
        told = explained(site)
    assert running.failed == {}
    site.wait(lambda: ready(site) == 1)

    assert re.search(r"^  4 since 20\S+Z \(\d+ s ago\)$", text, re.M)
    assert re.search(r"^  rps +\d+(\.\d+)? per replica +20 per replica +\d\.\d+", text, re.M)
    assert re.search(r"^  recommended: \d$", text, re.M)
    assert "no further out, since maxReplicas is 4; in when " in text
    assert told["scaling"]["current"] == 4
    assert factors(told["scaling"]).keys() == {"cpu", "memory", "rps", "latency", "connections"}
    assert told["status"]["last_scaled_at"] is not None

    made = changes(site)
    assert (made[0][0], made[-1][1]) == (1, 1)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(made)), made
    assert max(target for _, target in made) == 4
    decided = [
        (int(e.details["from"]), int(e.details["to"])) for e in site.events("web", "scaling") if "metric" in e.details
    ]
    assert made == decided
    # What four replicas come to at least, with room for a machine that has other work; how much of the load a single
    # one was seen to bear is chance.
    for metric, least in (("rps", 0.4), ("cpu", 0.2)):
        assert max(factors(one)[metric] or 0 for one in history(site)["decisions"]) > least

    sent = running.tallies["work"].sent
    site.wait(lambda: requests_on_record(site) >= sent)
    assert requests_on_record(site) == sent, "the log was renamed under way, and no request lost or counted twice"
    assert log.stat().st_size > 0


def test_restart_in_a_cooldown_keeps_it_and_the_count(site: Site) -> None:
    """Here behind an nginx that is reloaded, and so can't count connections."""
    site.environment["ORCHESTRY_EDGE_LUA"] = "off"
    deployed(site, auto(cooldownSeconds=300))
    with load(site.port, [WORK]):
        site.wait(lambda: scaled_out(site))
        before = site.app()
        site.stop(signal.SIGKILL)
        site.start()
        pid = site.controller.pid if site.controller else 0
        site.wait(lambda: site.status()["controller"]["pid"] == pid and factors(decision(site))["rps"])
        held = site.wait(lambda: next((c for c in decision(site)["clamps"] if c["name"] == "cooldown"), None))
    after = site.app()
    assert after["replicas"] == before["replicas"]
    assert after["last_scaled_at"] == before["last_scaled_at"]
    assert [i["container_id"] for i in after["instances"]] == [i["container_id"] for i in before["instances"]]
    left = re.search(r"in the cooldown of 300 s for another (\d+) s", held["reason"])
    assert left is not None
    assert explained(site)["notes"][0].startswith("connections are estimated from the access log")
    assert 100 < int(left[1]) < 300


def test_app_whose_file_got_broken_still_follows_its_load(site: Site) -> None:
    deployed(site, auto())
    site.commit({"web.yaml": auto(minReplicas="many")})
    site.wait(lambda: "scaling.minReplicas" in site.app()["error"])
    with load(site.port, [WORK]):
        site.wait(lambda: ready(site) > 1)
        assert factors(decision(site)).keys() >= {"cpu", "rps"}


def test_what_people_set_holds_whatever_the_load(site: Site) -> None:
    deployed(site, auto(dryRun=True))
    with load(site.port, [WORK]):
        dry = site.wait(lambda: one if (one := decision(site))["target"] > 1 else None)
        assert dry["reason"].startswith(f"dry run, would scale out from 1 to {dry['target']}: ")
        assert (dry["acted"], dry["next_step"]) == (False, "acts once scaling.dryRun is off")
        assert ready(site) == 1
        assert changes(site) == []

        site.wait_converged(site.commit({"web.yaml": auto(pausedAt=2)}))
        assert ready(site) == 2
        site.wait(lambda: decision(site)["reason"] == "keep 2: scaling.pausedAt holds it at 2")

        always = {"cron": "* * * * *", "timezone": "Europe/Berlin", "minReplicas": 3, "maxReplicas": 3}
        site.commit({"web.yaml": auto(schedule=[always], minReplicas=1, maxReplicas=1)})
        site.wait(lambda: ready(site) == 3)
        scheduled = [event.message for event in site.events("web", "scaling") if "metric" in event.details]
        assert scheduled[-1] == "scale out from 2 to 3: bounds hold at once, whatever the load; " + (
            "minReplicas is 3 by schedule * * * * * (Europe/Berlin)"
        )


def test_host_that_holds_no_more_is_said(site: Site) -> None:
    cores = client().info()["NCPU"]
    third = int(cores * 1000 * 0.9 / 2 * 0.7)  # so that a third one doesn't fit
    spec = web(scaling=json.dumps(QUICK), extra=f"  resources: {{cpu: {third}m, memory: 64Mi}}")
    deployed(site, spec)
    with load(site.port, [WORK]):
        site.wait(lambda: ready(site) == 2)
        refused = site.wait(lambda: next((c for c in decision(site)["clamps"] if c["name"] == "host"), None))
    assert refused["after"] == 2
    assert refused["reason"] == f"the host's cpu holds 0 more of {third}m and 64 MiB"
    assert ready(site) == 2


def test_metric_of_ones_own_drives_the_count(site: Site, tmp_path: Path) -> None:
    """A counter of Prometheus itself, which this test moves."""
    total = 'sum(prometheus_http_requests_total{handler="/-/healthy"}) or vector(0)'
    metric = {"name": "queue", "query": total, "targetPerReplica": 10}
    (tmp_path / "prometheus").mkdir()
    with prometheus(tmp_path / "prometheus") as url:
        site.environment["ORCHESTRY_PROMETHEUS_URL"] = url
        deployed(site, auto(metrics=[metric], strategy="proportional"))
        site.wait(lambda: factors(decision(site))["queue"] == 0)
        for _ in range(35):
            requests.get(f"{url}/-/healthy", timeout=5)
        site.wait(lambda: ready(site) == 4)
        grown = next(event for event in site.events("web", "scaling") if "metric" in event.details)
        assert re.match(r"scale out from 1 to 4: queue at 3\d\d % of its target \(3\d of 10 per", grown.message)
        assert grown.details["metric"] == "queue"
        wrong = {**metric, "query": "up + on() up{instance='nobody'}"}
        revision = site.commit({"web.yaml": auto(metrics=[wrong], strategy="proportional")})
        site.wait_converged(revision)
        site.wait(lambda: any("web: metric queue: the query matches no series" in n for n in site.status()["notices"]))
        site.wait(lambda: "nothing is known of queue, and that rules out scaling in" in decision(site)["reason"])
        assert ready(site) == 4


@pytest.fixture
def blind_site(tmp_path: Path) -> Iterator[tuple[Site, Relay]]:
    """A site whose controller sees no control groups, and reaches the Engine by a line that can be tampered with."""
    hide = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
    with relay(str(tmp_path / "engine.sock"), ENGINE_SOCKET) as line, make_site(tmp_path) as here:
        here.launcher = ["unshare", "--mount", "sh", "-c", hide, "sh"]
        here.environment["DOCKER_HOST"] = f"unix://{tmp_path}/engine.sock"
        yield here, line


def test_containers_that_nobody_can_measure_are_unknown_and_never_idle(blind_site: tuple[Site, Relay]) -> None:
    """Without control groups the Engine tells; when it doesn't either, nothing passes for idle."""
    site, line = blind_site
    deployed(site, auto(targetRPSPerReplica=0))
    site.wait(lambda: (factors(decision(site))["memory"] or 0) > 0)
    with load(site.port, [WORK]):
        site.wait(lambda: ready(site) > 1)
        line.refused = b"/stats?"
        site.wait(lambda: factors(decision(site))["cpu"] is None)
    site.wait(lambda: factors(decision(site))["latency"] == 0)
    site.wait(lambda: scaled_out(site))
    many = ready(site)
    time.sleep(3)
    blind = decision(site)
    assert (factors(blind)["cpu"], factors(blind)["memory"]) == (None, None)
    assert blind["target"] == blind["current"] == many
    assert "nothing is known of cpu and memory, and that rules out scaling in" in blind["reason"]
    assert "there is a value for cpu and memory" in blind["next_step"]
    line.refused = b""
    site.wait(lambda: ready(site) == 1)

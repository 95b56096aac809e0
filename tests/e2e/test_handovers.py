"""How routes move from one app to another while people use them: renamed apps, routes handed over, volumes."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from tests.support.site import Site, web
from tests.support.undisturbed import undisturbed

pytestmark = [pytest.mark.engine, pytest.mark.nginx]


def at(*names: str) -> str:
    """These routes, as YAML."""
    return ", ".join(f"{{path: /{name}, stripPrefix: true}}" for name in names)


def waits(site: Site, name: str) -> str:
    return str(site.condition("Progressing", name).get("message", ""))


def test_a_renamed_app_with_its_route_kept_fails_no_request(shared: Site) -> None:
    shared.deploy({"before.yaml": web("before", routes=at("renamed"))}, "before")
    with undisturbed(shared, "renamed"):
        after = web("after", routes=at("renamed"), START_DELAY_MS="3000")
        revision = shared.commit({"before.yaml": None, "after.yaml": after})
        shared.wait(lambda: waits(shared, "before") == "serves */renamed until after is ready")
        assert waits(shared, "after") == "before serves */renamed until this app is ready"
        shared.wait_converged(revision, "after")
        shared.wait(lambda: shared.ids("before") == {})
    assert len([event for event in shared.events("after", "routes") if "→" in event.message]) == 1


def test_a_route_handed_to_another_app_fails_no_request(shared: Site) -> None:
    shared.deploy({"giver.yaml": web("giver", routes=at("giver", "given"))}, "giver")
    before = shared.ids("giver")
    with undisturbed(shared, "giver", "given"):
        taker = web("taker", routes=at("given"), START_DELAY_MS="3000")
        shared.deploy({"giver.yaml": web("giver", routes=at("giver")), "taker.yaml": taker}, "giver", "taker")
    assert shared.ids("giver") == before


def test_a_controller_killed_while_a_route_moves_goes_on_with_it(site: Site) -> None:
    site.commit({"before.yaml": web("before", routes=at("renamed"))})
    site.converge()
    site.start()
    with undisturbed(site, "renamed"):
        after = web("after", routes=at("renamed"), START_DELAY_MS="3000")
        revision = site.commit({"before.yaml": None, "after.yaml": after})
        site.wait(lambda: site.ids("after"))
        site.stop(signal.SIGKILL)
        site.start()
        site.wait_converged(revision, "after")
        site.wait(lambda: site.ids("before") == {})


def test_of_two_apps_that_write_to_one_volume_the_old_one_ends_first(shared: Site) -> None:
    began = int(time.time())
    volume = "  volumes: [{name: moved, mountPath: /data}]"
    shared.deploy({"keeper.yaml": web("keeper", replicas=1, grace=1, routes=at("kept"), extra=volume)}, "keeper")
    heir = web("heir", replicas=1, grace=1, routes=at("kept"), extra=volume)
    revision = shared.commit({"keeper.yaml": None, "heir.yaml": heir})
    shared.wait(
        lambda: "to end first: both apps write to volume" in shared.condition("Ready", "heir").get("message", "")
    )
    shared.wait_converged(revision, "heir")
    (ended,), (created,) = moments(shared, "keeper-1", "destroy", began), moments(shared, "heir-1", "create", began)
    assert ended < created


def moments(site: Site, name: str, what: str, since: int) -> list[int]:
    """When this happened to a container, as the Engine tells it."""
    filters: dict[str, Any] = {"container": site.place.name_prefix + name, "event": what}
    events = site.api.events(since=since, until=int(time.time()) + 1, filters=filters, decode=True)
    return [event["timeNano"] for event in events]

"""One app's slowness is its own: others are released beside programs that end slowly, registries that hang and
containers that can't be removed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.engine import demo_image
from tests.support.registry import push, registry
from tests.support.relay import relay
from tests.support.site import Site, stubborn_worker, web

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

V1, V2 = "orchestry-demo:1", "orchestry-demo:2"
WORKERS = 10  # more than there are places for actions


@pytest.fixture(autouse=True)
def images() -> None:
    demo_image("1")
    demo_image("2")


def test_a_release_waits_for_no_other_apps_programs_to_end(site: Site) -> None:
    site.start()
    site.deploy({"slow.yaml": stubborn_worker("slow", WORKERS), "web.yaml": web(grace=5)}, "slow", "web")
    site.commit({"slow.yaml": stubborn_worker("slow", 0)})
    site.wait(lambda: {i["phase"] for i in site.app("slow")["instances"]} == {"stopping"})
    assert "it was asked to, and has 40 s for that" in site.condition("Progressing", "slow")["message"]
    site.deploy({"web.yaml": web(grace=5, image=V2)}, within_seconds=35)
    assert site.images() == {V2}
    assert len(site.ids("slow")) == WORKERS, "they have their grace"
    site.wait(lambda: not site.ids("slow"))
    asked = [event for event in site.events("slow", "action") if event.message.startswith("stop ")]
    assert len(asked) == WORKERS


def test_a_controller_that_comes_after_asks_no_program_to_end_twice(site: Site) -> None:
    site.start()
    site.deploy({"slow.yaml": stubborn_worker("slow", 1, grace=12)}, "slow")
    (container_id,) = site.ids("slow").values()
    site.commit({"slow.yaml": stubborn_worker("slow", 0, grace=12)})
    site.wait(lambda: {i["phase"] for i in site.app("slow")["instances"]} == {"stopping"})
    site.stop(9)
    site.start()
    site.wait(lambda: not site.ids("slow"))
    events = site.api.events(
        since=1, until=time.time(), filters={"container": container_id, "event": "kill"}, decode=True
    )
    assert [event["Actor"]["Attributes"]["signal"] for event in events] == ["15", "9"]


def test_a_release_waits_for_no_other_apps_registry(site: Site, tmp_path: Path) -> None:
    with registry(tmp_path) as address:
        host, port = address.split(":")
        push(V1, f"{address}/demo:1")
        with relay(("127.0.0.1", 0), (host, int(port))) as line:
            line.flowing.clear()
            slow = {
                f"{name}.yaml": stubborn_worker(
                    name, 1, image=f"127.0.0.1:{line.port}/demo:1", policy="Always", grace=0
                )
                for name in ("a", "b", "c", "d")
            }
            site.start()
            site.deploy({"web.yaml": web(grace=0)})
            site.commit(slow)
            site.wait(lambda: "queued behind 3 other pulls" in site.condition("Progressing", "d").get("message", ""))
            site.deploy({"web.yaml": web(grace=0, image=V2)})
            assert site.images() == {V2}
            line.flowing.set()
            site.wait(lambda: all(site.app(name)["replicas"]["ready"] == 1 for name in "abcd"))


def test_a_rollout_goes_on_without_a_container_that_can_not_be_removed(site: Site) -> None:
    site.start()
    site.deploy({"web.yaml": web(grace=1)})
    with _held(site, "web-1"):
        site.deploy({"web.yaml": web(grace=1, image=V2)})
        (remains,) = [i for i in site.app()["instances"] if i["phase"] == "remains"]
        assert remains["name"].endswith("web-1")
        assert "can't be removed" in site.app()["error"]
        assert site.app()["replicas"] == {"desired": 2, "current": 2, "ready": 2, "routed": 2}
        assert site.get("/web/version").text.strip() == "2"
    site.wait(lambda: "web-1" not in site.ids())
    site.wait(lambda: not site.app()["error"])
    assert site.images() == {V2}


@contextmanager
def _held(site: Site, name: str) -> Iterator[None]:
    """Meanwhile the Engine can't remove this container."""
    driver = site.api.inspect_container(site.ids()[name])["GraphDriver"]["Data"]
    hold = Path(driver["UpperDir"]) / "held"
    hold.touch()
    subprocess.run(["chattr", "+i", hold], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", hold], check=True)

"""What led to the moment that `make_state` records: a quarter of an hour, told to a stage that keeps a record."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.load import AppLoad, LoadSample, ReplicaLoad, VersionLoad
from reconciler.model.observed import Container, ContainerState, Host
from reconciler.ports import Record
from tests.golden.upgrade.controlled import Controlled
from tests.golden.upgrade.specs import ABSENT, BILLING, DRY_RUN, FIRST, GALLERY, SHOP, SHOP_INI, WIKI, app
from tests.support.stage import rejected, try_later

BEGAN_AT = 1_800_000_000.0


def tell(stage: Controlled) -> None:
    """Everything that led to the moment; ends with the controller stopped."""
    stage.start()
    older_samples(stage)
    first_deploys(stage)
    old_crash_loop(stage)
    adoption_and_interrupted_pull(stage)
    load_asks_for_more(stage)
    failed_rollouts(stage)
    changes_of_the_last_minute(stage)
    last_commit(stage)
    stage.stop()


def older_samples(stage: Controlled) -> None:
    """What retention leaves of samples after two days."""
    minutes = tuple(LoadSample("api", BEGAN_AT - 60 * ago, 60, 3, cpu_percent=40, rps=55) for ago in range(3, 0, -1))
    assert stage.store is not None
    stage.store.save(Record(stage.now, stage.memory, {}, samples=minutes))


def first_deploys(stage: Controlled) -> None:
    stage.host = Host(cpu_millicores=8000, memory_bytes=16 * 2**30)
    stage.foreign_addresses = frozenset({"10.0.0.5"})
    stage.loads = {
        "api": AppLoad(
            cpu_percent=45, memory_percent=30, rps=60, p95_latency_ms=40, connections=9, custom={"queue-length": 60.0}
        ),
        "accounts": AppLoad(cpu_percent=20, memory_percent=30, rps=45, p95_latency_ms=40, connections=130),
    }
    stage.commit(FIRST)
    stage.settle()


def old_crash_loop(stage: Controlled) -> None:
    """reports-1 crashes three times and is taken over; ten minutes later it has been well for so long that the Engine
    gets its restarts back."""
    for _ in range(3):
        stage.restart("reports-1", 1, "no database")
        stage.run(1)
    stage.run(5)
    stage.now += 610
    stage.run(3)


def adoption_and_interrupted_pull(stage: Controlled) -> None:
    """A wiki is committed whose containers are there. The gallery's new image is being pulled when the controller is
    killed; the next one begins anew."""
    gallery = app("gallery", GALLERY, image="gallery:2", replicas=4)
    stage.commit({"wiki.yaml": WIKI, "gallery.yaml": gallery})
    wiki = stage.desired.apps["wiki"]
    for slot in (1, 2):
        stage.containers[f"wiki-{slot}"] = Container(
            id=f"before{slot}",
            name=f"wiki-{slot}",
            app_name="wiki",
            slot=slot,
            spec_hash=wiki.spec_hash,
            revision="dir-before",
            state=ContainerState.RUNNING,
            address=f"10.0.1.{slot}",
        )
    stage.held = {"image gallery:2 of gallery"}
    stage.run(3)
    assert stage.store is not None
    stage.store.close()
    stage.held = set()
    stage.start()
    stage.run(5)
    new, old = stage.memory.apps["gallery"].version, stage.memory.apps["gallery"].stable
    assert old is not None
    stage.version_loads["gallery", new.spec_hash] = VersionLoad(60, 0.0, 21, 60)
    stage.version_loads["gallery", old.spec_hash] = VersionLoad(180, 0.0, 20, 60)
    while not (rollout := stage.memory.apps["gallery"].rollout) or not rollout.promoted:
        stage.run(1)
    sicken_second(stage, "gallery")


def load_asks_for_more(stage: Controlled) -> None:
    """The api has an unhealthy replica, is scaled out, and goes on working hard."""
    stage.sicken("api-2")
    stage.run(12)
    busy = AppLoad(
        cpu_percent=120, memory_percent=30, rps=150, p95_latency_ms=40, connections=20, custom={"queue-length": 240.0}
    )
    stage.loads["api"] = busy
    stage.run(4)
    stage.loads["api"] = replace(busy, cpu_percent=70, rps=200)
    stage.replica_loads = {"api-1": ReplicaLoad(70.5, 31.0), "shop-1": ReplicaLoad(12.25, None)}
    stage.run(4)


def failed_rollouts(stage: Controlled) -> None:
    """The new version of accounts crashes and is rolled back; the one of billing gets one replica ready, no second."""
    stage.commit({"accounts.yaml": app("accounts", image="accounts:2", more=DRY_RUN)})
    while "accounts-3" not in stage.containers:
        stage.run(1)
    for _ in range(3):
        stage.restart("accounts-3", 3, "ModuleNotFoundError: No module named 'accounts'")
        stage.run(1)
    stage.commit({"billing.yaml": app("billing", BILLING, image="billing:2", replicas=3)})
    stage.run(1)
    sicken_second(stage, "billing")
    stage.run(20)


def changes_of_the_last_minute(stage: Controlled) -> None:
    """A canary of the shop, fewer replicas of search and lab-1, and more trouble: a container that can't be removed,
    one that can't be created, one that is not ready, and one that keeps crashing."""
    shop = app("shop", *SHOP, image="shop:2", replicas=3)
    search = app("search", "terminationGracePeriodSeconds: 120", replicas=3)
    stage.failing["lab-1-2"] = try_later("EngineFailed", "remove lab-1-2: device or resource busy")
    stage.commit(
        {
            "shop.yaml": shop,
            SHOP_INI: "[shop]\ngreeting = good day\n",
            "search.yaml": search,
            "lab-1.yaml": app("lab-1", replicas=1),
        }
    )
    stage.failing["mailer-2"] = rejected("MountRefused", "create mailer-2: host path /srv/mail is not allowed")
    stage.remove("mailer-2")
    stage.sicken("lab-3-2", check="readiness")
    for _ in range(3):
        stage.restart("reports-2", 1, "no database")
        stage.run(1)
    for _ in range(4):
        stage.crash("reports-2", 1, "no database")
        while stage.containers["reports-2"].state is ContainerState.EXITED:
            stage.run(1)
    stage.crash("reports-2", 137, "no database")
    new, old = stage.memory.apps["shop"].version, stage.memory.apps["shop"].stable
    assert old is not None
    stage.version_loads["shop", new.spec_hash] = VersionLoad(50, 0.0, 21, 300)
    stage.version_loads["shop", old.spec_hash] = VersionLoad(500, 0.01, 20, 300)


def last_commit(stage: Controlled) -> None:
    """The commit after which the controller is stopped."""
    feeds = app("feeds", "routes: [{path: /feeds}, {path: /news, stripPrefix: true}]", image="feeds:2", replicas=2)
    broken = app("notes", "replicas: 1", kind="worker")
    stage.held, stage.refused = {"image feeds:2 of feeds"}, {"feeds"}
    stage.commit({"feeds.yaml": feeds, "notes.yaml": broken, **dict.fromkeys(ABSENT)})
    stage.run(8)
    assert stage.plan is not None
    assert not stage.plan.actions
    assert not stage.outcomes


def sicken_second(stage: Controlled, app_name: str) -> None:
    """Let the second replica of the new version answer badly from its first answer on."""
    target = stage.memory.apps[app_name].version.spec_hash
    while len(new := [c for c in stage.containers.values() if c.spec_hash == target]) < 2:
        stage.run(1)
    stage.sicken(new[-1].name)

"""The stories whose plans are golden: each shows one behaviour from beginning to end.

A story tells what happens (`story.commit`, `story.tell`, changes of `story.stage`) and lets time pass; the plans that
are made of it stand in ``plans/NAME.txt``. Add one by writing a function here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from reconciler.model.desired import Problem
from reconciler.model.load import AppLoad, VersionLoad
from reconciler.model.observed import Container, ContainerState
from reconciler.model.state import State
from reconciler.model.version import Version
from tests.support.apps import version
from tests.support.stage import rejected, try_later
from tests.support.story import Story

STORIES: dict[str, Callable[[Story], None]] = {}


def story(tell: Callable[[Story], None]) -> Callable[[Story], None]:
    STORIES[tell.__name__.replace("_", "-")] = tell
    return tell


def web(**spec: Any) -> Version:
    """The app most stories are about: two replicas of demo:1, drained for 3 s."""
    return version("web", **{"terminationGracePeriodSeconds": 3, **spec})


def started(story: Story, *versions: Version) -> None:
    """Everything serves already; how that came about is the first story's."""
    story.commit(*versions)
    while not story.stage.statuses or not all(s.converged for s in story.stage.statuses.values()):
        story.stage.tick()
    story.begin_here()


# -- deploying and scaling ------------------------------------------------------------------------------------------


@story
def first_deploy(story: Story) -> None:
    story.commit(web())
    story.settle()


@story
def several_apps(story: Story) -> None:
    story.commit(
        web(),
        version("api", image="api:1", replicas=1, type="tcp", ports=[{"containerPort": 9000}], health_check=None),
        version("jobs", image="jobs:1", replicas=3, type="worker"),
    )
    story.settle()


@story
def scale_out(story: Story) -> None:
    started(story, web())
    story.commit(web(replicas=4))
    story.settle()


@story
def scale_in(story: Story) -> None:
    started(story, web(replicas=4))
    story.commit(web(replicas=1))
    story.settle()


@story
def scale_to_nothing_and_back(story: Story) -> None:
    started(story, web())
    story.commit(web(replicas=0))
    story.settle()
    story.commit(web(replicas=1))
    story.settle()


@story
def scale_by_load(story: Story) -> None:
    scaling = {"minReplicas": 2, "maxReplicas": 5, "cooldownSeconds": 5}
    started(story, web(replicas=None, scaling=scaling))
    story.tell("100 requests per second come in")
    story.stage.loads["web"] = AppLoad(10, 20, rps=100, p95_latency_ms=40, connections=4)
    story.run(5)
    story.stage.loads["web"] = AppLoad(10, 20, rps=1, p95_latency_ms=4, connections=0)
    story.tell("hardly any come in")
    story.run(12)


# -- changed versions -----------------------------------------------------------------------------------------------


@story
def changed_image(story: Story) -> None:
    started(story, web())
    story.commit(web(image="demo:2"))
    story.settle()


@story
def changed_image_all_at_once(story: Story) -> None:
    started(story, web(replicas=3))
    story.commit(web(replicas=3, image="demo:2", strategy={"maxSurge": "100%"}))
    story.settle()


@story
def changed_image_by_percent(story: Story) -> None:
    started(story, web(replicas=5))
    story.commit(web(replicas=5, image="demo:2", strategy={"maxSurge": "25%", "maxUnavailable": "25%"}))
    story.settle()


@story
def changed_image_stop_first(story: Story) -> None:
    started(story, web(strategy={"maxSurge": 0}))
    story.commit(web(image="demo:2", strategy={"maxSurge": 0}))
    story.settle()


@story
def writable_volume_rolls_stop_first(story: Story) -> None:
    volumes = [{"name": "data", "mountPath": "/data"}]
    started(story, web(replicas=1, volumes=volumes))
    story.commit(web(replicas=1, volumes=volumes, image="demo:2"))
    story.settle()


@story
def changed_image_of_an_app_that_others_are_connected_to(story: Story) -> None:
    database = {"type": "tcp", "replicas": 1, "ports": [{"containerPort": 5432}], "health_check": None}
    started(story, version("db", **database), version("jobs", type="worker", replicas=1))
    story.stage.callers = {"db-1": ("10.0.0.3", "10.0.0.3", "10.9.9.9")}
    story.commit(version("db", image="demo:2", **database), version("jobs", type="worker", replicas=1))
    story.run(6)
    story.tell("two of three connections end")
    story.stage.callers = {"db-1": ("10.0.0.3",)}
    story.run(2)
    story.tell("the last one ends")
    story.stage.callers = {}
    story.settle()


@story
def changed_file(story: Story) -> None:
    mounts = [{"path": "app.ini", "mountPath": "/etc/app.ini"}]
    started(story, web(replicas=1, files={"app.ini": b"a=1"}, mounts=mounts))
    story.commit(web(replicas=1, files={"app.ini": b"a=2"}, mounts=mounts))
    story.settle()


@story
def restart_token(story: Story) -> None:
    started(story, web(replicas=1))
    story.commit(web(replicas=1, restartToken="again"))
    story.settle()


@story
def changed_health_check_recreates_nothing(story: Story) -> None:
    started(story, web())
    story.commit(web(health_check={"path": "/other"}, readiness={"path": "/ready"}, routes=[{"path": "/shop"}]))
    story.settle()


@story
def min_ready_seconds(story: Story) -> None:
    started(story, web(replicas=1))
    story.commit(web(replicas=1, image="demo:2", strategy={"minReadySeconds": 5}))
    story.settle()


@story
def retarget_in_mid_rollout(story: Story) -> None:
    started(story, web(replicas=3))
    story.commit(web(replicas=3, image="demo:2"))
    story.run(5)
    story.commit(web(replicas=3, image="demo:3"))
    story.settle()


@story
def revert_in_mid_rollout(story: Story) -> None:
    started(story, web(replicas=3))
    story.commit(web(replicas=3, image="demo:2"))
    story.run(5)
    story.commit(web(replicas=3))
    story.settle()


@story
def canary_promoted(story: Story) -> None:
    started(story, web(replicas=4))
    new = web(replicas=4, image="demo:2", strategy={"maxSurge": 2, "canary": {"weight": 10, "holdSeconds": 30}})
    story.commit(new)
    story.run(5)
    _served(story, new, VersionLoad(7, 0.0, 21, 30), VersionLoad(90, 0.0, 20, 30))
    story.run(35)
    story.tell("more requests come in")
    _served(story, new, VersionLoad(50, 0.0, 21, 30), VersionLoad(500, 0.0, 20, 30))
    story.settle()


@story
def canary_rolled_back(story: Story) -> None:
    started(story, web(replicas=2))
    new = web(replicas=2, image="demo:2", strategy={"canary": {"weight": 10, "holdSeconds": 30}})
    story.commit(new)
    _served(story, new, VersionLoad(50, 0.08, 21, 30), VersionLoad(500, 0.01, 20, 30))
    story.settle()


@story
def canary_that_fails_every_request(story: Story) -> None:
    started(story, web())
    new = web(image="demo:2", strategy={"canary": {"weight": 10, "holdSeconds": 30}})
    story.commit(new)
    _served(story, new, VersionLoad(50, 1.0, None, 30), VersionLoad(500, 0.0, 20, 30))
    story.settle()


@story
def canary_overtaken_by_its_fix(story: Story) -> None:
    started(story, web(replicas=3))
    strategy = {"canary": {"weight": 10, "holdSeconds": 30}}
    story.commit(web(replicas=3, image="demo:2", strategy=strategy))
    story.run(6)
    fix = web(replicas=3, image="demo:3", strategy=strategy)
    story.commit(fix)
    _served(story, fix, VersionLoad(50, 0.0, 21, 30), VersionLoad(500, 0.0, 20, 30))
    story.settle()


@story
def canary_overtaken_by_a_fix_without_one(story: Story) -> None:
    started(story, web(replicas=3))
    story.commit(web(replicas=3, image="demo:2", strategy={"canary": {"weight": 10, "holdSeconds": 30}}))
    story.run(6)
    story.commit(web(replicas=3, image="demo:3"))
    story.settle()


def _served(story: Story, new: Version, by_new: VersionLoad, by_old: VersionLoad) -> None:
    old = story.stage.state.apps["web"].stable
    assert old is not None
    story.stage.version_loads = {("web", new.spec_hash): by_new, ("web", old.spec_hash): by_old}


# -- rollouts that fail ---------------------------------------------------------------------------------------------


@story
def deadline_with_rollback(story: Story) -> None:
    started(story, web())
    story.stage.broken.add("demo:2")
    story.commit(web(image="demo:2", strategy={"progressDeadlineSeconds": 5}))
    story.settle()


@story
def deadline_with_pause(story: Story) -> None:
    started(story, web())
    story.stage.broken.add("demo:2")
    story.commit(web(image="demo:2", strategy={"progressDeadlineSeconds": 5, "onFailure": "pause"}))
    story.settle()


@story
def fix_of_a_failed_rollout(story: Story) -> None:
    started(story, web())
    story.stage.broken.add("demo:2")
    story.commit(web(image="demo:2", strategy={"progressDeadlineSeconds": 5}))
    story.settle()
    story.commit(web(image="demo:2", replicas=3, strategy={"progressDeadlineSeconds": 5}))
    story.settle()
    story.commit(web(image="demo:3", replicas=3))
    story.settle()


@story
def new_version_crashes(story: Story) -> None:
    started(story, web())
    story.commit(web(image="demo:2"))
    story.run(2)
    for _ in range(3):
        story.tell("web-3 exits with code 3, and the Engine restarts it")
        story.stage.restart("web-3", 3, "ModuleNotFoundError: No module named 'shop'")
        story.run(1)
    story.settle()


@story
def image_not_to_be_had(story: Story) -> None:
    started(story, web())
    story.stage.failing["image demo:2 of web"] = try_later("ImagePullFailed", "pull demo:2: manifest unknown")
    story.commit(web(image="demo:2", strategy={"progressDeadlineSeconds": 20}))
    story.settle()


@story
def image_not_to_be_had_stop_first(story: Story) -> None:
    started(story, web(strategy={"maxSurge": 0}))
    story.stage.failing["image demo:2 of web"] = try_later("ImagePullFailed", "pull demo:2: manifest unknown")
    story.commit(web(image="demo:2", strategy={"maxSurge": 0}))
    story.run(4)
    story.tell("it is pushed")
    story.stage.failing.clear()
    story.settle()


@story
def image_that_takes_its_time(story: Story) -> None:
    started(story, web(replicas=1))
    story.stage.held.add("image demo:2 of web")
    story.commit(web(replicas=1, image="demo:2"))
    story.run(5)
    story.tell("it has arrived")
    story.stage.held.clear()
    story.settle()


@story
def rejected_create(story: Story) -> None:
    started(story, web())
    story.stage.failing["web-3"] = rejected("StartRefused", "create web-3: exec: no such file: correct the spec")
    story.commit(web(image="demo:2"))
    story.settle()


@story
def rejected_first_create(story: Story) -> None:
    story.stage.failing["web-1"] = rejected("StartRefused", "create web-1: exec: no such file: correct the spec")
    story.commit(web(replicas=1, command=["/bin/wbe"]))
    story.settle()
    story.stage.failing.clear()
    story.commit(web(replicas=1, command=["/bin/web"]))
    story.settle()


# -- health and healing ---------------------------------------------------------------------------------------------


@story
def unhealthy_replica_replaced(story: Story) -> None:
    started(story, web(replicas=3))
    story.tell("web-2 fails its checks")
    story.stage.sicken("web-2")
    story.settle()


@story
def unhealthy_replica_recovers(story: Story) -> None:
    started(story, web(replicas=3))
    story.tell("web-2 fails its checks twice")
    story.stage.sicken("web-2")
    story.run(2)
    story.stage.heal()
    story.tell("it answers again")
    story.settle()


@story
def unhealthy_replica_replaced_stop_first(story: Story) -> None:
    started(story, web(strategy={"maxSurge": 0}))
    story.tell("web-2 fails its checks")
    story.stage.sicken("web-2")
    story.settle()


@story
def more_than_half_unhealthy(story: Story) -> None:
    started(story, web(replicas=3))
    story.tell("web-2 and web-3 fail their checks")
    story.stage.sicken("web-2", "web-3")
    story.settle()


@story
def all_unhealthy_stay_routed(story: Story) -> None:
    started(story, web())
    story.tell("whatever they depend on fails, so no replica answers well, nor does a new one")
    story.stage.broken.add("demo:1")
    story.run(12)
    story.tell("it is back")
    story.stage.broken.clear()
    story.settle()


@story
def readiness_fails(story: Story) -> None:
    started(story, web(readiness={"path": "/ready"}))
    story.tell("web-1 says that it is not ready")
    story.stage.sicken("web-1", check="readiness")
    story.run(5)
    story.tell("it is again")
    story.stage.heal()
    story.settle()


@story
def crash_in_place(story: Story) -> None:
    started(story, web())
    story.tell("web-1 exits with code 1, and the Engine restarts it")
    story.stage.restart("web-1")
    story.settle()


@story
def stopped_by_hand(story: Story) -> None:
    started(story, web())
    story.tell("somebody stops web-1")
    story.stage.crash("web-1", 0)
    story.settle()


@story
def crash_loop(story: Story) -> None:
    started(story, web())
    for _ in range(3):
        story.tell("web-1 exits with code 1, and the Engine restarts it")
        story.stage.restart("web-1", 1, "Traceback: the database is not there")
        story.run(1)
    for _ in range(3):
        story.tell("web-1 exits with code 1")
        story.stage.crash("web-1", 1, "Traceback: the database is not there")
        while story.stage.containers["web-1"].state is ContainerState.EXITED:
            story.run(1)
    story.settle()
    story.sleep(600)
    story.settle()


@story
def crashed_replica_retired(story: Story) -> None:
    started(story, web(replicas=3))
    story.tell("web-2 exits with code 1")
    story.stage.crash("web-2")
    story.commit(web(replicas=2))
    story.settle()


@story
def removed_by_hand(story: Story) -> None:
    started(story, web())
    story.tell("somebody removes the container web-1")
    story.stage.remove("web-1")
    story.settle()


@story
def removed_by_hand_seen_half_way(story: Story) -> None:
    started(story, web())
    story.tell("somebody removes the container web-1, which takes a moment")
    story.stage.begin_removal("web-1")
    story.run(2)
    story.tell("it is gone")
    story.stage.remove("web-1")
    story.settle()


@story
def no_progress(story: Story) -> None:
    story.commit(web(replicas=1))
    story.run(1)
    for _ in range(8):
        while not story.stage.containers:
            story.run(1)
        story.tell("something removes the container as soon as it is there")
        story.stage.containers.clear()
    story.run(5)


# -- draining -------------------------------------------------------------------------------------------------------


@story
def drain_without_known_requests(story: Story) -> None:
    started(story, web())
    story.commit(web(replicas=1))
    story.settle()


@story
def drain_with_known_requests(story: Story) -> None:
    started(story, web(terminationGracePeriodSeconds=10))
    address = story.stage.containers["web-2"].address
    assert address is not None
    story.tell("web-2 has three requests in hand")
    story.stage.open_requests[address] = 3
    story.commit(web(replicas=1, terminationGracePeriodSeconds=10))
    story.run(4)
    story.tell("they have ended")
    story.stage.open_requests[address] = 0
    story.settle()


@story
def stuck_removal(story: Story) -> None:
    started(story, web())
    story.stage.failing["remove web-2"] = try_later("EngineFailed", "remove web-2: device or resource busy")
    story.commit(web(replicas=1))
    story.run(12)
    story.tell("the device is free")
    story.stage.failing.clear()
    story.settle()


@story
def edge_refuses_the_routes(story: Story) -> None:
    started(story, web())
    story.tell("from now on nginx refuses this app's configuration")
    story.stage.refused.add("web")
    story.commit(web(image="demo:2"))
    story.run(8)
    story.tell("it takes it")
    story.stage.refused.clear()
    story.settle()


@story
def edge_is_down(story: Story) -> None:
    started(story, web())
    story.tell("nginx can't be reached")
    story.stage.down = True
    story.commit(web(replicas=1))
    story.run(8)
    story.tell("it can")
    story.stage.down = False
    story.settle()


# -- what is asked for, and what is not -----------------------------------------------------------------------------


@story
def removed_app(story: Story) -> None:
    started(story, web(), version("other", replicas=1))
    story.commit(version("other", replicas=1))
    story.settle()


@story
def empty_directory_is_held_back(story: Story) -> None:
    started(story, web(), version("other", replicas=1))
    story.commit()
    story.run(3)
    story.tell("people confirm it")
    story.stage.settings = replace(story.stage.settings, confirmed_revision="r2")
    story.settle()


@story
def too_many_removed_at_once(story: Story) -> None:
    apps = [version(name, replicas=1) for name in ("a", "b", "c", "d")]
    started(story, *apps)
    story.commit(apps[0])
    story.run(2)
    story.commit(*apps[:2])
    story.settle()


@story
def broken_spec_beside_good_ones(story: Story) -> None:
    started(story, web(replicas=1), version("other", replicas=1))
    problem = Problem("web.yaml", 7, "spec.image", "nothing", "an image", "web")
    story.commit(version("other", replicas=1, image="demo:2"), problems=[problem])
    story.settle()


@story
def suspended(story: Story) -> None:
    started(story, web())
    story.commit(web(image="demo:2", suspend=True))
    story.settle()
    story.commit(web(image="demo:2"))
    story.settle()


@story
def depends_on(story: Story) -> None:
    story.stage.broken.add("db:1")
    story.commit(web(replicas=1, dependsOn=["db"]), version("db", image="db:1", replicas=1))
    story.run(5)
    story.tell("the database answers")
    story.stage.broken.clear()
    story.settle()


# -- what is not ours, and what was forgotten -----------------------------------------------------------------------


@story
def foreign_container_of_the_same_name(story: Story) -> None:
    story.stage.foreign_names = frozenset({"web-1"})
    story.commit(web())
    story.settle()


@story
def foreign_address(story: Story) -> None:
    story.stage.foreign_addresses = frozenset({"10.0.0.2"})
    story.commit(web())
    story.settle()
    story.tell("web-1 is stopped by hand, and another container takes its address")
    story.stage.crash("web-1")
    story.stage.foreign_addresses |= {story.stage.containers["web-1"].address or ""}
    story.settle()


@story
def left_over_container(story: Story) -> None:
    started(story, web())
    story.tell("a container with our labels turns up, of an app that nobody knows")
    address, running = "10.0.9.9", ContainerState.RUNNING
    story.stage.containers["ghost-1"] = Container("ghost", "ghost-1", "ghost", 1, "0123", "r0", running, address)
    story.settle()


@story
def lost_database(story: Story) -> None:
    started(story, web(), version("jobs", image="jobs:1", replicas=2, type="worker"))
    story.tell("the database is lost")
    story.stage.state = State()
    story.stage.plan = None
    story.settle()


@story
def lost_database_in_mid_rollout(story: Story) -> None:
    started(story, web())
    story.commit(web(image="demo:2"))
    story.run(3)
    story.stage.broken.add("demo:2")
    story.tell("the database is lost, and the new version does not answer well")
    story.stage.state = State()
    story.stage.plan = None
    story.run(8)
    story.tell("it does")
    story.stage.broken.clear()
    story.settle()


@story
def creation_cut_off(story: Story) -> None:
    started(story, web())
    story.commit(web(replicas=3))
    story.run(1)
    story.tell("the controller was killed after web-3 was made, and before it was started")
    story.stage.outcomes.clear()
    story.stage.containers["web-3"] = replace(story.stage.containers["web-3"], state=ContainerState.CREATED)
    story.settle()


@story
def renamed_app_keeps_its_route(story: Story) -> None:
    at_shop: dict[str, Any] = {"replicas": 1, "routes": [{"path": "/shop"}], "terminationGracePeriodSeconds": 3}
    started(story, version("old", **at_shop))
    story.stage.broken.add("demo:2")
    story.commit(version("new", image="demo:2", **at_shop))
    story.run(6)
    story.tell("new has started at last")
    story.stage.broken.clear()
    story.settle()


@story
def renamed_app_that_writes_to_a_volume(story: Story) -> None:
    volumes = [{"name": "data", "mountPath": "/data"}]
    at_shop: dict[str, Any] = {"replicas": 1, "routes": [{"path": "/shop"}], "terminationGracePeriodSeconds": 3}
    started(story, version("old", volumes=volumes, **at_shop))
    story.commit(version("new", image="demo:2", volumes=volumes, **at_shop))
    story.settle()


@story
def clock_set_back(story: Story) -> None:
    started(story, web())
    story.commit(web(replicas=1))
    story.run(2)
    story.sleep(-3600)
    story.settle()

"""What `ports.Runtime` promises, asked of the product's runtime on a fake Engine and on a real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from reconciler.model.actions import (
    CheckCreation,
    CreateReplica,
    EnsureImage,
    GiveBackRestarts,
    RemoveReplica,
    StartReplica,
    StopReplica,
    TakeOverRestarts,
)
from reconciler.model.image import ResolvedImage, resolved
from reconciler.model.observed import Container, ContainerState, Inventory, Listener
from reconciler.model.reasons import Reason
from reconciler.model.secrets import combined
from reconciler.model.version import Version
from reconciler.ports import ActionError, AlreadyRunning, LeadershipUnknown, Rejected, TryLater, Unavailable
from reconciler.runtime.docker import DockerRuntime
from reconciler.runtime.host_paths import AllowedPath
from reconciler.runtime.translate import create_body, ownership_labels
from tests.support.apps import app, version
from tests.support.runtimes import (
    ABSENT_IMAGE,
    World,
    blind,
    docker_world,
    fake_world,
    observe,
    observe_until,
    run_foreign,
)
from tests.support.waiting import eventually

WORLDS = {"fake": fake_world, "docker": docker_world}


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.engine)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with WORLDS[request.param]() as world:
        yield world


@pytest.fixture
def ready(world: World) -> World:
    """A world whose network is prepared."""
    world.runtime.prepare()
    return world


def demo(world: World, name: str = "web", **spec: Any) -> Version:
    return version(name, image=world.image, **spec)


def creation(world: World, slot: int = 1, of: Version | None = None, address: str | None = None) -> CreateReplica:
    wanted = of or demo(world)
    first, _ = observe(world).network.bounds
    address = address or str(_address(first + slot))
    name = f"{world.place.name_prefix}{wanted.name}-{slot}"
    return CreateReplica(wanted.name, wanted, slot, name, address, replicas=1, cause="test")


def with_file(world: World) -> Version:
    files = [{"path": "conf/app.ini", "mountPath": "/etc/app/app.ini", "mode": "0440"}]
    return Version.of(app(image=world.image, files=files), "r1", "web.yaml", {"conf/app.ini": b"[app]\n"})


def _address(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def created(world: World, slot: int = 1, of: Version | None = None) -> Container:
    action = creation(world, slot, of)
    world.runtime.perform(action)
    return found(world, action.name)


def created_alone(world: World, action: CreateReplica) -> str:
    """Have the Engine create the container of an action, and do nothing else of it; the container's id."""
    body = create_body(action, world.place.instance, world.place.network, secret_of=lambda _: "")
    return str(world.api.create(body, action.name))


def found(world: World, name: str) -> Container:
    return next(container for container in observe(world).containers if container.name == name)


def names(world: World) -> list[str]:
    return sorted(container.name for container in observe(world).containers)


def removal(container: Container) -> RemoveReplica:
    return RemoveReplica(container.app_name, container.name, container.id, "test")


def stopping(container: Container) -> StopReplica:
    return StopReplica(container.app_name, container.name, container.id, "test", grace_seconds=10)


def starting(container: Container) -> StartReplica:
    return StartReplica(container.app_name, container.name, container.id, cause="test")


# Seeing


def test_observing_needs_a_network_first(world: World) -> None:
    with pytest.raises(Unavailable, match=world.place.network):
        observe(world)


def test_an_empty_host_is_observed_as_such(ready: World) -> None:
    seen = observe(ready)
    assert seen.containers == ()
    assert seen.network.name == ready.place.network
    first, last = seen.network.bounds
    assert last - first > 100


def test_a_replica_is_observed_with_all_that_the_list_tells(ready: World) -> None:
    action = creation(ready, slot=3)
    ready.runtime.perform(action)
    (seen,) = observe(ready).containers
    assert (seen.name, seen.app_name, seen.slot, seen.address) == (action.name, "web", 3, action.address)
    assert (seen.spec_hash, seen.revision) == (action.version.spec_hash, action.version.revision)
    assert seen.state is ContainerState.RUNNING
    assert seen.exit_code is None
    assert seen.id


def test_foreign_containers_are_names_and_addresses_to_avoid(ready: World) -> None:
    address = creation(ready, slot=9).address
    other = {"orchestry.managed": "true", "orchestry.instance": "another", "orchestry.app": "web"}
    run_foreign(ready, f"{ready.place.name_prefix}a", address=address)
    run_foreign(ready, f"{ready.place.name_prefix}b", labels=other)
    seen = observe(ready)
    assert seen.containers == ()
    assert {f"{ready.place.name_prefix}a", f"{ready.place.name_prefix}b"} <= seen.foreign_names
    assert address in seen.foreign_addresses


def test_labels_inherited_from_a_committed_image_make_no_replica(ready: World) -> None:
    original = ready.api.inspect_container(created(ready).id)["Config"]["Labels"]
    copied = run_foreign(ready, f"{ready.place.name_prefix}debugging-web-1", labels=original)
    seen = observe(ready)
    assert [container.slot for container in seen.containers] == [1]
    assert f"{ready.place.name_prefix}debugging-web-1" in seen.foreign_names
    ready.runtime.remove_all(grace_seconds=0)
    assert ready.api.inspect_container(copied)["State"]["Status"] == "running"


def test_a_file_inside_a_read_only_volume_is_rejected_and_leaves_nothing_behind(ready: World) -> None:
    volumes = [{"name": "data", "mountPath": "/data", "readOnly": True}]
    mounts = [{"path": "a", "mountPath": "/data/a"}]
    with pytest.raises(Rejected, match="file /data/a can't be placed, since the volume at /data is readOnly") as error:
        ready.runtime.perform(creation(ready, of=demo(ready, volumes=volumes, mounts=mounts, files={"a": b"a"})))
    assert error.value.reason == "CreateRefused"
    assert names(ready) == []


def test_labels_of_a_spec_are_the_containers_beside_ours(ready: World) -> None:
    container = created(ready, of=demo(ready, labels={"team": "shop"}))
    labels = ready.api.inspect_container(container.id)["Config"]["Labels"]
    assert (labels["team"], labels["orchestry.app"]) == ("shop", "web")


def test_a_stopped_replica_keeps_its_address(ready: World) -> None:
    container = created(ready)
    ready.api.stop(container.id, timeout=1)
    # An Engine may answer that it is stopped a moment before its list says so.
    seen = observe_until(ready, lambda now: now.containers[0].state is not ContainerState.RUNNING)
    (stopped,) = seen.containers
    assert (stopped.state, stopped.address) == (ContainerState.EXITED, container.address)


def test_a_crash_is_looked_at_closely_and_the_replica_restarted_in_place(ready: World) -> None:
    container = created(ready)
    observe(ready)
    woken = len(ready.wakes)
    ready.exit(container, 7)
    seen = restarted(ready, 1)
    assert (seen.id, seen.address, seen.exit_code) == (container.id, container.address, 7)
    assert seen.started_at is not None
    assert "exiting with code 7" in seen.last_log
    assert len(ready.wakes) > woken


def test_a_replica_can_be_asked_for_its_log_while_it_runs(ready: World) -> None:
    container = created(ready)
    eventually(lambda: "listening" in ready.runtime.log_of(container.id))
    assert found(ready, container.name).state is ContainerState.RUNNING
    ready.api.remove_container(container.id, force=True)
    assert ready.runtime.log_of(container.id) == ""


def test_images_are_known_by_whichever_name_a_spec_gives_them(ready: World) -> None:
    named = {ready.image, f"docker.io/library/{ready.image}", f"docker.io/{ready.image}"}
    images = ready.runtime.inventory().images
    assert {name for name in (*named, ABSENT_IMAGE) if resolved(name, images)} == named


def test_an_unremarkable_replica_is_never_looked_at_closely(ready: World) -> None:
    assert created(ready).restart_count is None


def test_restarts_while_no_controller_looked_are_counted_by_the_next_one(ready: World) -> None:
    container = created(ready)
    for count in (1, 2):
        ready.exit(container, 7)
        restarted(ready, count)
    other = ready.another()
    other.prepare()
    (seen,) = other.inventory().containers
    assert (seen.restart_count, seen.exit_code, seen.last_log) == (2, None, "")
    assert seen.started_at is not None


@pytest.mark.parametrize("verdict", ["starting", "unhealthy"])
def test_what_the_engines_own_check_says_of_a_replica_is_in_its_list(ready: World, verdict: str) -> None:
    image = ready.image_with_check(verdict)
    container = created(ready, of=version(image=image))
    seen = observe_until(ready, lambda now: now.containers[0].engine_health == verdict).containers[0]
    assert (seen.id, seen.restart_count) == (container.id, None)
    ready.runtime.perform(removal(container))  # before its image goes


def test_nothing_is_said_of_a_replica_that_the_engine_does_not_check(ready: World) -> None:
    assert created(ready).engine_health == ""


def test_a_kill_by_the_kernel_is_a_crash(ready: World) -> None:
    container = created(ready)
    ready.kill(container)
    seen = observe_until(ready, lambda now: now.containers[0].restart_count == 1).containers[0]
    assert seen.exit_code == 137


def test_a_replica_that_ran_out_of_memory_is_said_to_have(ready: World) -> None:
    """The kernel kills a program that doesn't fit, and nothing in its own log tells why."""
    container = created(ready, of=demo(ready, resources={"memory": "32Mi"}))
    ready.run_out_of_memory(container)
    seen = observe_until(ready, lambda now: "out of memory" in now.containers[0].last_log).containers[0]
    assert (seen.exit_code, seen.out_of_memory) == (137, True)
    observe_until(ready, lambda now: now.containers[0].state is ContainerState.RUNNING)
    ready.exit(container, 7)
    seen = observe_until(ready, lambda now: now.containers[0].exit_code == 7).containers[0]
    assert "out of memory" not in seen.last_log, "that was another time"
    assert not seen.out_of_memory


def test_every_crash_of_a_replica_is_counted(ready: World) -> None:
    container = created(ready)
    for count in (1, 2, 3):
        ready.exit(container, count)
        restarted(ready, count)


def restarted(world: World, count: int) -> Container:
    """The only replica, once it runs after so many restarts."""

    def runs_again(seen: Inventory) -> bool:
        (container,) = seen.containers
        return container.restart_count == count and container.state is ContainerState.RUNNING

    return observe_until(world, runs_again).containers[0]


# Creating


def test_creating_a_replica_that_is_there_changes_nothing(ready: World) -> None:
    before = created(ready)
    ready.runtime.perform(creation(ready))
    assert observe(ready).containers == (before,)


def test_a_creation_that_was_cut_off_is_finished(ready: World) -> None:
    """The controller died between creating the container and starting it."""
    action = creation(ready, of=with_file(ready))
    container_id = created_alone(ready, action)
    assert found(ready, action.name).state is ContainerState.CREATED
    ready.runtime.perform(action)
    seen = found(ready, action.name)
    assert (seen.id, seen.state) == (container_id, ContainerState.RUNNING)
    assert ready.file(seen, "/etc/app/app.ini") == (0o440, b"[app]\n")


def test_the_files_of_a_replica_are_in_place_before_its_start(ready: World) -> None:
    container = created(ready, of=with_file(ready))
    assert ready.file(container, "/etc/app/app.ini") == (0o440, b"[app]\n")


def test_a_foreign_container_of_the_same_name_is_left_alone(ready: World) -> None:
    action = creation(ready)
    foreign = run_foreign(ready, action.name)
    with pytest.raises(TryLater, match="not ours") as error:
        ready.runtime.perform(action)
    assert error.value.reason == "NameTaken"
    assert ready.api.inspect_container(foreign)["State"]["Status"] == "running"


def test_a_replica_of_another_version_is_in_the_way_of_its_name(ready: World) -> None:
    before = created(ready)
    with pytest.raises(TryLater) as error:
        ready.runtime.perform(creation(ready, of=demo(ready, args=["--port", "8080"])))
    assert error.value.reason == "NameTaken"
    assert observe(ready).containers == (before,)


def test_a_creation_with_an_address_in_use_fails_and_leaves_nothing_behind(ready: World) -> None:
    address = created(ready).address
    with pytest.raises(TryLater) as error:
        ready.runtime.perform(creation(ready, slot=2, address=address))
    assert error.value.reason == "AddressTaken"
    assert [container.slot for container in observe(ready).containers] == [1]


def test_a_missing_image_is_named(ready: World) -> None:
    with pytest.raises(TryLater, match="no/such") as error:
        ready.runtime.perform(creation(ready, of=version(image=ABSENT_IMAGE)))
    assert error.value.reason == "ImageMissing"


def test_secrets_are_put_into_the_environment_and_nowhere_else(ready: World, tmp_path: Path) -> None:
    (tmp_path / "database").mkdir()
    (tmp_path / "database" / "password").write_text("swordfish\n")
    variable = {"name": "DB_PASSWORD", "source": "secret", "key": "database", "field": "password"}
    runtime = ready.another(secrets_dir=tmp_path)
    action = creation(ready, of=demo(ready, environment=[variable]))
    runtime.perform(action)
    container = ready.api.inspect_container(found(ready, action.name).id)
    assert "DB_PASSWORD=swordfish" in container["Config"]["Env"]
    assert "swordfish" not in str(container["Config"]["Labels"])


def test_what_a_container_says_can_be_shown_without_its_secrets(ready: World, tmp_path: Path) -> None:
    """Also by a controller that did not create it, and after the secret has changed."""
    (tmp_path / "database").write_text("swordfish\n")
    variable = {"name": "DB_PASSWORD", "source": "secret", "key": "database"}
    action = creation(ready, of=demo(ready, environment=[variable, {"name": "HOST", "value": "db"}]))
    ready.another(secrets_dir=tmp_path).perform(action)
    (tmp_path / "database").write_text("changed\n")
    redactor = ready.another(secrets_dir=tmp_path).redactor_of(found(ready, action.name).id)
    assert redactor("postgres://app:swordfish@db is down") == "postgres://app:***@db is down"
    with pytest.raises(Unavailable):
        ready.runtime.redactor_of("0" * 64)


def test_a_replica_whose_secret_is_missing_is_not_created(ready: World, tmp_path: Path) -> None:
    variable = {"name": "DB_PASSWORD", "source": "secret", "key": "database"}
    with pytest.raises(TryLater, match="secret database") as error:
        ready.another(secrets_dir=tmp_path).perform(creation(ready, of=demo(ready, environment=[variable])))
    assert error.value.reason == "SecretMissing"
    assert observe(ready).containers == ()


DATABASE = {"name": "DB_PASSWORD", "source": "secret", "key": "database"}


def test_a_replica_gets_no_other_secret_than_those_before_it(ready: World, tmp_path: Path) -> None:
    (tmp_path / "database").write_text("swordfish\n")
    runtime, user = ready.another(secrets_dir=tmp_path), demo(ready, environment=[DATABASE])
    user = replace(user, secrets=runtime.secrets_of([user.app], now=0)["web"].digests)
    runtime.perform(creation(ready, of=user))
    (tmp_path / "database").write_text("changed\n")
    for action in (creation(ready, 2, of=user), CheckCreation("web", creation(ready, 3, of=user), "test")):
        with pytest.raises(TryLater, match="secret database has changed") as error:
            runtime.perform(action)
        assert error.value.reason == "SecretChanged"
    assert len(observe(ready).containers) == 1


def test_a_replica_tells_by_a_digest_which_secrets_it_was_made_with(ready: World, tmp_path: Path) -> None:
    (tmp_path / "database").write_text("swordfish\n")
    runtime, user = ready.another(secrets_dir=tmp_path), demo(ready, environment=[DATABASE])
    seen = runtime.secrets_of([user.app], now=0)["web"]
    runtime.perform(creation(ready, of=user))
    runtime.perform(creation(ready, 2, of=demo(ready)))
    assert [c.secrets for c in sorted(observe(ready).containers, key=lambda c: c.slot)] == [combined(seen.digests), ""]


def test_a_secret_that_can_not_be_read_is_not_seen(ready: World, tmp_path: Path) -> None:
    runtime, user = ready.another(secrets_dir=tmp_path), demo(ready, environment=[DATABASE])
    assert runtime.secrets_of([user.app], now=0) == {}


# Host paths


def mounting(world: World, path: Path, *, read_only: bool = False) -> CreateReplica:
    """The creation of a replica that mounts a path of the host."""
    volumes = [{"hostPath": str(path), "mountPath": "/data", "readOnly": read_only}]
    return creation(world, of=demo(world, volumes=volumes))


def allowing(world: World, path: Path, *, subpaths: bool = False, read_only: bool = False) -> DockerRuntime:
    """A runtime whose settings allow a host path."""
    return world.another(allow_host_paths=[AllowedPath(PurePosixPath(path), subpaths, read_only)])


def test_a_host_path_needs_permission(ready: World, tmp_path: Path) -> None:
    action = mounting(ready, tmp_path)
    with pytest.raises(TryLater, match="none are") as error:
        ready.runtime.perform(action)
    assert error.value.reason == "HostPathRefused"
    allowing(ready, tmp_path.parent, subpaths=True).perform(action)
    assert names(ready) == [action.name]


@pytest.mark.parametrize("inside", ["", "etc"])
def test_a_link_that_leads_out_of_an_allowed_directory_is_not_mounted(
    ready: World, tmp_path: Path, inside: str
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "esc").symlink_to("/")  # as whoever mounts x can make it
    with pytest.raises(TryLater, match=f"{tmp_path}/x/esc is a symbolic link to /, and none is followed") as error:
        allowing(ready, tmp_path, subpaths=True).perform(mounting(ready, tmp_path / "x" / "esc" / inside))
    assert error.value.reason == "HostPathRefused"
    assert names(ready) == []


def test_an_allowed_directory_may_itself_be_a_link(ready: World, tmp_path: Path) -> None:
    (tmp_path / "real" / "x").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    action = mounting(ready, tmp_path / "link" / "x")
    allowing(ready, tmp_path / "link", subpaths=True).perform(action)
    assert names(ready) == [action.name]


def test_a_host_path_that_may_be_read_is_mounted_by_a_volume_that_only_reads(ready: World, tmp_path: Path) -> None:
    runtime = allowing(ready, tmp_path, read_only=True)
    with pytest.raises(TryLater, match="allowed here to be read only: give the volume readOnly: true"):
        runtime.perform(mounting(ready, tmp_path))
    action = mounting(ready, tmp_path, read_only=True)
    runtime.perform(action)
    (mount,) = ready.api.inspect_container(action.name)["HostConfig"]["Mounts"]
    assert (mount["Source"], mount["ReadOnly"]) == (str(tmp_path), True)


def test_a_replica_whose_host_path_has_become_a_link_is_not_started(ready: World, tmp_path: Path) -> None:
    path, action = tmp_path / "x", mounting(ready, tmp_path / "x")
    path.mkdir()
    runtime = allowing(ready, tmp_path, subpaths=True)
    runtime.perform(action)
    container = found(ready, action.name)
    ready.api.stop(container.id, timeout=1)
    path.rename(tmp_path / "moved")
    path.symlink_to("/")
    with pytest.raises(TryLater, match=f"{path} is a symbolic link to /") as error:
        runtime.perform(starting(container))
    assert error.value.reason == "HostPathRefused"
    assert found(ready, action.name).state is ContainerState.EXITED
    path.unlink()
    (tmp_path / "moved").rename(path)
    runtime.perform(starting(container))
    assert found(ready, action.name).state is ContainerState.RUNNING


# Volumes

DATA = [{"name": "data", "mountPath": "/data"}]


def data_volume(world: World, labels: dict[str, str] | None = None) -> str:
    """Make the volume that `DATA` names, by hand; the Engine's name for it."""
    name = f"{world.place.name_prefix}data"
    world.api.create_volume(name, labels=labels)
    return name


@pytest.mark.parametrize("labels", [None, {"orchestry.managed": "true", "orchestry.instance": "another"}])
def test_a_volume_that_is_not_ours_is_neither_mounted_nor_changed(ready: World, labels: dict[str, str] | None) -> None:
    before = ready.api.inspect_volume(data_volume(ready, labels))
    with pytest.raises(TryLater, match=f"volume {before['Name']} is there and not labelled as ours") as error:
        ready.runtime.perform(creation(ready, of=demo(ready, volumes=DATA)))
    assert error.value.reason == "VolumeForeign"
    assert names(ready) == []
    assert ready.api.inspect_volume(before["Name"]) == before


def test_a_volume_of_ours_is_mounted_again_by_the_next_replica(ready: World) -> None:
    volumes = demo(ready, volumes=DATA)
    ready.runtime.perform(removal(created(ready, of=volumes)))
    assert created(ready, of=volumes).name in names(ready)


def test_a_foreign_volume_that_a_setting_lends_us_is_mounted(ready: World) -> None:
    name = data_volume(ready)
    action = creation(ready, of=demo(ready, volumes=DATA))
    ready.another(allow_volumes=[name]).perform(action)
    assert volumes_of(ready, action.name) == [name]


def test_a_foreign_volume_that_was_mounted_before_anybody_asked_stays_in_use(ready: World, tmp_path: Path) -> None:
    name, record = data_volume(ready), tmp_path / "state" / "inherited-volumes.json"
    action = creation(ready, of=demo(ready, volumes=DATA))
    created_alone(ready, action)  # as by a version that asked nothing of volumes
    ready.another(volume_record=record).prepare()
    ready.runtime.perform(removal(found(ready, action.name)))
    ready.another(volume_record=record).perform(action)
    assert volumes_of(ready, action.name) == [name]


def test_a_foreign_volume_does_not_become_ours_by_being_mounted_once(ready: World, tmp_path: Path) -> None:
    name, record = data_volume(ready), tmp_path / "inherited-volumes.json"
    action = creation(ready, of=demo(ready, volumes=DATA))
    lent = ready.another(volume_record=record, allow_volumes=[name])
    lent.prepare()
    lent.perform(action)
    unlent = ready.another(volume_record=record)
    unlent.prepare()
    ready.runtime.perform(removal(found(ready, action.name)))
    with pytest.raises(TryLater, match=name):
        unlent.perform(action)


def volumes_of(world: World, container: str) -> list[str]:
    return [mount["Source"] for mount in world.api.inspect_container(container)["HostConfig"]["Mounts"]]


# Starting


def test_a_stopped_replica_is_started_where_it_was(ready: World) -> None:
    container = created(ready)
    ready.api.stop(container.id, timeout=1)
    ready.runtime.perform(starting(container))
    again = found(ready, container.name)
    assert (again.id, again.state, again.address) == (container.id, ContainerState.RUNNING, container.address)


def test_starting_a_replica_that_runs_is_quiet(ready: World) -> None:
    container = created(ready)
    ready.runtime.perform(starting(container))
    assert found(ready, container.name).state is ContainerState.RUNNING


def test_starting_a_replica_that_is_gone_is_tried_again_later(ready: World) -> None:
    container = created(ready)
    ready.api.remove_container(container.id, force=True)
    with pytest.raises(TryLater) as error:
        ready.runtime.perform(starting(container))
    assert error.value.reason == "ContainerGone"


# Removing


def test_removing_takes_a_replica_and_repeating_it_is_quiet(ready: World) -> None:
    stays, goes = created(ready, slot=1), created(ready, slot=2)
    ready.runtime.perform(removal(goes))
    ready.runtime.perform(removal(goes))
    assert names(ready) == [stays.name]


def test_a_replica_that_is_asked_to_end_does_so_and_is_not_started_again(ready: World) -> None:
    container = created(ready)
    ready.runtime.perform(stopping(container))
    observe_until(ready, lambda seen: seen.containers[0].state is ContainerState.EXITED)
    ready.pass_time()
    assert found(ready, container.name).state is ContainerState.EXITED
    ready.runtime.perform(removal(container))
    assert names(ready) == []


def test_a_replica_is_asked_to_end_once_whichever_controller_asks(ready: World) -> None:
    container = created(ready, of=demo(ready, environment=[{"name": "IGNORE_TERM", "value": "1"}]))
    ready.runtime.perform(stopping(container))
    ready.another().perform(stopping(container))
    assert ready.signals_to(container) == [15]
    assert found(ready, container.name).state is ContainerState.RUNNING
    ready.runtime.perform(removal(container))  # which kills it
    assert names(ready) == []


def test_asking_a_replica_to_end_that_does_not_run_or_is_gone_is_quiet(ready: World) -> None:
    container, never_ran = created(ready), created_alone(ready, creation(ready, slot=2))
    ready.runtime.perform(StopReplica("web", "web-2", never_ran, "test", grace_seconds=10))
    for _ in range(2):
        ready.runtime.perform(stopping(container))
        observe_until(ready, lambda seen: not any(c.may_run for c in seen.containers))
    for container in observe(ready).containers:
        ready.runtime.perform(removal(container))
    ready.runtime.perform(stopping(container))
    assert names(ready) == []


def test_a_paused_replica_that_is_asked_to_end_goes_on_and_ends(ready: World) -> None:
    container = created(ready)
    ready.api.pause(container.name)
    ready.runtime.perform(stopping(container))
    observe_until(ready, lambda seen: seen.containers[0].state is ContainerState.EXITED)


def test_a_replica_that_is_about_to_be_restarted_is_not_once_it_was_asked_to_end(ready: World) -> None:
    container = created(ready)
    for _ in range(2):  # the second time it is restarted after a moment
        ready.exit(container, 3)
        observe_until(ready, lambda seen: seen.containers[0].restart_count in (1, 2))
    ready.runtime.perform(stopping(container))
    observe_until(ready, lambda seen: seen.containers[0].state is ContainerState.EXITED)


def test_a_replica_that_does_not_run_is_removed_too(ready: World) -> None:
    container = created(ready)
    ready.api.stop(container.id, timeout=1)
    ready.runtime.perform(removal(container))
    assert names(ready) == []


def test_what_is_not_ours_is_never_stopped_removed_or_changed(ready: World) -> None:
    foreign = run_foreign(ready, f"{ready.place.name_prefix}web-1")
    observe(ready)
    for action in (
        StopReplica("web", "web-1", foreign, "test", grace_seconds=10),
        RemoveReplica("web", "web-1", foreign, "test"),
        StartReplica("web", "web-1", foreign, cause="test"),
        TakeOverRestarts("web", "web-1", foreign, cause="test"),
        GiveBackRestarts("web", "web-1", foreign, cause="test"),
    ):
        with pytest.raises(Rejected, match="left alone") as error:
            ready.runtime.perform(action)
        assert error.value.reason == "NotOurs"
    assert ready.api.inspect_container(foreign)["State"]["Status"] == "running"


def test_named_volumes_outlive_their_replicas_and_carry_the_instance_in_their_name(ready: World) -> None:
    volumes = [{"name": "data", "mountPath": "/data"}]
    ready.runtime.perform(removal(created(ready, of=demo(ready, volumes=volumes))))
    name = f"{ready.place.instance}-data"
    labels = {"label": [f"orchestry.instance={ready.place.instance}"]}
    assert [volume["Name"] for volume in ready.api.volumes(filters=labels)["Volumes"]] == [name]


# Restarts


def test_after_a_take_over_the_engine_restarts_nothing(ready: World) -> None:
    container = created(ready)
    observe(ready)
    ready.runtime.perform(TakeOverRestarts("web", container.name, container.id, cause="test"))
    ready.exit(container, 3)
    seen = observe_until(ready, lambda now: now.containers[0].state is ContainerState.EXITED).containers[0]
    ready.pass_time()
    assert (seen.exit_code, seen.restart_count) == (3, 0)
    assert found(ready, container.name).state is ContainerState.EXITED


def test_restarts_given_back_are_the_engines_again(ready: World) -> None:
    container = created(ready)
    observe(ready)
    ready.runtime.perform(TakeOverRestarts("web", container.name, container.id, cause="test"))
    ready.runtime.perform(GiveBackRestarts("web", container.name, container.id, cause="test"))
    ready.exit(container, 3)
    assert restarted(ready, 1).id == container.id


# Images


@pytest.mark.parametrize("policy", ["IfNotPresent", "Never"])
def test_an_image_that_is_there_is_not_asked_for(ready: World, policy: str) -> None:
    ready.runtime.perform(EnsureImage("web", demo(ready, imagePullPolicy=policy), cause="test"))


@pytest.mark.parametrize(
    ("policy", "reason"),
    [("IfNotPresent", "ImagePullFailed"), ("Always", "ImagePullFailed"), ("Never", "ImageNotFound")],
)
def test_an_image_that_can_not_be_had_is_a_named_error(ready: World, policy: str, reason: str) -> None:
    wanted = version(image=ABSENT_IMAGE, imagePullPolicy=policy)
    with pytest.raises(TryLater, match="no/such:image") as error:
        ready.runtime.perform(EnsureImage("web", wanted, cause="test"))
    assert error.value.reason == reason


def test_a_replica_is_made_from_the_build_that_was_resolved_whatever_its_tag_means_by_now(ready: World) -> None:
    image = resolved(ready.image, observe(ready).images)
    container = created(ready, of=replace(version(image="moved:1"), image=image))
    assert image is not None
    assert found(ready, container.name).image_id == image.id


def test_a_replica_tells_when_its_container_was_made(ready: World) -> None:
    first, second = (created(ready, slot).created_at for slot in (1, 2))
    assert first is not None
    assert second is not None
    assert 0 < first <= second


def test_a_build_that_is_gone_and_came_from_no_registry_is_waited_for(ready: World) -> None:
    gone = replace(demo(ready), image=ResolvedImage(f"sha256:{'a' * 64}"))
    with pytest.raises(TryLater, match="no longer on this host and came from no registry") as error:
        ready.runtime.perform(EnsureImage("web", gone, cause="test"))
    assert error.value.reason == "ImageNotFound"


# Neighbours


def test_the_death_of_a_neighbour_is_told_at_once(ready: World) -> None:
    """Of a container that is no replica of ours: nginx in a container is one."""
    name, deaths, wakes = f"{ready.place.name_prefix}nginx", list[str](), list[None]()
    runtime = ready.another(on_death_of={name: lambda: deaths.append(name)}, wake=lambda: wakes.append(None))
    runtime.prepare()
    for other in (name, f"{name}-2"):
        run_foreign(ready, other)
    created(ready)
    eventually(lambda: wakes)  # it follows events
    ready.api.kill(f"{name}-2")
    assert not deaths
    ready.api.kill(name)
    eventually(lambda: deaths == [name])


# The init process, and the log


def host_config(world: World, container: Container) -> dict[str, Any]:
    return dict(world.api.inspect_container(container.id)["HostConfig"])


def test_a_replica_has_an_init_process_only_where_its_spec_asks_for_one(ready: World) -> None:
    plain, wanted, refused = (created(ready, slot, of) for slot, of in enumerate(_with_init(ready), start=1))
    assert host_config(ready, plain).get("Init") is None  # the Engine decides
    assert host_config(ready, wanted)["Init"] is True
    assert host_config(ready, refused)["Init"] is False


def _with_init(world: World) -> tuple[Version, Version, Version]:
    return demo(world), demo(world, init=True), demo(world, init=False)


def test_the_log_of_a_replica_is_bounded_where_the_engine_would_let_it_grow(ready: World) -> None:
    for slot in (1, 2):
        log = host_config(ready, created(ready, slot))["LogConfig"]
        assert log == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}


def test_the_log_of_a_replica_is_bounded_as_its_spec_says(ready: World) -> None:
    both = created(ready, 1, demo(ready, logging={"maxSize": "1Mi", "maxFiles": 5}))
    assert host_config(ready, both)["LogConfig"]["Config"] == {"max-size": "1048576", "max-file": "5"}
    size = created(ready, 2, demo(ready, logging={"maxSize": "2M"}))
    assert host_config(ready, size)["LogConfig"]["Config"] == {"max-size": "2000000", "max-file": "3"}
    files = created(ready, 3, demo(ready, logging={"maxFiles": 2}))
    assert host_config(ready, files)["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "2"}


def test_replicas_of_the_first_edition_of_defaults_are_alike_in_their_logs(ready: World) -> None:
    container = created(ready, of=replace(demo(ready), defaults=1))
    assert host_config(ready, container)["LogConfig"]["Config"] == {}
    assert host_config(ready, container)["Init"] is False


def test_to_see_what_the_engine_does_with_logs_leaves_nothing_behind(ready: World) -> None:
    labels = ownership_labels(ready.place.instance)
    left = f"{ready.place.name_prefix}orchestry-log-check"  # by one that was cut off
    ready.api.create({"Image": ready.image, "Labels": labels, "HostConfig": {"NetworkMode": "none"}}, left)
    created(ready)
    assert observe(ready).foreign_names & {left, "orchestry-log-check"} == set()


def test_connections_to_a_replica_whose_process_can_not_be_seen_are_unknown(ready: World) -> None:
    container = created(ready)
    assert container.address
    elsewhere = Listener(container.id, "10.255.255.1", frozenset({8080}))
    gone = Listener("0" * 64, container.address, frozenset({8080}))
    assert ready.runtime.callers_of([elsewhere, gone]) == {}


# What would be created


def own_names(world: World) -> set[str]:
    """Names of containers, whosever they are, without those of other tests that run at the same time."""
    seen = observe(world)
    names = {*seen.foreign_names, *(container.name for container in seen.containers)}
    return {name for name in names if world.place.instance in name}


def test_a_creation_that_is_checked_leaves_nothing_behind(ready: World) -> None:
    before = own_names(ready)
    ready.runtime.perform(CheckCreation("web", creation(ready, of=with_file(ready), address=""), cause="test"))
    assert own_names(ready) == before


def test_a_check_tells_what_the_creation_would_be_refused_for(ready: World, tmp_path: Path) -> None:
    missing = demo(ready, volumes=[{"hostPath": str(tmp_path / "missing"), "mountPath": "/data"}])
    runtime = ready.another(allow_host_paths=[AllowedPath(PurePosixPath(tmp_path), True, False)])
    with pytest.raises(ActionError) as error:
        runtime.perform(CheckCreation("web", creation(ready, of=missing, address=""), cause="test"))
    assert error.value.reason == "HostPathMissing"


def test_what_a_check_that_was_cut_off_has_left_is_nobodys_replica_and_in_nobodys_way(ready: World) -> None:
    action = creation(ready, address="")
    left = f"{action.name}-check"
    labels = ownership_labels(ready.place.instance)
    ready.api.create({"Image": ready.image, "Labels": labels, "HostConfig": {"NetworkMode": "none"}}, left)
    assert observe(ready).containers == ()
    ready.runtime.perform(CheckCreation("web", action, cause="test"))
    assert left not in observe(ready).foreign_names
    ready.api.create({"Image": ready.image, "Labels": labels, "HostConfig": {"NetworkMode": "none"}}, left)
    ready.runtime.remove_all()
    ready.runtime.prepare()
    assert left not in observe(ready).foreign_names


# The network


def test_preparing_the_runtime_again_changes_nothing(ready: World) -> None:
    before = observe(ready).network
    ready.runtime.prepare()
    second = ready.another()
    second.prepare()
    assert second.inventory().network == before
    assert len(ready.api.networks(names=[ready.place.network])) == 1


def test_a_network_that_was_removed_is_noticed_and_made_anew(ready: World) -> None:
    before = observe(ready).network
    container = created(ready)
    ready.api.stop(container.id, timeout=1)
    ready.api.remove_network(ready.place.network)
    while not blind(ready):
        pass
    ready.runtime.prepare()
    assert observe(ready).network == before
    ready.runtime.perform(starting(container))
    again = found(ready, container.name)
    assert (again.state, again.address) == (ContainerState.RUNNING, container.address)


def test_a_creation_after_the_network_went_is_tried_again_later(ready: World) -> None:
    action = creation(ready)
    unaware = ready.another()
    unaware.survey()
    ready.api.remove_network(ready.place.network)
    with pytest.raises(TryLater) as error:
        unaware.perform(action)
    assert error.value.reason == "NetworkMissing"
    with pytest.raises(Unavailable):
        unaware.inventory()


def test_a_network_without_a_subnet_is_refused(world: World) -> None:
    with pytest.raises(Rejected, match="--network NAME") as error:
        world.another(network="none").prepare()
    assert error.value.reason == "NetworkUnfit"


def test_a_foreign_network_is_used_and_stays(world: World) -> None:
    world.api.create_network(world.place.network, labels={}, ipam=None)
    world.runtime.prepare()
    with pytest.raises(TryLater, match="user configured subnets") as error:
        world.runtime.perform(creation(world))
    assert error.value.reason == "NetworkUnfit"
    assert world.runtime.remove_all().networks == ()
    assert len(world.api.networks(names=[world.place.network])) == 1


def test_a_survey_of_the_engine_creates_nothing(world: World) -> None:
    world.runtime.survey()
    assert observe(world).network.name == world.place.network
    assert world.api.networks(names=[world.place.network]) == []


# All of it


def test_removing_all_takes_what_is_ours_and_nothing_else(ready: World) -> None:
    mine = created(ready, of=demo(ready, volumes=[{"name": "data", "mountPath": "/data"}]))
    foreign = run_foreign(ready, f"{ready.place.name_prefix}foreign")
    removable = ready.runtime.removable()
    assert (removable.containers, removable.networks) == ((mine.name,), {ready.place.network: ()})
    assert removable.volumes == (f"{ready.place.instance}-data",)
    assert names(ready) == [mine.name]
    removed = ready.runtime.remove_all(grace_seconds=0)
    assert (removed.containers, removed.networks) == ((mine.name,), (ready.place.network,))
    assert removed.kept_volumes == (f"{ready.place.instance}-data",)
    assert ready.api.inspect_container(foreign)["State"]["Status"] == "running"
    assert ready.another().remove_all().containers == ()


def test_removing_all_asks_every_program_to_end_and_kills_who_has_not_when_their_time_is_over(ready: World) -> None:
    stubborn = demo(ready, environment=[{"name": "IGNORE_TERM", "value": "1"}])
    obeys, *others = created(ready), created(ready, 2, of=stubborn), created(ready, 3, of=stubborn)
    removed = ready.runtime.remove_all(grace_seconds=1)
    assert removed.containers == tuple(sorted(container.name for container in (obeys, *others)))
    assert ready.signals_to(obeys) == [15]
    assert [ready.signals_to(container) for container in others] == [[15, 9], [15, 9]]


def test_a_network_that_others_use_stays_when_all_is_removed(ready: World) -> None:
    run_foreign(ready, f"{ready.place.name_prefix}visitor", address=creation(ready, slot=9).address)
    assert ready.runtime.removable().networks == {ready.place.network: (f"{ready.place.name_prefix}visitor",)}
    removed = ready.runtime.remove_all(grace_seconds=0)
    assert (removed.networks, removed.kept_networks) == ((), (ready.place.network,))


def test_two_instances_do_not_see_each_others_replicas(ready: World) -> None:
    mine = created(ready)
    other = ready.another(instance=f"{ready.place.instance}-b")
    other.prepare()
    seen = other.inventory()
    assert seen.containers == ()
    assert mine.name in seen.foreign_names
    assert mine.address in seen.foreign_addresses


def test_the_host_has_a_size_and_the_engine_an_identity(ready: World) -> None:
    capacity = ready.runtime.host_capacity()
    assert capacity.cpu_millicores >= 1000
    assert capacity.memory_bytes > 2**20
    assert observe(ready).capacity == capacity
    assert ready.runtime.engine_id() == ready.another().engine_id()


# Who may


def taken_over() -> None:
    raise AlreadyRunning("another controller has taken over")


def unanswered() -> None:
    raise LeadershipUnknown("the database does not answer")


def test_a_runtime_whose_controller_was_followed_by_another_changes_nothing(ready: World) -> None:
    container = created(ready)
    stale = ready.another(fence=taken_over)
    stale.prepare()
    for action in (removal(container), creation(ready, 2), starting(container)):
        with pytest.raises(AlreadyRunning, match="has taken over"):
            stale.perform(action)
    assert [(c.name, c.id, c.state) for c in observe(ready).containers] == [
        (container.name, container.id, ContainerState.RUNNING)
    ]


def test_an_action_is_tried_again_where_it_can_not_be_told_who_leads(ready: World) -> None:
    container = created(ready)
    with pytest.raises(TryLater, match=f"remove {container.name}: the database does not answer") as failed:
        ready.another(fence=unanswered).perform(removal(container))
    assert failed.value.reason == Reason.LEADERSHIP_UNKNOWN
    assert found(ready, container.name).state is ContainerState.RUNNING


def test_it_is_asked_who_leads_before_each_call_of_an_action(ready: World) -> None:
    # Two calls find out what the Engine does with logs, and the third creates the container.
    answers = iter((*3 * (lambda: None,), taken_over))
    action = creation(ready)
    with pytest.raises(AlreadyRunning):
        ready.another(fence=lambda: next(answers)()).perform(action)
    assert found(ready, action.name).state is ContainerState.CREATED
    ready.runtime.perform(action)
    assert found(ready, action.name).state is ContainerState.RUNNING


def test_a_network_is_not_made_where_it_can_not_be_told_who_leads(world: World) -> None:
    with pytest.raises(Unavailable, match="the database does not answer"):
        world.another(fence=unanswered).prepare()
    assert not world.api.networks(names=[world.place.network])

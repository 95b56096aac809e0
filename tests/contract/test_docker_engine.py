"""What only a real Engine can show: limits in force, signals, registries, broken lines, TLS, races."""

from __future__ import annotations

import gc
import io
import json
import socket
import subprocess
import sys
import tarfile
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from docker.errors import APIError

from reconciler.model.actions import CreateReplica, EnsureImage, RemoveReplica, StopReplica
from reconciler.model.image import resolved
from reconciler.model.observed import Container, ContainerState, Listener
from reconciler.ports import Rejected, TryLater, Unavailable
from reconciler.runtime.docker import DockerRuntime
from reconciler.runtime.host_paths import AllowedPath
from tests.support.apps import version
from tests.support.dockerd import private_engine
from tests.support.engine import Playground, client, demo_image
from tests.support.http import fetch, serves
from tests.support.registry import PASSWORD, USER, push, registry
from tests.support.relay import make_certificates, relay
from tests.support.runtimes import DockerWorld, World, docker_world, observe, observe_until, run_foreign
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine

ENGINE_SOCKET = "/var/run/docker.sock"


@pytest.fixture
def world() -> Iterator[World]:
    with docker_world() as world:
        world.runtime.prepare()
        yield world


def creation(world: World, slot: int = 1, **spec: Any) -> CreateReplica:
    first = observe(world).network.first_address.rpartition(".")[0]
    wanted = version(**{"image": world.image, **spec})
    name = f"{world.place.name_prefix}web-{slot}"
    return CreateReplica("web", wanted, slot, name, f"{first}.{slot + 10}", replicas=1, cause="test")


def created(world: World, slot: int = 1, **spec: Any) -> Container:
    action = creation(world, slot, **spec)
    world.runtime.perform(action)
    return next(container for container in observe(world).containers if container.name == action.name)


def removal(container: Container) -> RemoveReplica:
    return RemoveReplica("web", container.name, container.id, "test")


def stopping(container: Container) -> StopReplica:
    return StopReplica("web", container.name, container.id, "test", grace_seconds=10)


def environment(**variables: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]


# Defaults of the Engine


@contextmanager
def engine_with(*options: str) -> Iterator[World]:
    """A world on an Engine of its own, started with these options."""
    with private_engine("10.203.0.0/16", *options) as engine, engine.as_default():
        engine.build_demo()
        with closing(DockerWorld(Playground("test", "orchestry-test"))) as world:
            world.runtime.prepare()
            yield world


def log_config(world: World, container: Container) -> tuple[str, dict[str, str]]:
    config = world.api.inspect_container(container.id)["HostConfig"]["LogConfig"]
    return config["Type"], config["Config"]


def test_what_an_engine_does_by_itself_is_its_own_to_say() -> None:
    with engine_with("--init", "--log-opt", "max-size=7m", "--log-opt", "mode=non-blocking") as world:
        plain = created(world)
        assert log_config(world, plain) == ("json-file", {"max-size": "7m", "mode": "non-blocking"})
        assert first_process(world, plain) == "docker-init"
        alone = created(world, 2, init=False, logging={"maxFiles": 2})
        assert log_config(world, alone)[1] == {"max-size": "7m", "max-file": "2", "mode": "non-blocking"}
        assert first_process(world, alone) != "docker-init"
        sized = created(world, 3, logging={"maxSize": "1M"})
        assert log_config(world, sized)[1] == {"max-size": "1000000", "mode": "non-blocking"}


def test_a_log_that_an_engine_would_let_grow_is_bounded_with_the_rest_of_its_options() -> None:
    with engine_with("--log-driver", "local", "--log-opt", "compress=false") as world:
        bounded = {"max-size": "10m", "max-file": "3", "compress": "false"}
        assert log_config(world, created(world)) == ("local", bounded)
        assert first_process(world, created(world, 2, init=True)) == "docker-init"


def test_a_log_driver_that_takes_no_bounds_is_given_none_by_itself_and_refuses_those_of_a_spec() -> None:
    options = ("--log-driver", "syslog", "--log-opt", "syslog-address=udp://127.0.0.1:5514")
    with engine_with(*options) as world:
        assert log_config(world, created(world)) == ("syslog", {"syslog-address": "udp://127.0.0.1:5514"})
        with pytest.raises(Rejected, match="unknown log opt 'max-.*leave `logging` out of the spec") as refusal:
            created(world, 2, logging={"maxSize": "1M"})
        assert refusal.value.reason == "CreateRefused"
        assert len(observe(world).containers) == 1


def first_process(world: World, container: Container) -> str:
    pid = world.api.inspect_container(container.id)["State"]["Pid"]
    return Path(f"/proc/{pid}/comm").read_text().strip()


# Connections


def test_who_has_a_connection_open_to_a_replica_is_seen_and_nobody_else(world: World) -> None:
    container = created(world)
    listener = Listener(container.id, str(container.address), frozenset({8080}))
    eventually(lambda: serves(container.address))
    eventually(lambda: world.runtime.callers_of([listener]) == {container.id: ()})
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection((listener.address, 8080), timeout=20))
        callers = world.runtime.callers_of([listener])[container.id]
        gateway = observe(world).network.first_address.rpartition(".")[0] + ".1"
        assert callers == (gateway, gateway)
        assert world.runtime.callers_of([replace(listener, ports=frozenset({9090}))]) == {container.id: ()}
    eventually(lambda: world.runtime.callers_of([listener]) == {container.id: ()})


def test_what_a_replica_has_opened_itself_is_no_connection_to_it(world: World) -> None:
    one, other = created(world), created(world, 2)
    eventually(lambda: serves(other.address))
    pid = world.api.inspect_container(one.id)["State"]["Pid"]
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", CONNECT, str(other.address)]
    listeners = [Listener(c.id, str(c.address), frozenset({8080})) for c in (one, other)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as caller:
        expected = {one.id: (), other.id: (one.address,)}
        eventually(lambda: world.runtime.callers_of(listeners) == expected)
        caller.communicate()  # at the end of its input it ends


CONNECT = "import socket, sys; client = socket.create_connection((sys.argv[1], 8080)); sys.stdin.read()"


# Containers


def test_a_replicas_limits_network_and_restart_policy_are_in_force(world: World) -> None:
    limits = {"cpu": "250m", "memory": "32Mi", "pids": 40}
    volumes = [{"name": "data", "mountPath": "/data", "readOnly": True}]
    container = created(world, resources=limits, volumes=volumes, workingDir="/work", args=["--port", "8080"])
    found = world.api.inspect_container(container.id)
    host = found["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (32 * 2**20, 32 * 2**20)
    assert (host["NanoCpus"], host["PidsLimit"]) == (250_000_000, 40)
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert found["Config"]["WorkingDir"] == "/work"
    assert found["Args"] == ["--port", "8080"]
    (mount,) = found["Mounts"]
    assert (mount["Name"], mount["Destination"], mount["RW"]) == (f"{world.place.instance}-data", "/data", False)
    aliases = found["NetworkSettings"]["Networks"][world.place.network]["Aliases"]
    assert {"web", container.name} <= set(aliases)


def test_a_command_replaces_the_images_entrypoint(world: World) -> None:
    container = created(world, command=["/demo", "--worker"], type="worker")
    assert world.api.inspect_container(container.id)["Path"] == "/demo"
    eventually(lambda: b"working" in world.api.logs(container.id))


def test_what_the_spec_says_of_its_instance_is_true(world: World) -> None:
    variables = [{"name": "INSTANCE_IP", "source": "sdk", "key": "instance.ip"}]
    container = created(world, environment=variables)
    eventually(lambda: serves(container.address))
    assert fetch(container.address, "/").body.endswith(f" at {container.address}\n".encode())


@pytest.mark.parametrize("spec", [{"command": ["/nosuch"]}, {"command": ["/etc"]}, {"workingDir": "/demo"}])
def test_a_program_that_can_not_be_started_is_rejected_and_leaves_nothing_behind(
    world: World, spec: dict[str, Any]
) -> None:
    with pytest.raises(Rejected):
        world.runtime.perform(creation(world, **spec))
    assert observe(world).containers == ()


def test_a_replica_that_makes_a_link_in_a_shared_directory_leads_no_other_out_of_it(
    world: World, tmp_path: Path
) -> None:
    runtime = world.another(allow_host_paths=[AllowedPath(PurePosixPath(tmp_path), subpaths=True)])
    runtime.perform(creation(world, volumes=[{"hostPath": str(tmp_path), "mountPath": "/data"}]))
    (container,) = observe(world).containers
    world.api.put_archive(container.id, "/data", archived("esc", link_to="/"))
    assert (tmp_path / "esc").is_symlink()
    with pytest.raises(TryLater, match=f"{tmp_path}/esc is a symbolic link to /"):
        runtime.perform(creation(world, 2, volumes=[{"hostPath": f"{tmp_path}/esc/etc", "mountPath": "/data"}]))
    assert observe(world).containers == (container,)


def test_a_host_path_that_may_only_be_read_can_not_be_written(world: World, tmp_path: Path) -> None:
    volumes = [{"hostPath": str(tmp_path), "mountPath": "/data", "readOnly": True}]
    runtime = world.another(allow_host_paths=[AllowedPath(PurePosixPath(tmp_path), read_only=True)])
    runtime.perform(creation(world, volumes=volumes))
    (container,) = observe(world).containers
    with pytest.raises(APIError, match="read-only"):
        world.api.put_archive(container.id, "/data", archived("file"))
    assert list(tmp_path.iterdir()) == []


def archived(name: str, link_to: str = "") -> bytes:
    """A tar archive that holds one empty file or, with ``link_to``, a symbolic link."""
    member = tarfile.TarInfo(name)
    if link_to:
        member.type, member.linkname = tarfile.SYMTYPE, link_to
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member)
    return buffer.getvalue()


def test_what_the_engine_refuses_is_rejected_in_its_own_words(world: World) -> None:
    with pytest.raises(Rejected, match="Range of CPUs is from 0.01 to") as error:
        world.runtime.perform(creation(world, resources={"cpu": 1024}))
    assert error.value.reason == "CreateRefused"


def test_labels_of_ours_win_against_those_of_an_image(world: World) -> None:
    """Whoever commits a container of ours gets its labels with it."""
    repository, tag = world.place.instance, "inherited"
    world.api.commit(created(world).id, repository=repository, tag=tag)
    try:
        wanted = creation(world, slot=2, image=f"{repository}:{tag}")
        world.runtime.perform(wanted)
        seen = next(container for container in observe(world).containers if container.name == wanted.name)
        assert (seen.slot, seen.address, seen.spec_hash) == (2, wanted.address, wanted.version.spec_hash)
        world.runtime.perform(removal(seen))
    finally:
        world.api.remove_image(f"{repository}:{tag}", force=True)


def test_requests_in_flight_are_finished_by_a_replica_that_was_asked_to_end(world: World) -> None:
    container = created(world)
    eventually(lambda: serves(container.address))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(fetch, container.address, "/slow?ms=1000")
        time.sleep(0.3)
        world.runtime.perform(stopping(container))
        assert answer.result().status == 200
    observe_until(world, lambda seen: seen.containers[0].state is ContainerState.EXITED)


def test_asking_a_program_to_end_does_not_wait_for_its_end(world: World) -> None:
    container = created(world, environment=environment(IGNORE_TERM="1"))
    eventually(lambda: serves(container.address))
    world.runtime.perform(stopping(container))
    assert observe(world).containers[0].state is ContainerState.RUNNING
    world.runtime.perform(removal(container))
    assert observe(world).containers == ()


def test_a_program_is_asked_to_end_by_the_stop_signal_of_its_image_and_once(world: World) -> None:
    """SIGINT, which the demo server obeys as well; here it doesn't, so that a second one would be counted."""
    repository, tag = world.place.instance, "signal"
    world.api.commit(created(world).id, repository=repository, tag=tag, conf={"StopSignal": "INT"})
    try:
        container = created(world, 2, image=f"{repository}:{tag}", environment=environment(IGNORE_TERM="1"))
        eventually(lambda: serves(container.address))
        for runtime in (world.runtime, world.runtime, world.another()):
            runtime.perform(stopping(container))
        assert world.signals_to(container) == [2]
    finally:
        for container in observe(world).containers:
            world.runtime.perform(removal(container))
        world.api.remove_image(f"{repository}:{tag}", force=True)


def test_a_container_whose_removal_failed_is_known_to_run_no_more_and_removed_once_that_is_possible(
    world: World,
) -> None:
    container = created(world)
    hold = Path(world.api.inspect_container(container.id)["GraphDriver"]["Data"]["UpperDir"]) / "held"
    hold.touch()
    subprocess.run(["chattr", "+i", hold], check=True)
    try:
        with pytest.raises(TryLater, match="failed to remove"):
            world.runtime.perform(removal(container))
        # The Engine's list goes on saying "removing".
        observe_until(world, lambda seen: seen.containers[0].state is ContainerState.DEAD)
    finally:
        subprocess.run(["chattr", "-i", hold], check=True)
    world.runtime.perform(removal(container))
    assert observe(world).containers == ()


def test_a_paused_replica_can_be_removed(world: World) -> None:
    container = created(world)
    world.api.pause(container.id)
    assert observe(world).containers[0].state is ContainerState.PAUSED
    world.runtime.perform(removal(container))
    assert observe(world).containers == ()


def test_many_replicas_are_created_and_removed_at_once(world: World) -> None:
    actions = [creation(world, slot) for slot in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(world.runtime.perform, actions))
        seen = observe(world).containers
        assert {(c.name, c.address, c.state) for c in seen} == {
            (action.name, action.address, ContainerState.RUNNING) for action in actions
        }
        list(pool.map(world.runtime.perform, [removal(container) for container in seen] * 2))
    assert observe(world).containers == ()


# Networks


def test_controllers_that_start_at_the_same_moment_share_one_network() -> None:
    with docker_world() as world:
        runtimes = [world.another() for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda runtime: runtime.prepare(), runtimes))
        for runtime in runtimes:  # who made one of several learns of its removal, and looks again
            runtime.close()
        survivor = world.another()
        survivor.prepare()
        assert len(world.api.networks(names=[world.place.network])) == 1
        assert survivor.inventory().network.name == world.place.network


def test_people_containers_on_our_network_do_not_take_our_addresses(world: World) -> None:
    network = observe(world).network
    body = {"Image": world.image, "HostConfig": {"NetworkMode": world.place.network}}
    world.api.start(world.api.create(body, f"{world.place.name_prefix}visitor"))
    (address,) = observe(world).foreign_addresses
    first, last = network.bounds
    number = int.from_bytes(bytes(int(part) for part in address.split(".")), "big")
    assert not first <= number <= last


def test_a_death_is_seen_by_the_first_look_after_its_event(world: World) -> None:
    """The Engine's list goes on calling it running for a moment."""
    containers = [created(world, slot) for slot in range(1, 6)]
    observe(world)
    for container in containers:
        world.kill(container)
        # Being woken is not enough: the start of the one before may come as late as this.
        eventually(lambda died=container.id: died in world.runtime._deaths.new(), every_seconds=0.0005)
        seen = next(one for one in observe(world).containers if one.id == container.id)
        assert seen.restart_count or seen.state is not ContainerState.RUNNING


# Images


@pytest.fixture
def registry_address(tmp_path: Path) -> Iterator[str]:
    with registry(tmp_path) as address:
        yield address


def test_an_image_is_pulled_where_it_is_missing_and_always_where_that_is_asked(
    world: World, registry_address: str
) -> None:
    name = f"{registry_address}/team/web:1"
    push(demo_image("1"), name)
    world.runtime.perform(EnsureImage("web", version(image=name), cause="test"))
    first = image_id(name)
    push_over(demo_image("2"), name)
    world.runtime.perform(EnsureImage("web", version(image=name), cause="test"))
    assert image_id(name) == first
    world.runtime.perform(EnsureImage("web", version(image=name, imagePullPolicy="Always"), cause="test"))
    assert image_id(name) != first


def image_id(name: str) -> str:
    (found,) = (image["Id"] for image in client().images() if name in (image["RepoTags"] or ()))
    return str(found)


def push_over(image: str, name: str) -> None:
    """Push a newer image of that name, and leave the host's as it is."""
    repository, _, tag = name.rpartition(":")
    client().tag(name, repository, "kept")
    push(image, name)
    client().tag(f"{repository}:kept", repository, tag)
    client().remove_image(f"{repository}:kept")


def test_the_build_of_a_tag_that_has_moved_in_its_registry_can_still_be_pulled(
    world: World, registry_address: str
) -> None:
    name = f"{registry_address}/team/web:1"
    push(demo_image("1"), name)
    world.runtime.perform(EnsureImage("web", version(image=name), cause="test"))
    first = resolved(name, observe(world).images)
    assert first is not None
    push_over(demo_image("2"), name)
    client().remove_image(name)
    assert resolved(name, observe(world).images) is None
    applied = replace(version(image=name), image=first)
    world.runtime.perform(EnsureImage("web", applied, cause="test"))
    world.runtime.perform(replace(creation(world), version=applied))
    (container,) = observe(world).containers
    assert container.image_id == first.id
    assert container_labels(world, container)["orchestry.image"] == first.digest


def container_labels(world: World, container: Container) -> dict[str, str]:
    return dict(world.api.inspect_container(container.id)["Config"]["Labels"])


def test_a_login_to_a_registry_is_read_whenever_something_is_pulled(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with registry(tmp_path, login=True) as address:
        name = f"{address}/team/web:1"
        log_in(tmp_path, address, PASSWORD)
        push(demo_image("1"), name)
        log_in(tmp_path, address, "wrong")
        runtime = world.another()
        with pytest.raises(TryLater, match="unauthorized|authentication required|no basic auth") as error:
            runtime.perform(EnsureImage("web", version(image=name), cause="test"))
        assert error.value.reason == "ImagePullFailed"
        log_in(tmp_path, address, PASSWORD)
        runtime.perform(EnsureImage("web", version(image=name), cause="test"))


def log_in(directory: Path, address: str, password: str) -> None:
    """What ``docker login`` leaves."""
    token = b64encode(f"{USER}:{password}".encode()).decode()
    config = {"auths": {address: {"auth": token}}}
    (directory / "docker" / "config.json").write_text(json.dumps(config), "utf-8")


def test_what_the_registry_says_is_passed_on(world: World, registry_address: str) -> None:
    with pytest.raises(TryLater, match="manifest unknown") as error:
        world.runtime.perform(EnsureImage("web", version(image=f"{registry_address}/team/web:2"), cause="test"))
    assert error.value.reason == "ImagePullFailed"


def test_a_controller_that_stops_waits_for_no_pull(world: World, registry_address: str) -> None:
    name = f"{registry_address}/team/slow:1"
    push(demo_image("1"), name)
    world.runtime.give_up_pulls()
    with pytest.raises(TryLater, match="given up") as error:
        world.runtime.perform(EnsureImage("web", version(image=name), cause="test"))
    assert error.value.reason == "Stopping"


# The line to the Engine


def test_engine_events_go_on_after_the_line_was_cut_and_what_was_missed_is_noticed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with relay(str(tmp_path / "engine.sock"), ENGINE_SOCKET) as line:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
        woken = threading.Event()
        runtime = world.another(wake=woken.set)
        runtime.prepare()
        runtime.perform(creation(world))
        assert woken.wait(20)
        (container,) = runtime.inventory().containers
        eventually(lambda: serves(container.address))
        for count in (1, 2):
            woken.clear()
            assert line.cut() > 0
            world.exit(container, 7)
            assert woken.wait(20)
            assert restarted(runtime, count).exit_code == 7
            eventually(lambda: serves(container.address))
        runtime.close()


def restarted(runtime: DockerRuntime, count: int) -> Container:
    """The only replica, once it has been restarted so many times."""
    eventually(lambda: runtime.inventory().containers[0].restart_count == count)
    return runtime.inventory().containers[0]


# docker-py leaves a socket that could not connect to the garbage collector, which has to come while that is tolerated.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_engine_that_comes_up_later_is_found(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    runtime = world.another()
    with pytest.raises(Unavailable, match=f"at unix://{tmp_path}/engine.sock does not answer: start it"):
        runtime.prepare()
    with relay(str(tmp_path / "engine.sock"), ENGINE_SOCKET):
        runtime.prepare()
        assert runtime.inventory().containers == ()
        runtime.close()
    gc.collect()


def test_the_engine_is_reached_by_tls_where_that_is_asked_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = make_certificates(tmp_path)
    with relay(("127.0.0.1", 0), ENGINE_SOCKET, tls) as line:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{line.port}")
        with pytest.raises(Unavailable):
            world.another().prepare()
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        runtime = world.another()
        runtime.prepare()
        runtime.perform(creation(world))
        assert len(runtime.inventory().containers) == 1
        runtime.close()


def test_closing_the_runtime_is_quick_and_leaves_no_thread(world: World) -> None:
    before = set(threading.enumerate())
    runtime = world.another()
    runtime.prepare()
    own = set(threading.enumerate()) - before
    assert own
    time.sleep(0.2)  # until it follows events
    started = time.monotonic()
    runtime.close()
    assert time.monotonic() - started < 10
    assert not any(thread.is_alive() for thread in own)


def test_a_foreign_containers_events_wake_nobody(world: World) -> None:
    observe(world)
    time.sleep(0.3)
    before = len(world.wakes)
    run_foreign(world, f"{world.place.name_prefix}foreign")
    time.sleep(0.3)
    assert len(world.wakes) == before

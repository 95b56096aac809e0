"""What the edge does when something is wrong: one app's configuration, nginx itself, its files, its port."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.edge import NginxEdge, open_edge
from reconciler.edge.control import Control
from reconciler.edge.generations import Generations
from reconciler.edge.process import ProcessNginx
from reconciler.model.spec import Route
from reconciler.ports import Unavailable
from tests.support.nginx import Front, app_routes, front, make_certificate, nginx_image, table
from tests.support.registry import push, registry
from tests.support.replicas import Replica, replicas
from tests.support.waiting import eventually

pytestmark = pytest.mark.nginx

NOBODY = 65534

# Two routes of one path are typed values that only nginx refuses: it names the second location.
TWICE = (Route(path="/bad"), Route(path="/bad"))


def test_an_app_that_nginx_refuses_is_left_out_alone(way: Front, two: list[Replica]) -> None:
    way.publish()
    good = app_routes("web", way.at(*two))
    publication = way.publish(app_routes("bad", way.at(*two), *TWICE), good, app_routes("zebra", way.at(*two)))
    assert [refusal.app_name for refusal in publication.refusals] == ["bad"]
    assert "duplicate location" in publication.refusals[0].message
    assert [app.app_name for app in publication.table.apps] == ["web", "zebra"]
    assert way.get("/web").status == way.get("/zebra").status == 200
    assert way.get("/bad").status == 404


def test_a_refused_app_keeps_its_old_routes_with_its_new_replicas(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("bad", way.at(two[0])))
    publication = way.publish(app_routes("bad", way.at(two[1]), *TWICE))
    assert [refusal.app_name for refusal in publication.refusals] == ["bad"]
    assert publication.table == table(app_routes("bad", way.at(two[1])))
    assert way.get("/bad").replica == "web-2"


def test_a_refused_app_is_not_tried_again_before_it_changes(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("bad", (), *TWICE), app_routes("web", way.at(*two)))
    before = _files(way)
    again = way.publish(app_routes("bad", (), *TWICE), app_routes("web", way.at(*two)))
    assert again.how == "unchanged"
    assert [refusal.app_name for refusal in again.refusals] == ["bad"]
    assert _files(way) == before
    mended = way.publish(app_routes("bad", way.at(*two)), app_routes("web", way.at(*two)))
    assert mended.refusals == ()
    assert way.get("/bad").status == 200


def test_beside_a_refused_app_replicas_come_and_go(way: Front, two: list[Replica]) -> None:
    bad = app_routes("bad", way.at(*two), *TWICE)
    way.publish(bad, app_routes("web", way.at(two[0])))
    publication = way.publish(bad, app_routes("web", way.at(two[1])))
    assert publication.how == ("pushed" if way.has_lua else "reloaded")
    assert [refusal.app_name for refusal in publication.refusals] == ["bad"]
    assert way.get("/web").replica == "web-2"


def test_of_many_refused_apps_every_one_is_named(way: Front, two: list[Replica]) -> None:
    bad = [app_routes(f"bad-{n}", (), Route(path=f"/b{n}"), Route(path=f"/b{n}")) for n in range(4)]
    good = [app_routes(f"app-{n}", way.at(*two)) for n in range(4)]
    publication = way.publish(*bad, *good)
    assert [refusal.app_name for refusal in publication.refusals] == [app.app_name for app in bad]
    assert publication.table == table(*good)
    assert all(way.get(f"/app-{n}").status == 200 for n in range(4))


def test_two_apps_of_one_path_cost_only_the_second(way: Front, two: list[Replica]) -> None:
    one, other = app_routes("one", way.at(two[0]), Route(path="/x")), app_routes("other", (), Route(path="/x"))
    publication = way.publish(one, other)
    assert [refusal.app_name for refusal in publication.refusals] == ["other"]
    assert way.get("/x").replica == "web-1"


def test_an_nginx_that_died_is_back_with_the_next_publish_of_the_same_table(way: Front, two: list[Replica]) -> None:
    first = way.publish(app_routes("web", way.at(*two)))
    way.kill()
    if way.owner:
        with pytest.raises(Unavailable, match="does not serve"):
            way.reopen(proof_timeout_seconds=0.2).publish(table(app_routes("web", way.at(*two))))
        way.start_alone()
    again = way.publish(app_routes("web", way.at(*two)))
    assert again.generation == first.generation
    assert again.how == ("unchanged" if way.owner else "reloaded")
    assert way.get("/web").status == 200


def test_an_nginx_that_died_is_back_with_a_changed_table_as_well(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    way.kill()
    if way.owner:
        way.start_alone()
    way.publish(app_routes("web", way.at(two[1])))
    assert way.get("/web").replica == "web-2"


def test_an_nginx_started_alone_serves_the_replicas_of_now(way: Front, two: list[Replica]) -> None:
    way.publish(app_routes("web", way.at(two[0])))
    last = way.publish(app_routes("web", way.at(two[1])))
    way.kill()
    way.start_alone()
    assert eventually(lambda: _replica(way)) == "web-2"
    again = way.reopen().publish(table(app_routes("web", way.at(two[1]))))
    assert (again.generation, again.how) == (last.generation, "unchanged")


def test_a_killed_worker_is_replaced_and_its_requests_are_not_counted_for_ever(process: Front) -> None:
    with replicas("web-1", "web-2") as running:
        process.publish(app_routes("web", process.at(*running)))
        with process.in_flight(1, running):
            assert sum(process.edge.open_requests().values()) == (1 if process.has_lua else 0)
            for pid in process.processes("nginx: worker"):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: _replica(process))
        eventually(lambda: sum(process.edge.open_requests().values()) == 0)
        assert process.publish(app_routes("web", process.at(*running))).how == "unchanged"


def test_workers_without_a_master_give_the_port_to_a_new_nginx(process: Front) -> None:
    with replicas("web-1", "web-2") as running:
        process.publish(app_routes("web", process.at(running[0])))
        for pid in process.processes("nginx: master"):
            os.kill(pid, signal.SIGKILL)
        process.publish(app_routes("web", process.at(running[1])))
        assert {process.get("/web").replica for _ in range(10)} == {"web-2"}


def test_an_edge_directory_removed_by_hand_is_made_again(process: Front) -> None:
    with replicas("web-1") as running:
        process.publish(app_routes("web", process.at(*running)))
        shutil.rmtree(process.root)
        publication = process.publish(app_routes("web", process.at(*running)))
        assert publication.how == "reloaded"
        assert process.get("/web").status == 200
        eventually(lambda: len(process.processes("nginx: master")) == 1)


@pytest.mark.engine
def test_an_nginx_container_whose_directory_was_removed_is_made_again(container: Front) -> None:
    container.publish(app_routes("web"))
    shutil.rmtree(container.root)
    assert container.publish(app_routes("web")).how == "reloaded"
    assert container.get("/web").status == 503


@pytest.mark.engine
def test_an_nginx_container_made_from_other_settings_is_replaced(container: Front) -> None:
    container.publish()
    first = container.container_id()
    other = f"{nginx_image()}-again"
    subprocess.run(["docker", "tag", nginx_image(), other], check=True, timeout=30)
    try:
        again = container.reopen(image=other)
        assert again.publish(table()).how == "reloaded"
        assert again.publish(table()).how == "unchanged"
        assert container.container_id() != first
    finally:
        subprocess.run(["docker", "rmi", "--force", other], check=True, capture_output=True, timeout=30)


@pytest.mark.engine
def test_a_container_of_our_nginxs_name_that_is_not_ours_is_left_alone(container: Front) -> None:
    foreign = container.start_foreign()
    with pytest.raises(Unavailable, match="not ours"):
        container.publish()
    assert container.container_id() == foreign


@pytest.mark.engine
def test_an_nginx_image_that_can_not_be_had_is_said(container: Front) -> None:
    missing = f"localhost:1/{secrets.token_hex(4)}:1"
    edge = container.reopen(image=missing)
    eventually(lambda: f"{missing} can't be pulled" in _refusal(edge))
    assert f"{missing} can't be pulled" in _refusal(edge)
    assert f"{missing} can't be pulled" in edge.describe()


@pytest.mark.engine
def test_nobody_waits_for_an_nginx_image_that_is_pulled(container: Front) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image = f"127.0.0.1:{silent.getsockname()[1]}/nginx:1"
        edge = container.reopen(image=image)
        assert _refusal(edge) == _refusal(edge) == f"the image {image} is being pulled"
    eventually(lambda: "can't be pulled" in _refusal(edge))


@pytest.mark.engine
def test_an_nginx_image_that_was_pulled_is_run(container: Front, tmp_path: Path) -> None:
    with registry(tmp_path) as address:
        image = f"{address}/nginx:1"
        push(nginx_image(), image)
        edge = container.reopen(image=image)
        assert _refusal(edge) == f"the image {image} is being pulled"
        eventually(lambda: not _refusal(edge))
        assert container.get("/").status == 404
        edge.shut_down()


def test_an_nginx_configuration_that_is_not_taken_over_is_taken_back_byte_for_byte(
    process: Front, tmp_path: Path
) -> None:
    """nginx accepts the file and then can't open the port: only the proof shows it."""
    make_certificate(tmp_path / "secrets" / "shop", "shop.example.com")
    with replicas("web-1") as running, socket.create_server(("127.0.0.1", process.settings.tls_port)):
        plain = app_routes("web", process.at(*running))
        first = process.publish(plain)
        before = _current(process)
        secure = Route.model_validate({"host": "shop.example.com", "tls": {"secret": "shop"}})
        with pytest.raises(Unavailable, match=r"does not serve .* bind\(\) .*another program has that port"):
            process.publish(plain, app_routes("shop", process.at(*running), secure))
        assert _current(process) == before
        assert process.get("/web").status == 200
        again = process.edge.publish(table(plain))
        assert again.generation == first.generation
        assert again.how != "reloaded"


def test_an_nginx_configuration_that_nobody_loads_is_taken_back(
    process: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replicas("web-1") as running:
        process.publish(app_routes("web", process.at(*running)))
        before = _current(process)
        deaf = process.reopen(proof_timeout_seconds=0.2)
        monkeypatch.setattr(ProcessNginx, "load", lambda _: None)
        with pytest.raises(Unavailable, match="nothing is served instead of"):
            deaf.publish(table(app_routes("web", process.at(*running)), app_routes("api")))
        assert _current(process) == before
        assert process.get("/web").status == 200


@pytest.mark.parametrize("moment", [(os, "kill"), (Control, "prove"), (Generations, "activate")])
def test_whatever_the_system_refuses_in_a_reload_the_nginx_configuration_is_taken_back(
    process: Front, monkeypatch: pytest.MonkeyPatch, moment: tuple[Any, str]
) -> None:
    """The master ends just then; a socket is gone; the disk fails when the link was renamed."""
    with replicas("web-1") as running:
        process.publish(app_routes("web", process.at(*running)))
        before = _current(process)
        with monkeypatch.context() as patch:
            patch.setattr(*moment, _failing_once(getattr(*moment)))
            with pytest.raises(Unavailable, match="nginx does not serve the new configuration"):
                process.publish(app_routes("web", process.at(*running)), app_routes("api"))
        assert _current(process) == before
        assert process.get("/web").status == 200


@pytest.mark.parametrize("moment", [(Generations, "activate"), (Control, "replace_servers")])
def test_a_push_of_replicas_that_the_system_refuses_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: tuple[Any, str]
) -> None:
    with front("process", tmp_path) as made, replicas("web-1", "web-2") as running:
        made.publish(app_routes("web", made.at(running[0])))
        before = _current(made)
        with monkeypatch.context() as patch:
            patch.setattr(*moment, _failing_once(getattr(*moment)))
            with pytest.raises(Unavailable, match="nginx does not take the new replicas"):
                made.publish(app_routes("web", made.at(running[1])))
        assert _current(made) == before
        assert made.publish(app_routes("web", made.at(running[1]))).how == "pushed"
        assert made.get("/web").replica == "web-2"


@pytest.mark.parametrize("moment", [(ProcessNginx, "load"), (Control, "prove"), (Control, "replace_servers")])
@pytest.mark.parametrize("change", ["replicas", "routes"])
def test_a_controller_that_dies_in_the_middle_of_a_publish_is_taken_over_by_the_next(
    process: Front, monkeypatch: pytest.MonkeyPatch, moment: tuple[type, str], change: str
) -> None:
    with replicas("web-1", "web-2") as running:
        process.publish(app_routes("web", process.at(running[0])))
        more = [app_routes("api")] if change == "routes" else []
        wanted = table(app_routes("web", process.at(running[1])), *more)
        with monkeypatch.context() as patch:
            patch.setattr(*moment, _die)
            with contextlib.suppress(_Death):
                process.edge.publish(wanted)
        publication = process.reopen().publish(wanted)
        assert publication.table == wanted
        assert {process.get("/web").replica for _ in range(5)} == {"web-2"}
        assert process.get("/api").status == (503 if more else 404)
        assert process.reopen().publish(wanted).how == "unchanged"


def test_a_reload_command_that_fails_takes_the_nginx_configuration_back(tmp_path: Path) -> None:
    with front("external", tmp_path) as theirs, replicas("web-1") as running:
        theirs.publish(app_routes("web", theirs.at(*running)))
        before = _current(theirs)
        with pytest.raises(Unavailable, match="reload command failed"):
            theirs.reopen(reload_command=("false",)).publish(table())
        assert _current(theirs) == before
        assert theirs.get("/web").status == 200


def test_an_external_nginx_keeps_its_own_sites(tmp_path: Path) -> None:
    with front("external", tmp_path) as theirs:
        theirs.publish(app_routes("web"))
        assert theirs.owner is not None
        assert theirs.get("/", port=theirs.owner.port).body == "theirs"
        theirs.edge.shut_down()
        assert theirs.get("/", port=theirs.owner.port).body == "theirs"


def test_an_edge_port_in_use_is_said_with_what_to_do(process: Front) -> None:
    with (
        socket.create_server(("127.0.0.1", process.settings.port)),
        pytest.raises(Unavailable, match=f"port {process.settings.port} is in use.*--edge-port"),
    ):
        process.publish()
    assert process.publish().how == "reloaded"


def test_a_missing_nginx_is_said_with_what_to_do(process: Front) -> None:
    edge = process.reopen(nginx="no-such-nginx")
    with pytest.raises(Unavailable, match="not installed.*apt-get install"):
        edge.publish(table())
    assert "not installed" in edge.describe()


def test_edge_files_that_can_not_be_written_are_said_and_cost_no_more_than_that(process: Front) -> None:
    assert "not known yet" in process.edge.describe()
    process.root.write_text("in the way")
    with pytest.raises(Unavailable, match="can't be written"):
        process.publish()
    assert "can't be written" in process.edge.describe()
    process.root.unlink()
    assert process.publish().how == "reloaded"
    assert "nginx 1." in process.edge.describe()


def test_a_pid_file_of_nginx_that_names_another_process_is_not_believed(process: Front) -> None:
    process.publish()
    (process.root / "run" / "nginx.pid").write_text(f"{os.getpid()}\n")
    assert process.publish(app_routes("web")).how == "reloaded"
    assert process.get("/web").status == 503
    assert len(process.processes("nginx: master")) == 1


@pytest.mark.parametrize("user", [os.geteuid(), NOBODY], ids=["own", "another"])
def test_whoever_poses_as_our_nginx_does_not_keep_it_from_being_started(process: Front, user: int) -> None:
    """By its title and its directory, which are whatever a process likes."""
    process.publish(app_routes("web"))
    process.kill()
    with _poser(process.root, user) as poser:
        assert process.publish(app_routes("web")).how == "reloaded"
        assert process.get("/web").status == 503
        process.publish(app_routes("web"), app_routes("api"))
        assert process.get("/api").status == 503
        assert poser.poll() is None  # it is left alone


def test_workers_of_another_user_that_pose_as_ours_are_left_alone(process: Front) -> None:
    process.publish(app_routes("web"))
    process.kill()
    with _poser(process.root, NOBODY, "nginx: worker process is shutting down") as poser:
        process.publish(app_routes("web"))
        assert poser.poll() is None


def test_an_nginx_whose_program_was_updated_is_still_ours(process: Front, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "nginx"
    program.parent.mkdir()
    shutil.copy("/usr/sbin/nginx", program)
    process.reopen(nginx=str(program)).publish(table(app_routes("web")))
    # A worker that was just forked is called as its master is.
    (master,) = eventually(lambda: len(pids := process.processes("nginx: master")) == 1 and pids)
    program.unlink()
    shutil.copy("/usr/sbin/nginx", program)
    process.reopen(nginx=str(program)).publish(table(app_routes("web"), app_routes("api")))
    assert eventually(lambda: len(pids := process.processes("nginx: master")) == 1 and pids) == [master]
    assert process.get("/api").status == 503


def test_the_end_of_our_nginx_is_told_at_once_each_time(process: Front) -> None:
    ended = threading.Event()
    with contextlib.closing(_watched(process, ended.set)) as edge:
        for _ in range(2):
            edge.publish(table(app_routes("web")))
            assert not ended.is_set()
            process.kill()
            assert ended.wait(20)
            ended.clear()


def test_the_end_of_an_nginx_that_an_earlier_controller_started_is_told_as_well(process: Front) -> None:
    process.publish(app_routes("web"))
    ended = threading.Event()
    with contextlib.closing(_watched(process, ended.set)) as edge:
        assert edge.publish(table(app_routes("web"))).how == "unchanged"
        process.kill()
        assert ended.wait(20)


def test_an_nginx_that_we_end_ourselves_is_not_told_of(process: Front) -> None:
    ended = threading.Event()
    with contextlib.closing(_watched(process, ended.set)) as edge:
        edge.publish(table())
        edge.shut_down()
        eventually(lambda: not process.processes())
        assert not ended.is_set()


def test_shutting_the_edge_down_is_quiet_where_there_never_was_an_nginx(process: Front) -> None:
    assert not process.root.exists()
    process.edge.shut_down()


def test_shutting_the_edge_down_ends_nginx(process: Front) -> None:
    process.publish()
    process.edge.shut_down()
    eventually(lambda: not process.processes())
    assert process.publish().how == "reloaded"


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Front]:
    with front("container", tmp_path) as made:
        yield made


@pytest.fixture(params=["auto", "off"], ids=["lua", "stock"])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    with front("process", tmp_path, lua=request.param, secrets_dir=tmp_path / "secrets") as made:
        yield made


def _watched(process: Front, died: Callable[[], None]) -> NginxEdge:
    """Another edge on the same nginx, which is told of its end."""
    state_dir, settings = process.state_dir, process.settings
    edge = open_edge("process", instance="default", state_dir=state_dir, network="", settings=settings, died=died)
    assert isinstance(edge, NginxEdge)
    return edge


@contextlib.contextmanager
def _poser(directory: Path, user: int, title: str = "nginx: master process nginx") -> Iterator[subprocess.Popen[bytes]]:
    """A program of this user's that looks like an nginx in this directory."""
    with subprocess.Popen([title, "600"], executable="/bin/sleep", cwd=directory, user=user) as poser:
        try:
            yield poser
        finally:
            poser.kill()


class _Death(BaseException):
    """No handler of ours may catch it, as none catches a SIGKILL."""


def _die(*_: object) -> None:
    raise _Death


def _replica(way: Front) -> str | None:
    try:
        return way.get("/web").replica
    except OSError:
        return None


def _refusal(edge: NginxEdge) -> str:
    """Why an empty table can't be published; empty where it can."""
    try:
        edge.publish(table())
    except Unavailable as error:
        return str(error)
    return ""


def _failing_once(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but for the first time, when it is done, the system calls it a failure."""
    times = iter((True,))

    def first_fails(*arguments: Any) -> Any:
        done = work(*arguments)
        if next(times, False):
            raise ProcessLookupError(errno.ESRCH, "No such process")
        return done

    return first_fails


def _current(way: Front) -> dict[str, bytes]:
    current = way.root / "current"
    return {"": bytes(current.readlink())} | {path.name: path.read_bytes() for path in current.iterdir()}


def _files(way: Front) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (way.root / "generations").rglob("*")}

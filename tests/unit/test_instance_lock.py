"""The lock on an instance's containers, and who can keep us from it."""

from __future__ import annotations

import os
import secrets
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler import instance_lock
from reconciler.instance_lock import InstanceLock
from reconciler.ports import AlreadyRunning, Unavailable
from reconciler.socket_owner import owner_of

NOBODY = 65534
Lock = Callable[..., InstanceLock]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that we share with our other processes, whoever we are."""
    directory = tmp_path / "run" / str(os.geteuid())
    directory.mkdir(parents=True)
    monkeypatch.setattr(instance_lock, "_OF_ROOT", directory / "orchestry")
    monkeypatch.setattr(instance_lock, "_OF_USERS", tmp_path / "run")
    return directory / "orchestry"


@pytest.fixture
def lock(run: Path, tmp_path: Path) -> Iterator[Lock]:
    engine_id, made = f"ENGINE:{secrets.token_hex(8)}/1", list[InstanceLock]()

    def make(instance: str = "default", state_dir: Path = tmp_path) -> InstanceLock:
        made.append(InstanceLock(engine_id, instance, state_dir))
        return made[-1]

    make.socket = f"\0orchestry/{engine_id}/default"  # type: ignore[attr-defined]
    yield make
    for each in made:
        each.release()


def name_of(lock: Lock) -> str:
    return str(lock.socket)  # type: ignore[attr-defined]


@contextmanager
def bound(name: str) -> Iterator[None]:
    """The socket as a controller of version 1.0.0 holds it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as old:
        old.bind(name)
        yield


def test_a_second_controller_is_refused_whatever_its_state_directory_is(lock: Lock, run: Path, tmp_path: Path) -> None:
    first = lock()
    with pytest.raises(AlreadyRunning, match="another controller runs instance default on this Engine"):
        lock(state_dir=tmp_path / "elsewhere")
    lock("other")
    [file] = run.glob("*-default.lock")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (run.stat().st_uid, stat.S_IMODE(run.stat().st_mode) & 0o022) == (os.geteuid(), 0)
    first.release()
    assert list(run.glob("*-default.lock")) == []
    lock()


def test_the_lock_file_alone_keeps_a_second_controller_out(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InstanceLock, "_bind", lambda *_: None)
    lock()
    with pytest.raises(AlreadyRunning):
        lock()


def test_a_controller_of_an_earlier_version_and_one_of_this_see_each_other(lock: Lock) -> None:
    with bound(name_of(lock)), pytest.raises(AlreadyRunning):
        lock()
    lock()
    with pytest.raises(OSError, match="in use"), bound(name_of(lock)):
        pass


def test_a_user_who_may_not_use_the_engine_keeps_nobody_out(
    lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = tmp_path / "docker.sock"
    engine.touch(0o660)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine}")
    monkeypatch.setattr(instance_lock, "owner_of", lambda _: NOBODY)
    with bound(name_of(lock)):
        first = lock()
        assert f"user {NOBODY} holds the socket" in caplog.text
        with pytest.raises(AlreadyRunning):
            lock()
        first.release()
        lock().release()
        engine.chmod(0o666)
        with pytest.raises(AlreadyRunning):
            lock()


@pytest.mark.parametrize("owner", [0, None, OSError("the kernel does not tell")])
def test_a_socket_that_may_be_a_controllers_keeps_others_out(
    lock: Lock, monkeypatch: pytest.MonkeyPatch, owner: int | OSError | None
) -> None:
    def told(_: bytes) -> int | None:
        if isinstance(owner, OSError):
            raise owner
        return owner

    monkeypatch.setattr(instance_lock, "owner_of", told)
    with bound(name_of(lock)), pytest.raises(AlreadyRunning):
        lock()


def test_without_a_directory_of_our_own_the_lock_is_in_the_state_directory(
    lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_lock, "_OF_ROOT", Path("/proc/no/such"))
    monkeypatch.setattr(instance_lock, "_OF_USERS", Path("/proc/no/such"))
    first = lock()
    assert len(list(tmp_path.glob("*-default.lock"))) == 1
    first.release()
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="--state-dir"):
        lock(state_dir=tmp_path / "file" / "state")


def test_a_lock_file_that_was_removed_under_its_holder_is_not_removed_by_it_again(lock: Lock, run: Path) -> None:
    first = lock()
    first._socket.close()
    [file] = run.glob("*-default.lock")
    file.unlink()
    second = lock()
    first.release()
    assert file.exists()
    second.release()


def test_the_owner_of_a_socket_is_told_by_the_kernel() -> None:
    name = f"\0orchestry-test/{secrets.token_hex(8)}"
    assert owner_of(name.encode()) is None
    with bound(name):
        assert owner_of(name.encode()) == os.geteuid()

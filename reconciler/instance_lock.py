"""One controller for each instance on an Engine, whatever its state directory and database are.

The store keeps two controllers from one record; this keeps them from one set of containers. The lock is on a file that
root alone can open, or the one user this runs as, so that nobody else can take it; the kernel gives it free with the
process that holds it. It reaches as far as the host, and what has a network of its own counts as another host:
controllers further apart share a database, whose lease tells them apart.

Versions 1.0.0 and 1.1.0 hold an abstract socket instead, so for one version more both are held. Such a socket may be
bound by any user of the host: one whose owner may not use the Engine is no controller's, and keeps nobody out.
"""

from __future__ import annotations

import errno
import logging
import os
import pwd
import re
import socket
import stat
from contextlib import suppress
from pathlib import Path

from reconciler.locked_file import has_name, locked
from reconciler.ports import AlreadyRunning, Unavailable
from reconciler.socket_owner import owner_of

log = logging.getLogger("orchestry")

_OF_ROOT = Path("/run/orchestry")
_OF_USERS = Path("/run/user")


class InstanceLock:
    """The lock on the containers of one instance, held from its making until `release`. Raises AlreadyRunning where
    another process holds it, Unavailable where its file can't be had."""

    def __init__(self, engine_id: str, instance: str, state_dir: Path) -> None:
        self._instance = instance
        try:
            self._path = _directory(state_dir) / _file_name(engine_id, instance)
            self._file = locked(self._path, lambda _: self._taken(), follows_links=False)
        except OSError as error:
            raise Unavailable(
                f"the lock of instance {instance}: {error}; name a --state-dir that the user this runs as may write to"
            ) from error
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._bind(f"\0orchestry/{engine_id}/{instance}")
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        self._socket.close()
        with suppress(OSError, ValueError):  # ValueError: it was released before
            if has_name(self._file, self._path):
                self._path.unlink()
        self._file.close()

    def _bind(self, name: str) -> None:
        """Hold the socket as well, unless somebody has it who can't be a controller."""
        try:
            self._socket.bind(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            owner = _owner(name)
            if owner is None or owner in (0, os.geteuid()) or _may_use_engine(owner):
                raise self._taken() from error
            log.warning(
                "user %d holds the socket by which earlier versions know a controller of instance %s, and may not use "
                "the Engine: that is no controller, and is ignored",
                owner,
                self._instance,
            )

    def _taken(self) -> AlreadyRunning:
        return AlreadyRunning(
            f"another controller runs instance {self._instance} on this Engine: stop that one first, "
            f"or name another instance with --instance"
        )


def _directory(state_dir: Path) -> Path:
    """Where nobody but us, or root, can make a file; best one that doesn't depend on settings."""
    user = os.geteuid()
    directory = _OF_ROOT if user == 0 else _OF_USERS / str(user) / "orchestry"
    with suppress(OSError):
        if user == 0 or directory.parent.stat().st_uid == user:
            directory.mkdir(mode=0o755, exist_ok=True)
            if directory.stat().st_uid == user and os.access(directory, os.W_OK):
                return directory
    state_dir.mkdir(parents=True, exist_ok=True)
    return state_dir


def _file_name(engine_id: str, instance: str) -> str:
    network = Path("/proc/self/ns/net").stat().st_ino
    return f"{re.sub(r'[^A-Za-z0-9-]', '_', engine_id)}-{network}-{instance}.lock"


def _owner(name: str) -> int | None:
    """Who has bound the socket; None where that can't be told, or it is free again."""
    try:
        return owner_of(name.encode())
    except OSError:
        return None


def _may_use_engine(user: int) -> bool:
    """Whether a user may open the Engine's socket, who then is as good as root."""
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not host.startswith("unix://"):
        return False
    try:
        engine, known = Path(host.removeprefix("unix://")).stat(), pwd.getpwuid(user)
    except (OSError, KeyError):
        return False
    if engine.st_mode & stat.S_IWOTH or user == engine.st_uid:
        return True
    return bool(engine.st_mode & stat.S_IWGRP) and engine.st_gid in os.getgrouplist(known.pw_name, known.pw_gid)

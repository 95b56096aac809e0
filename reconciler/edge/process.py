"""nginx as a daemon of our own, in our own directory, that goes on serving when the controller stops.

Decides how it is found again: by its pid file, believed only where that process is an nginx master of our user's that
works in our directory, by the kernel's word; where the file is gone or lies, by looking through the processes for one.
Others' nginx are never touched, and nobody who poses as ours keeps it from being started. While it runs it is watched,
so that its end is known at once. nginx is started *in* its directory, so that every path is relative: workers of
another user then need no access to the directories above.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from reconciler.edge import binding
from reconciler.edge.death_watch import DeathWatch
from reconciler.edge.nginx import complaint, parse_version, run
from reconciler.edge.processes import is_nginx, processes, worked_in, works_in
from reconciler.edge.settings import Build, EdgeSettings
from reconciler.ports import Unavailable

_SEARCH_PATH = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/usr/local/openresty/nginx/sbin", "/opt/nginx/sbin"))
_WORKER_USERS = ("www-data", "nginx", "nobody")
_NOT_INSTALLED = "nginx is not installed: install it (Debian: `apt-get install nginx-light`), or use --edge container"


class ProcessNginx:
    """An nginx whose prefix is ``root``. ``died`` is called, from another thread, when one has ended that was seen
    `alive`."""

    mode = "process"

    def __init__(self, root: Path, settings: EdgeSettings, died: Callable[[], None] | None = None) -> None:
        self._root = root.resolve()
        self._settings = settings
        self._command = shutil.which(settings.nginx) or shutil.which(settings.nginx, path=_SEARCH_PATH)
        # Of a script that starts nginx by its full name as well.
        self._program = Path(self._command or settings.nginx).resolve().name
        self._watch = DeathWatch(died) if died else None

    def identify(self) -> tuple[Build, str]:
        _, output = self._run("-V")
        return Build(version=parse_version(output), worker_user=_worker_user()), output

    def test(self, generation: str) -> str | None:
        code, output = self._run("-t", "-c", f"generations/{generation}/nginx.conf")
        return None if code == 0 else output

    def alive(self) -> bool:
        master = self._master()
        if master is not None and self._watch:
            self._watch.over(master)
        return master is not None

    def load(self) -> None:
        if self._tell_master(signal.SIGHUP):
            return
        if not self._retire():
            self._check_port()
        code, output = self._run("-c", "current/nginx.conf")
        if code != 0:
            raise Unavailable(f"nginx did not start: {complaint(output)}")

    def reopen_logs(self) -> None:
        self._tell_master(signal.SIGUSR1)

    def stop(self) -> None:
        self.close()
        self._retire()

    def close(self) -> None:
        if self._watch:
            self._watch.close()

    def _run(self, *arguments: str) -> tuple[int, str]:
        if self._command is None:
            raise Unavailable(_NOT_INSTALLED)
        command = (self._command, "-p", "./", *arguments)
        return run(command, self._settings.command_timeout_seconds, directory=self._root, missing=_NOT_INSTALLED)

    def _master(self) -> int | None:
        """Our running master, whose directory is still there."""
        try:
            noted = int((self._root / "run" / "nginx.pid").read_text())
        except (FileNotFoundError, ValueError):
            noted = 0
        if noted and self._is_our_master(noted):
            return noted
        return next((pid for pid in processes() if self._is_our_master(pid)), None)

    def _is_our_master(self, pid: int) -> bool:
        with suppress(OSError):
            return is_nginx(pid, "master", self._master_users(), self._program) and works_in(pid, self._root)
        return False

    def _master_users(self) -> frozenset[int]:
        """Who may run our nginx: ourselves, and whoever the directory belongs to, as whom an earlier controller ran."""
        users = {os.geteuid()}
        with suppress(FileNotFoundError):
            users.add(self._root.stat().st_uid)
        return frozenset(users)

    def _tell_master(self, number: signal.Signals) -> bool:
        """Send our master a signal, if there is one; whether there was."""
        master = self._master()
        if master is None:
            return False
        try:
            os.kill(master, number)
        except ProcessLookupError as error:
            raise Unavailable("nginx ended just as it was to be told of a change") from error
        return True

    def _retire(self) -> bool:
        """Ask every nginx of ours to finish what it has, and whether there was one. Also what an earlier one left
        behind: workers without a master, or one whose directory was removed. They give the port free at once."""
        worker_user = _worker_user()
        workers = {pwd.getpwnam(worker_user.partition(" ")[0]).pw_uid} if worker_user else set()
        users = self._master_users() | workers
        ours = [pid for pid in processes() if is_nginx(pid, "", users, self._program) and self._is_its_directory(pid)]
        for pid in ours:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT)
        return bool(ours)

    def _is_its_directory(self, pid: int) -> bool:
        """Whether a process works in our directory, or in one of its path that was removed."""
        with suppress(OSError):
            return worked_in(pid, self._root) or works_in(pid, self._root)
        return False

    def _check_port(self) -> None:
        """Raise Unavailable where the port can't be had: nginx itself would try for 2.5 s before it says so."""
        for host in self._settings.addresses or ("0.0.0.0",):
            if error := binding.refusal(host, self._settings.port):
                raise Unavailable(_port_trouble(host, self._settings.port, error)) from error


def _port_trouble(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use by another program: stop that one, or choose another with --edge-port"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges: run as root, or choose one from 1024 up with --edge-port"
    return f"nginx can't listen on {host}:{port}: {error.strerror}"


def _worker_user() -> str | None:
    """User and group that workers run as where we are root; an unprivileged nginx can't change."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry.pw_gid for entry in pwd.getpwall()}
    return next((f"{name} {grp.getgrgid(known[name]).gr_name}" for name in _WORKER_USERS if name in known), None)

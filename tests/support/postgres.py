"""A PostgreSQL server of the tests' own, from the distribution's binaries, gone at the end of the run.

It listens on a random loopback port and in its own directory, runs as an ordinary user (it refuses root), and gives
each test a database of its own. Import both fixtures into a ``conftest.py``.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from tests.support.tcp import unused_port
from tests.support.waiting import eventually

_USER_WHEN_ROOT = "nobody"
_PASSWORD = "correct-horse-battery"


@dataclass(frozen=True)
class PostgresServer:
    """``directory`` holds its data; ``process`` can be stopped and continued to play a server that hangs."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes]

    @staticmethod
    def url_at(port: int, database: str, *, password: str = _PASSWORD) -> str:
        """The URL of a database of a server that listens there, now or later."""
        return f"postgresql+psycopg2://orchestry:{password}@127.0.0.1:{port}/{database}"

    def url(self, database: str, *, password: str = _PASSWORD) -> str:
        return self.url_at(self.port, database, password=password)

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Execute a statement as the server's administrator."""
        with closing(_connect(self.port)) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)

    def set_read_only(self, url: str, *, read_only: bool) -> None:
        """Let a database take no writes, or take them again; its connections end."""
        name = url.rpartition("/")[2]
        self.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {read_only}")
        others = f"datname = '{name}' AND pid <> pg_backend_pid()"
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")

    def hang(self) -> None:
        """Let none of its processes run: connections stay, and are not answered."""
        for process in _family(self.process.pid):
            os.kill(process, signal.SIGSTOP)

    def stop(self) -> None:
        """End it, and whoever is connected."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with serving() as server:
        yield server


@contextmanager
def serving(port: int | None = None) -> Iterator[PostgresServer]:
    """A server for as long as the block lasts."""
    with _directory() as directory:
        password_file = directory / "password"
        password_file.write_text(_PASSWORD)
        password_file.chmod(0o644)
        options = ["--auth", "scram-sha-256", "--pwfile", str(password_file), "--no-sync", "--no-locale"]
        _run(directory, "initdb", "--pgdata", "data", "--username", "orchestry", "--encoding", "UTF8", *options)
        with _started(directory, port or unused_port()) as server:
            yield server


@contextmanager
def standing_by(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A server that follows another one, and takes no writes until it is promoted."""
    with _directory() as directory:
        source = f"host=127.0.0.1 port={primary.port} user=orchestry password={_PASSWORD}"
        options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--wal-method=stream"]
        _run(directory, "pg_basebackup", "--pgdata", "data", "--dbname", source, *options)
        with _started(directory, unused_port()) as server:
            yield server


@contextmanager
def _directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="orchestry-postgres-"))
    if os.geteuid() == 0:
        owner = pwd.getpwnam(_USER_WHEN_ROOT)
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def _started(directory: Path, port: int) -> Iterator[PostgresServer]:
    server = _start(directory, port)
    try:
        eventually(lambda: _answers(server) or server.process.poll() is not None)
        if server.process.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start: {(directory / 'log').read_text()}")
        yield server
    finally:
        if server.process.poll() is None:
            for process in _family(server.process.pid):
                os.kill(process, signal.SIGCONT)
        server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of a database that is this test's alone."""
    return postgres_server.create_database()


def _start(directory: Path, port: int) -> PostgresServer:
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": directory, "fsync": "off"}
    command = [*_as_ordinary_user(), str(_binaries() / "postgres"), "-D", str(directory / "data")]
    command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, cwd=directory)
    return PostgresServer(port, directory, process)


def _run(directory: Path, program: str, *arguments: str) -> None:
    command = [*_as_ordinary_user(), str(_binaries() / program), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=directory)


def _family(process: int) -> list[int]:
    """A process and those that it started."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *map(int, children)]


def _answers(server: PostgresServer) -> bool:
    try:
        _connect(server.port).close()
    except psycopg2.OperationalError:
        return False
    return True


def _connect(port: int) -> psycopg2.extensions.connection:
    return psycopg2.connect(
        host="127.0.0.1",
        port=port,
        user="orchestry",
        password=_PASSWORD,
        dbname="postgres",
        connect_timeout=5,
        options="-c default_transaction_read_only=off",
    )


def _binaries() -> Path:
    """The newest of the distribution's versions, or wherever the PATH has one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    if initdb is None:
        raise RuntimeError("found no PostgreSQL server; expected initdb in /usr/lib/postgresql/*/bin or in the PATH")
    return Path(initdb).resolve().parent


def _as_ordinary_user() -> list[str]:
    """Run what follows as somebody PostgreSQL is willing to run as, and never for longer than this process."""
    prefix = ["setpriv", "--pdeathsig=INT"]
    if os.geteuid() == 0:
        owner = pwd.getpwnam(_USER_WHEN_ROOT)
        prefix += [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    return prefix

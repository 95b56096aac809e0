"""An Engine of one's own, beside the machine's: for benchmarks and tests that need Swarm, or one they may stop.

Its data, sockets and address pool are apart from the machine's Engine; it is stopped by its process id, and nothing of
it is left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import docker

from tests.support.waiting import eventually

_BUILD = Path(__file__).parents[2] / "deploy" / "demo" / "build"


@dataclass
class PrivateEngine:
    """``host`` is what DOCKER_HOST has to be."""

    root: Path
    command: list[str]
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def host(self) -> str:
        return f"unix://{self.root}/docker.sock"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DOCKER_HOST": self.host}

    def client(self) -> docker.APIClient:
        return docker.APIClient(base_url=self.host, version="auto", timeout=120)

    def build_demo(self, version: str = "1") -> str:
        subprocess.run([_BUILD, version], env=self.environment, check=True, timeout=120, capture_output=True)
        return f"orchestry-demo:{version}"

    @contextlib.contextmanager
    def as_default(self) -> Iterator[None]:
        """Within, the Engine of this process's environment is this one."""
        before = os.environ.get("DOCKER_HOST")
        os.environ["DOCKER_HOST"] = self.host
        try:
            yield
        finally:
            del os.environ["DOCKER_HOST"]
            if before is not None:
                os.environ["DOCKER_HOST"] = before

    def pause(self) -> None:
        """Make it unreachable without ending it: its process no longer runs."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Let it end as `systemctl stop docker` does. Without live-restore its containers end with it."""
        self.process.terminate()
        self.process.wait(timeout=60)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
        eventually(lambda: _answers(self), within_seconds=60, every_seconds=0.1)


@contextlib.contextmanager
def private_engine(pool: str = "10.201.0.0/16", *options: str) -> Iterator[PrivateEngine]:
    """A fresh Engine whose networks are taken from ``pool``, with further options of dockerd."""
    root = Path(tempfile.mkdtemp(prefix="engine-"))
    arguments = [f"--data-root={root}/data", f"--exec-root={root}/exec", f"--pidfile={root}/pid", *options]
    # Without a bridge of its own it shares the default one, which nobody here uses: `--bridge none` would delete it.
    pools = ["--default-address-pool", f"base={pool},size=20"]
    engine = PrivateEngine(root, ["dockerd", f"--host=unix://{root}/docker.sock", *arguments, *pools])
    try:
        engine.start()
        yield engine
    finally:
        engine.resume()
        with contextlib.suppress(docker.errors.DockerException, OSError), contextlib.closing(engine.client()) as api:
            _clean(api)
        engine.end()
        shutil.rmtree(root, ignore_errors=True)


def _answers(engine: PrivateEngine) -> bool:
    if engine.process.poll() is not None:
        raise AssertionError(f"dockerd ended: {(engine.root / 'log').read_text()[-2000:]}")
    # By hand, since docker's client leaves a socket open where nobody answers.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(f"{engine.root}/docker.sock")
        connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in connection.recv(64)
    return False


def _clean(api: docker.APIClient) -> None:
    with contextlib.suppress(docker.errors.APIError):
        api.leave_swarm(force=True)
    for container in api.containers(all=True):
        api.remove_container(container["Id"], force=True, v=True)
    for network in api.networks():
        if network["Name"] not in ("none", "host", "bridge"):
            api.remove_network(network["Id"])

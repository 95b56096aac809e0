"""Docker Swarm on a private Engine, as the peer that benchmarks measure beside: one service of the demo image.

Its tasks are found by DNS (``dnsrr``), because virtual addresses need IPVS, which a kernel may lack. In front stands
the machine's own nginx, inside the service's network: what it knows from Docker's DNS is never older than a second, and
it tries other tasks when one fails, just as ours does. That is kinder to Swarm than its own routing mesh, which never
retries.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.types import ContainerSpec, EndpointSpec, ServiceMode, TaskTemplate, UpdateConfig

from tests.support.dockerd import PrivateEngine
from tests.support.http import serves
from tests.support.waiting import eventually

_FRONT = """
user root; pid run.pid; error_log error.log; worker_processes auto;
events { worker_connections 4096; }
http {
    access_log off; client_body_temp_path body; proxy_temp_path proxy;
    server {
        listen 8080;
        location / {
            resolver 127.0.0.11 valid=1s;
            set $service web;
            proxy_pass http://$service:8080;
            proxy_http_version 1.1;
            proxy_connect_timeout 5s;
            proxy_next_upstream error timeout invalid_header http_500 http_502 http_503;
            proxy_next_upstream_tries 3;
        }
    }
}
"""


@dataclass
class Swarm:
    """One service ``web``; everything Swarm's default but what is given."""

    api: docker.APIClient
    network: str
    service: str = ""

    def create(self, image: str, replicas: int, **update: Any) -> None:
        """The service with so many tasks; ``update`` as in UpdateConfig. Returns once all run."""
        self.service = self.api.create_service(
            self._template(image), mode=ServiceMode("replicated", replicas), **self._fixed(update)
        )["ID"]
        self.wait_running(replicas)

    def change(self, image: str, replicas: int, **update: Any) -> None:
        """Ask for another image, or another number of tasks."""
        version = self.api.inspect_service(self.service)["Version"]["Index"]
        mode = ServiceMode("replicated", replicas)
        self.api.update_service(self.service, version, self._template(image), mode=mode, **self._fixed(update))

    def wait_running(self, replicas: int, image: str | None = None) -> None:
        """Wait until exactly so many tasks run, of this image where one is given, and no other container is left."""
        eventually(lambda: self._settled(replicas, image), within_seconds=240, every_seconds=0.05)

    def addresses(self) -> list[str]:
        """Where the tasks answer on this machine."""
        gateway = self.api.inspect_network("docker_gwbridge")["Containers"]
        return [gateway[c["Id"]]["IPv4Address"].partition("/")[0] for c in self._containers()]

    def remove(self) -> None:
        self.api.remove_service(self.service)
        eventually(lambda: not self._containers(), within_seconds=120, every_seconds=0.2)

    def _settled(self, replicas: int, image: str | None) -> bool:
        tasks = self.api.tasks(filters={"service": "web", "desired-state": "running"})
        running = [t for t in tasks if t["Status"]["State"] == "running"]
        images = {t["Spec"]["ContainerSpec"]["Image"].partition("@")[0] for t in running}
        return len(tasks) == len(running) == len(self._containers()) == replicas and (
            image is None or images <= {image}
        )

    def _containers(self) -> list[dict[str, Any]]:
        return list(self.api.containers(filters={"label": "com.docker.swarm.service.name=web"}))

    def _template(self, image: str) -> TaskTemplate:
        return TaskTemplate(ContainerSpec(image), networks=[self.network])

    def _fixed(self, update: dict[str, Any]) -> dict[str, Any]:
        config = UpdateConfig(**({"parallelism": 1, "order": "stop-first"} | update))
        return {"name": "web", "endpoint_spec": EndpointSpec(mode="dnsrr"), "update_config": config}


@contextlib.contextmanager
def swarm(engine: PrivateEngine) -> Iterator[Swarm]:
    """The Engine as a Swarm of one, for as long as the block runs."""
    api = engine.client()
    api.init_swarm(advertise_addr="127.0.0.1")
    made = Swarm(api, api.create_network("swarm", driver="overlay", attachable=True)["Id"])
    try:
        yield made
    finally:
        if made.service:
            made.remove()
        api.leave_swarm(force=True)


@contextlib.contextmanager
def front(engine: PrivateEngine, made: Swarm) -> Iterator[str]:
    """An nginx in front of the service; the address at which it answers, on port 8080."""
    api = made.api
    outside = api.create_network("front")["Id"]
    host_config = api.create_host_config(network_mode="front")
    holder = api.create_container("orchestry-demo:1", ["--worker"], host_config=host_config)
    api.connect_container_to_network(holder["Id"], made.network)
    api.start(holder["Id"])
    state = api.inspect_container(holder["Id"])
    address = str(state["NetworkSettings"]["Networks"]["front"]["IPAddress"])
    with tempfile.TemporaryDirectory() as root:
        Path(root, "nginx.conf").write_text(_FRONT)
        command = ["nsenter", "-t", str(state["State"]["Pid"]), "-n"]
        command += ["nginx", "-p", root, "-c", f"{root}/nginx.conf", "-g", "daemon off;"]
        nginx = subprocess.Popen(command)
        try:
            eventually(lambda: serves(address))
            yield address
        finally:
            nginx.terminate()
            nginx.wait(timeout=30)
            api.remove_container(holder["Id"], force=True)
            api.remove_network(outside)

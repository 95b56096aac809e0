"""nginx in a container of its own, on the network its replicas are on.

Decides the container: name, mount, ports and a restart policy, so that it outlives controller and Engine restarts.
Our directory is mounted into it and is where it works, so that the configuration is the very one of `process`. It is
driven by the docker command, which honours ``DOCKER_HOST`` as its user expects. Its image is pulled in the background,
so that no tick waits for a registry. A container of its name that is not ours is never touched.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Thread

from reconciler.edge.nginx import complaint, parse_version, run
from reconciler.edge.settings import Build, EdgeSettings
from reconciler.ports import Unavailable

_DIRECTORY = "/orchestry"
_NO_DOCKER = (
    "the docker command is not installed: install it (Debian 12: `apt-get install docker.io`, Debian 13: "
    "`apt-get install docker-cli`), or use --edge process"
)
_LABEL = "orchestry.edge"
# A registry that has stopped talking is given up then, and asked again.
_PULL_SECONDS = 1800.0


def edge_container_name(instance: str) -> str:
    return "orchestry-edge" if instance == "default" else f"orchestry-{instance}-edge"


class ContainerNginx:
    """An nginx container for one instance, with ``root`` mounted into it."""

    mode = "container"

    def __init__(self, root: Path, instance: str, network: str, settings: EdgeSettings) -> None:
        self._root = root.resolve()
        self._settings = settings
        self._looked = False
        self._puller: Thread | None = None
        self._pull_news = "is being pulled"
        self.name = edge_container_name(instance)
        # Which container has *this* directory mounted: it goes with the directory, should that be removed.
        self._identity_file = self._root / "run" / "container"
        # That of TLS as well, wanted or not: to publish it later would take another container, and an outage.
        ports, addresses = (settings.port, settings.tls_port), [f"{each}:" for each in settings.addresses] or [""]
        self._published_ports = tuple(f"--publish={address}{n}:{n}" for address in addresses for n in ports)
        mount = ("--network", network, "--volume", f"{self._root}:{_DIRECTORY}", "--workdir", _DIRECTORY)
        self._program = (*mount, "--entrypoint", settings.nginx, settings.image, "-p", "./")
        # A name for all that a container is made from; one that carries another is replaced.
        self._mark = hashlib.sha256("\0".join((*self._published_ports, *self._program)).encode()).hexdigest()[:12]

    def identify(self) -> tuple[Build, str]:
        self._demand_image()
        code, output = self._docker("run", "--rm", *self._program, "-V")
        if code != 0:
            raise Unavailable(f"nginx can't be run in a container of {self._settings.image}: {complaint(output)}")
        return Build(version=parse_version(output), binds=False), output

    def test(self, generation: str) -> str | None:
        arguments = ("-t", "-c", f"generations/{generation}/nginx.conf")
        if self._running_mark():
            code, output = self._docker("exec", self.name, self._settings.nginx, "-p", "./", *arguments)
        else:
            code, output = self._docker("run", "--rm", *self._program, *arguments)
        return None if code == 0 else output

    def alive(self) -> bool:
        """Whether our container was made from the settings of now: asked once, as it costs a command. Whether it runs,
        its socket tells as well."""
        if not self._looked and self._running_mark() != self._mark:
            return False
        self._looked = True
        return True

    def load(self) -> None:
        if self._running_mark() == self._mark:
            self._demand("kill", "--signal", "HUP", self.name)
            return
        self._remove()
        output = self._demand(
            *("run", "--detach", "--name", self.name, "--restart", "unless-stopped", "--stop-signal", "QUIT"),
            *("--label", f"{_LABEL}={self._mark}", *self._published_ports),
            *(*self._program, "-c", "current/nginx.conf", "-g", "daemon off;"),
        )
        self._identity_file.write_text(output.strip())

    def reopen_logs(self) -> None:
        self._demand("kill", "--signal", "USR1", self.name)

    def stop(self) -> None:
        if self._inspect():
            self._demand("stop", self.name)
            self._remove()

    def close(self) -> None:
        """There is nothing to release."""

    def _demand_image(self) -> None:
        """Ask for the image: raises Unavailable until it is there, while one pull at a time is under way."""
        image = self._settings.image
        if self._docker("image", "inspect", image)[0] == 0:
            return
        news = self._pull_news
        if self._puller is None or not self._puller.is_alive():
            self._puller = Thread(target=self._pull, name="edge-image", daemon=True)
            self._puller.start()
        raise Unavailable(f"the image {image} {news}")

    def _pull(self) -> None:
        try:
            code, output = run(("docker", "pull", "--quiet", self._settings.image), _PULL_SECONDS, missing=_NO_DOCKER)
            reason = complaint(output) if code != 0 else ""
        except Unavailable as error:
            reason = str(error)
        if reason:
            self._pull_news = f"can't be pulled, which is tried again: {reason}"

    def _running_mark(self) -> str | None:
        """The mark of our container, if it runs on the directory there is now."""
        known = self._inspect()
        noted = self._identity_file.read_text() if self._identity_file.exists() else ""
        return known[2] if known and known[:2] == (noted, "running") else None

    def _inspect(self) -> tuple[str, str, str] | None:
        """Id, state and mark of the container of our name; None without one. Raises Unavailable for a foreign one."""
        template = f'{{{{.Id}}}} {{{{.State.Status}}}} {{{{index .Config.Labels "{_LABEL}"}}}}'
        code, output = self._docker("container", "inspect", "--format", template, self.name)
        if code != 0:
            return None
        identity, state, *mark = output.split()
        if not mark or mark[0] == "<no":
            raise Unavailable(f"a container named {self.name} exists that is not ours: rename or remove it")
        return identity, state, mark[0]

    def _remove(self) -> None:
        if self._inspect():
            self._demand("rm", "--force", self.name)

    def _demand(self, *arguments: str) -> str:
        code, output = self._docker(*arguments)
        if code != 0:
            raise Unavailable(f"`docker {arguments[0]}` failed for the edge's container: {complaint(output)}")
        return output

    def _docker(self, *arguments: str) -> tuple[int, str]:
        return run(("docker", *arguments), self._settings.command_timeout_seconds, missing=_NO_DOCKER)

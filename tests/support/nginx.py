"""Every way to run nginx that the edge knows, each with and without Lua, for one contract suite.

A `Front` is one such nginx with its edge: publish through ``edge``, ask through ``get``. The image for containers is
built from the nginx of the machine, so that no registry is needed.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import io
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reconciler.edge import EdgeSettings, NginxEdge, open_edge
from reconciler.model.routes import AppRoutes, RouteTable
from reconciler.model.spec import EdgeOptions, Route
from reconciler.ports import Fence, no_fence
from tests.support.replicas import Replica
from tests.support.tcp import unused_port
from tests.support.waiting import eventually

Mode = Literal["process", "container", "external"]
_NGINX = Path("/usr/sbin/nginx")
_IMAGE_FILES = ("/usr/lib/nginx/modules", "/usr/share/lua/5.1", "/etc/passwd", "/etc/group")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def replica(self) -> str | None:
        """The name of the replica that answered."""
        return self.headers.get("X-Replica")


def table(*apps: AppRoutes) -> RouteTable:
    return RouteTable(tuple(sorted(apps, key=lambda app: app.app_name)))


def app_routes(name: str, servers: Iterable[Any] = (), *routes: Route, **options: Any) -> AppRoutes:
    """An app at ``/NAME``, or at the routes given; ``options`` under their YAML names."""
    edge = EdgeOptions.model_validate_json(json.dumps(options))
    return AppRoutes(name, routes or (Route(path=f"/{name}"),), tuple(servers), edge)


@dataclass
class Front:
    """One nginx, with the edge that publishes to it."""

    mode: Mode
    settings: EdgeSettings
    state_dir: Path
    instance: str = "default"
    network: str = "bridge"
    replica_addresses: tuple[str, ...] = ()  # where this nginx reaches this process; empty for loopback
    owner: Owner | None = None
    edge: NginxEdge = field(init=False)

    def __post_init__(self) -> None:
        self.edge = self.reopen()

    def reopen(self, fence: Fence = no_fence, **changes: Any) -> NginxEdge:
        """A new edge on the same files, as after a restart of the controller, with other settings."""
        edge = open_edge(
            self.mode,
            instance=self.instance,
            state_dir=self.state_dir,
            network=self.network,
            settings=replace(self.settings, **changes),
            fence=fence,
        )
        assert isinstance(edge, NginxEdge)
        return edge

    @property
    def has_lua(self) -> bool:
        return self.settings.lua == "auto"

    @property
    def root(self) -> Path:
        return self.settings.external_dir or self.state_dir / "edge"

    def at(self, *running: Replica, **marks: Any) -> list[Any]:
        """Replicas as a route table names them."""
        return [replica.server(**marks) for replica in running]

    def publish(self, *apps: AppRoutes) -> Any:
        return self.edge.publish(table(*apps))

    # -- asking

    def connect(self, port: int | None = None) -> AbstractContextManager[http.client.HTTPConnection]:
        """A connection, kept for as long as the block runs."""
        return closing(http.client.HTTPConnection("127.0.0.1", port or self.settings.port, timeout=20))

    def get(
        self, path: str, *, method: str = "GET", host: str | None = None, port: int | None = None, **options: Any
    ) -> Answer:
        """One request on a connection of its own."""
        with self.connect(port) as connection:
            return ask(connection, path, method=method, host=host, **options)

    def get_tls(self, path: str, host: str, authority: Path) -> Answer:
        """One request over TLS, to a host whose certificate is checked against ``authority``."""
        context = ssl.create_default_context(cafile=str(authority))
        raw = socket.create_connection(("127.0.0.1", self.settings.tls_port), timeout=20)
        with raw, closing(http.client.HTTPConnection(host, timeout=20)) as connection:
            connection.sock = context.wrap_socket(raw, server_hostname=host)
            return ask(connection, path, host=host)

    @contextmanager
    def in_flight(self, count: int, running: Sequence[Replica]) -> Iterator[list[http.client.HTTPConnection]]:
        """So many requests for ``/web``, each on a connection of its own: all have reached one of these replicas, one
        after the other, and wait there until it is released."""
        with ExitStack() as stack:
            connections = [stack.enter_context(self.connect()) for _ in range(count)]
            for connection in connections:
                _arrive(connection, running)
            yield connections

    @contextmanager
    def speak(self, *lines: str) -> Iterator[socket.socket]:
        """A connection on which these lines were sent, and the end of the headers."""
        with socket.create_connection(("127.0.0.1", self.settings.port), timeout=20) as client:
            client.sendall("\r\n".join((*lines, "Host: x", "", "")).encode())
            yield client

    def log_lines(self) -> list[str]:
        """The access log, once nginx has written what it buffered: at most a second."""
        return (self.root / "logs" / "access.log").read_text().splitlines()

    # -- what happens to an nginx

    def kill(self) -> None:
        """SIGKILL for every process of it, as by the kernel when memory runs out."""
        if self.mode == "container":
            subprocess.run(["docker", "kill", self.container], check=True, capture_output=True, timeout=60)
            return
        eventually(self._killed)

    def _killed(self) -> bool:
        """Whether none is left; a worker may have been forked since the last look."""
        for pid in (*self.processes("nginx: master"), *self.processes("nginx: worker")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not self.processes()

    def start_alone(self) -> None:
        """Start it without us, as a supervisor would."""
        if self.mode == "container":
            subprocess.run(["docker", "start", self.container], check=True, capture_output=True, timeout=60)
        elif self.owner:
            self.owner.start()
        else:
            command = [str(_NGINX), "-p", "./", "-c", "current/nginx.conf"]
            subprocess.run(command, cwd=self.root, check=True, timeout=30)

    @property
    def container(self) -> str:
        return f"orchestry-{self.instance}-edge"

    def start_foreign(self) -> str:
        """A container of the edge's name that somebody else made; its id."""
        command = ["docker", "create", "--name", self.container, "--network", self.network]
        command += ["--entrypoint", "nginx", nginx_image(), "-v"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return self.container_id()

    def container_id(self) -> str:
        command = ["docker", "container", "inspect", "--format", "{{.Id}}", self.container]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def processes(self, title: str = "nginx: ") -> list[int]:
        """Pids of this nginx's processes (not for containers), workers that are shutting down included."""
        where = self.owner.directory if self.owner else self.root
        return [pid for pid in _nginx_pids(title) if _cwd(pid) == where.resolve()]

    def settle(self) -> None:
        """Wait until nothing is in flight any more, so that whoever takes this nginx next counts its own."""
        eventually(lambda: not any(self.edge.requests_left(self.replica_addresses).values()))

    def close(self) -> None:
        if self.owner:
            self.owner.stop()
        elif self.mode == "container":
            subprocess.run(["docker", "rm", "--force", self.container], capture_output=True, timeout=60, check=False)
        else:
            self.edge.shut_down()


@dataclass
class Owner:
    """Somebody who runs an nginx of their own, with a site of their own, and lets us into it."""

    directory: Path
    included: Path
    port: int

    def __post_init__(self) -> None:
        self.directory.mkdir()
        (self.directory / "nginx.conf").write_text(
            f"{'user root;' if os.geteuid() == 0 else ''}\n"
            "load_module /usr/lib/nginx/modules/ndk_http_module.so;\n"
            "load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;\n"
            f"pid {self.directory}/nginx.pid;\nerror_log {self.directory}/error.log;\n"
            "events {}\nhttp {\n"
            f"    access_log off;\n    client_body_temp_path {self.directory}/body;\n"
            f"    server {{ listen 127.0.0.1:{self.port}; location / {{ return 200 theirs; }} }}\n"
            f"    include {self.included}/current/*.conf;\n}}\n"
        )

    def command(self, *arguments: str) -> tuple[str, ...]:
        return (str(_NGINX), "-c", f"{self.directory}/nginx.conf", *arguments)

    def start(self) -> None:
        subprocess.run(self.command(), cwd=self.directory, check=True, timeout=30)

    def stop(self) -> None:
        for pid in _nginx_pids("nginx: "):
            if _cwd(pid) == self.directory.resolve():
                os.kill(pid, signal.SIGKILL)


def _arrive(connection: http.client.HTTPConnection, running: Sequence[Replica]) -> None:
    before = sum(len(replica.requests) for replica in running)
    connection.request("GET", "/web?wait")
    eventually(lambda: sum(len(replica.requests) for replica in running) > before)


def ask(
    connection: http.client.HTTPConnection, path: str, *, method: str = "GET", host: str | None = None, **options: Any
) -> Answer:
    headers = {"Host": host} if host else {}
    connection.request(method, path, options.get("body"), headers | options.get("headers", {}))
    answer = connection.getresponse()
    return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())


@contextmanager
def front(mode: Mode, directory: Path, **changes: Any) -> Iterator[Front]:
    """An nginx run in this way, not started before the first publish; gone afterwards."""
    opened = {"process": _process, "external": _external, "container": _container}[mode](directory, changes)
    with opened as made:
        try:
            yield made
        finally:
            made.close()


def _settings(changes: dict[str, Any]) -> EdgeSettings:
    ports: dict[str, Any] = {"port": unused_port(), "tls_port": unused_port(), "bind": "127.0.0.1"}
    return EdgeSettings(**(ports | changes))


@contextmanager
def _process(directory: Path, changes: dict[str, Any]) -> Iterator[Front]:
    yield Front("process", _settings(changes), directory)


@contextmanager
def _external(directory: Path, changes: dict[str, Any]) -> Iterator[Front]:
    included = directory / "in"  # its sockets lie below, whose names may have 107 bytes
    owner = Owner(directory / "theirs", included, unused_port())
    owner.start()
    commands = {"test_command": owner.command("-t"), "reload_command": owner.command("-s", "reload")}
    settings = _settings({"external_dir": included} | commands | changes)
    yield Front("external", settings, directory, owner=owner)


@contextmanager
def _container(directory: Path, changes: dict[str, Any]) -> Iterator[Front]:
    """Two networks, though it is in one: each gives this process an address, and no two replicas may share one."""
    instance = f"test-{secrets.token_hex(4)}"
    network = f"orchestry-{instance}"
    with _network(network) as first, _network(f"{network}-beside") as second:
        settings = _settings({"image": nginx_image()} | changes)
        yield Front("container", settings, directory, instance, network, replica_addresses=(first, second))


@contextmanager
def _network(name: str) -> Iterator[str]:
    """A network of the Engine; the address that containers reach this machine at."""
    subprocess.run(["docker", "network", "create", name], check=True, capture_output=True, timeout=60)
    try:
        inspect = ["docker", "network", "inspect", name, "--format", "{{(index .IPAM.Config 0).Gateway}}"]
        yield subprocess.run(inspect, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    finally:
        subprocess.run(["docker", "network", "rm", name], capture_output=True, timeout=60, check=False)


@functools.cache
def nginx_image() -> str:
    """An image with the machine's own nginx, its modules and its libraries, and nothing else; its name.

    It stays for the next run, under a name that changes with the files.
    """
    files = sorted(_needed_files())
    stamps = [(file, Path(file).stat().st_mtime_ns) for file in files]
    name = f"orchestry-test-nginx:{hashlib.sha256(repr(stamps).encode()).hexdigest()[:12]}"
    known = subprocess.run(["docker", "image", "inspect", name], capture_output=True, timeout=60, check=False)
    if known.returncode != 0:
        _import_image(name, files)
    return name


def _import_image(name: str, files: Iterable[str]) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        for file in files:
            tar.add(file)
        for writable in ("tmp", "var/log/nginx", "var/lib/nginx", "run"):
            directory = tarfile.TarInfo(writable)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(directory)
    command = ["docker", "import", "--change", "ENV PATH=/usr/sbin:/usr/bin", "-", name]
    subprocess.run(command, input=archive.getvalue(), check=True, capture_output=True, timeout=120)


def _needed_files() -> set[str]:
    programs = [str(_NGINX), *map(str, Path("/usr/lib/nginx/modules").glob("*.so"))]
    linked = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True, timeout=30).stdout
    libraries = {word for line in linked.splitlines() for word in line.split() if word.startswith("/")}
    return {str(_NGINX), *_IMAGE_FILES} | {name for name in libraries if not name.endswith(":")}


def make_certificate(
    secret: Path,
    host: str,
    *,
    age: timedelta = timedelta(hours=1),
    left: timedelta = timedelta(days=2),
    issuer: Path | None = None,
) -> Path:
    """A self-signed certificate and its key, as the files of a secret; the certificate's path. Valid since ``age`` ago,
    for what is ``left``. ``issuer`` is the secret of a CA that signs it instead."""
    secret.mkdir(parents=True, exist_ok=True)
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    known_as = x509.IPAddress(ip_address(host)) if ":" in host else x509.DNSName(host)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issued_by = x509.load_pem_x509_certificate((issuer / "tls.crt").read_bytes()).subject if issuer else name
    signing = serialization.load_pem_private_key((issuer / "tls.key").read_bytes(), None) if issuer else key
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issued")]) if issuer else name
    made = (
        x509.CertificateBuilder(issued_by, name, key.public_key(), x509.random_serial_number(), now - age, now + left)
        .add_extension(x509.SubjectAlternativeName([known_as]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .sign(signing, hashes.SHA256())
    )
    private = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (secret / "tls.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    (secret / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return secret / "tls.crt"


def _nginx_pids(title: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _read(entry / "cmdline").startswith(title.encode()):
            found.append(int(entry.name))
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _cwd(pid: int) -> Path | None:
    try:
        return Path(str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(" (deleted)"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None

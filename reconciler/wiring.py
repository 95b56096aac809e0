"""The one place that builds adapters and hands them to the loop.

In the order people described: database, applications, health, scaling, nginx, and only then the work. What was opened
is closed again in the reverse order, whatever happens; closing stops no app and no nginx.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from reconciler import __version__, alive
from reconciler.edge import EdgeSettings, NginxEdge, NoEdge, edge_container_name, open_edge
from reconciler.executor import Executor
from reconciler.instance_lock import InstanceLock
from reconciler.load import open_meter
from reconciler.loop import Waker
from reconciler.model.plan import DecisionSettings
from reconciler.model.reasons import Reason
from reconciler.model.recorded import SignOfLife
from reconciler.ports import Fence, LoadMeter, Rejected, Source, Store, no_fence
from reconciler.probe import open_prober
from reconciler.pulse import Pulse
from reconciler.runtime.docker import DockerRuntime
from reconciler.runtime.engine import Engine
from reconciler.runtime.host_paths import AllowedPath
from reconciler.runtime.logs import ContainerLogs
from reconciler.settings import BadSettings, Settings
from reconciler.source import FIRST_FETCH_SECONDS, open_source
from reconciler.state_disk import fullness
from reconciler.store import open_store
from reconciler.tick import World

log = logging.getLogger("orchestry")

_SUBPATHS_ARE_ALLOWED = (
    "allow_host_paths lets volumes name all that is below %s, where containers may change what a path leads to; "
    "[[allow_host_path]] allows one path, and with readOnly = true only to read it"
)


class SystemClock:
    """The time of the machine."""

    def now(self) -> float:
        return time.time()


@contextmanager
def open_world(settings: Settings, waker: Waker) -> Iterator[World]:
    """Everything the loop needs, opened in order. What keeps other controllers of this host out is taken at once, the
    database waited for by the loop, and before that nothing is changed. Raises Unavailable, AlreadyRunning or Rejected
    with the remedy."""
    clock, edge_settings = SystemClock(), settings_of_edge(settings)
    if settings.allow_host_paths:
        log.warning(_SUBPATHS_ARE_ALLOWED, ", ".join(settings.allow_host_paths))
    with ExitStack() as opened:
        store = open_store(settings.database, state_dir=settings.directory, instance=settings.instance, prepared=False)
        opened.callback(store.close)
        pulse = opened.enter_context(Pulse(places_of_life(settings, store), store.renew))
        pulse.at("reading the source")
        source = open_spec_source(settings, waker, settings.directory)
        opened.callback(source.close)
        pulse.at("waiting for the Docker Engine")
        runtime = open_runtime(settings, waker, store.fence)
        opened.callback(runtime.close)
        opened.callback(lock_instance(settings, runtime).release)
        prober = open_prober(
            wake=waker.wake,
            redactor_of=runtime.redactor_of,
            concurrency=settings.probe_concurrency,
            secrets_dir=settings.secrets,
        )
        opened.callback(prober.close)
        edge = open_nginx(settings, edge_settings, store.fence, waker.wake_at_once)
        opened.callback(edge.close)
        meter = open_load(settings, edge, runtime)
        opened.callback(meter.close)
        executor = Executor(
            runtime, clock, wake=waker.wake, wake_at_once=waker.wake_at_once, concurrency=settings.concurrency
        )
        opened.callback(executor.close)
        yield World(
            source=source,
            runtime=runtime,
            prober=prober,
            meter=meter,
            edge=edge,
            store=store,
            executor=executor,
            clock=clock,
            settings=decision_settings(settings),
            source_name=settings.source_name,
            branch=settings.branch,
            path=settings.path,
            pulse=pulse,
            state_disk=partial(fullness, settings.directory),
        )


def places_of_life(settings: Settings, store: Store) -> dict[str, Callable[[SignOfLife], None]]:
    """Where signs of life are written: into the state directory and, for readers elsewhere, into a shared database."""
    places: dict[str, Callable[[SignOfLife], None]] = {
        "the state directory": partial(alive.write, settings.directory / alive.FILE_NAME)
    }
    return places | {"the database": store.announce} if settings.database else places


def open_spec_source(
    settings: Settings, waker: Waker, mirrors: Path, *, first_fetch_seconds: float | None = FIRST_FETCH_SECONDS
) -> Source:
    """The source; a git URL is mirrored under ``mirrors``. Raises Rejected for one that can never be read."""
    try:
        return open_source(
            settings.source,
            branch=settings.branch,
            path=settings.path,
            state_dir=mirrors,
            wake=waker.wake,
            fetch_interval_seconds=settings.fetch_interval,
            fetch_silence_seconds=settings.fetch_silence,
            first_fetch_seconds=first_fetch_seconds,
            allow_file_urls=settings.allow_file_urls,
        )
    except ValueError as error:
        raise Rejected(Reason.SOURCE_UNFIT, f"source: {error}") from error


def lock_instance(settings: Settings, runtime: DockerRuntime) -> InstanceLock:
    """The lock on the instance's containers. Raises AlreadyRunning, or Unavailable without the Engine."""
    return InstanceLock(runtime.engine_id(), settings.instance, settings.directory)


def open_runtime(settings: Settings, waker: Waker, fence: Fence = no_fence) -> DockerRuntime:
    return DockerRuntime(
        instance=settings.instance,
        network=settings.network_name,
        secrets_dir=settings.secrets,
        allow_host_paths=allowed_host_paths(settings),
        allow_volumes=settings.allow_volumes,
        volume_record=settings.directory / "inherited-volumes.json",
        secrets_key=settings.directory / "secrets.key",
        wake=waker.wake,
        concurrency=settings.concurrency,
        fence=fence,
        on_death_of={edge_container_name(settings.instance): waker.wake_at_once},
    )


@contextmanager
def open_logs(settings: Settings) -> Iterator[ContainerLogs]:
    """What the instance's containers write, for as long as somebody reads it."""
    with closing(Engine(settings.concurrency)) as engine:
        yield ContainerLogs(engine, settings.instance, settings.network_name)


def allowed_host_paths(settings: Settings) -> tuple[AllowedPath, ...]:
    """What settings allow of host paths: some exactly, some with all that is below them."""
    exact = (AllowedPath(PurePosixPath(host.path), read_only=host.read_only) for host in settings.allow_host_path)
    return (*exact, *(AllowedPath(PurePosixPath(path), subpaths=True) for path in settings.allow_host_paths))


def open_nginx(
    settings: Settings,
    edge_settings: EdgeSettings | None = None,
    fence: Fence = no_fence,
    died: Callable[[], None] | None = None,
) -> NginxEdge | NoEdge:
    """The edge; ``died`` is called as soon as an nginx that is our process has ended."""
    return open_edge(
        settings.edge,
        instance=settings.instance,
        state_dir=settings.directory,
        network=settings.network_name,
        died=died,
        fence=fence,
        settings=edge_settings or settings_of_edge(settings),
    )


def open_load(settings: Settings, edge: NginxEdge | NoEdge, runtime: DockerRuntime) -> LoadMeter:
    return open_meter(
        state_dir=settings.directory,
        access_log=edge.access_log,
        reopen_log=edge.reopen_logs,
        open_requests=edge.open_requests,
        stats=runtime.stats,
        prometheus_url=settings.prometheus_url,
    )


def settings_of_edge(settings: Settings) -> EdgeSettings:
    """The settings as far as they concern the edge. Raises BadSettings for a trusted proxy that is no address."""
    return EdgeSettings(
        port=settings.edge_port,
        tls_port=settings.edge_tls_port,
        bind=settings.edge_address,
        trusted_proxies=settings.trusted_networks,
        proxy_protocol=settings.proxy_protocol,
        templates_dir=settings.edge_templates,
        secrets_dir=settings.secrets,
        lua=settings.edge_lua,
        image=settings.edge_image,
        worker_shutdown_seconds=settings.edge_worker_shutdown,
        request_header_bytes=settings.edge_request_header_size,
        underscores_in_headers=settings.edge_underscores_in_headers,
        external_dir=settings.edge_directory,
        test_command=settings.edge_test_command,
        reload_command=settings.edge_reload_command,
    )


def decision_settings(settings: Settings) -> DecisionSettings:
    return DecisionSettings(name_prefix=settings.name_prefix, confirmed_revision=settings.confirm_deletions)


def reread(settings: DecisionSettings, load: Callable[[], Settings]) -> DecisionSettings:
    """These settings, with what SIGHUP may change as it stands by now: which deletions are confirmed. Nothing else is
    taken over from what ``load`` gives, and nothing at all where it raises BadSettings."""
    try:
        loaded = load()
    except BadSettings as error:
        log.warning("the settings were not read again, and confirm_deletions stays as it was: %s", error)
        return settings
    if loaded.confirm_deletions != settings.confirmed_revision:
        log.info(
            "confirm_deletions was read again: %s", loaded.confirm_deletions or "no revision is confirmed any more"
        )
    return replace(settings, confirmed_revision=loaded.confirm_deletions)


def told_at_the_start(settings: Settings) -> str:
    """The first line of the log: who runs here, by which source, and where nginx is."""
    where = "".join(f", {name} {value}" for name in ("branch", "path") if (value := getattr(settings, name)))
    edge = "no edge" if settings.edge == "none" else f"edge {settings.edge} on port {settings.edge_port}"
    return f"orchestry {__version__}, instance {settings.instance}: source {settings.source_name}{where}; {edge}"

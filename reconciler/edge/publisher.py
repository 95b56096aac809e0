"""The publisher makes a route table live: render, test, switch, load, prove, and go back where any of it fails.

Decides what is really served and says so in the `Publication`. It must never leave a configuration current that was
not proven, never load nginx twice for one table, and never at all where only replicas changed that can be pushed. Nor
change what is served once another controller has taken over: the fence is asked before each switch, load and push.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Lock

from reconciler.edge.certificates import Certificates
from reconciler.edge.config_test import ConfigTest
from reconciler.edge.control import Control, NotServed
from reconciler.edge.fingerprints import Fingerprints
from reconciler.edge.generations import Generations
from reconciler.edge.insertion import Hopeless, Insertion
from reconciler.edge.manifest import Manifest
from reconciler.edge.news import news, notices
from reconciler.edge.nginx import Nginx, final_complaint
from reconciler.edge.probe import with_ipv6, with_lua
from reconciler.edge.render import LUA_FILE, LUA_SOURCE, Renderer, Rendering
from reconciler.edge.servers import ServerList
from reconciler.edge.settings import EdgeSettings
from reconciler.edge.sockets import requests_left
from reconciler.edge.virtual_servers import Certificate
from reconciler.model.routes import Publication, Refusal, RouteTable
from reconciler.ports import Fence, LeadershipUnknown, Unavailable, no_fence

_LARGE_ERROR_LOG_BYTES = 16 * 2**20


class NginxEdge:
    """`ports.Edge` on any nginx, which logs requests to ``access_log`` in the format of `model.access_log`."""

    def __init__(self, nginx: Nginx, generations: Generations, settings: EdgeSettings, fence: Fence = no_fence) -> None:
        self.access_log = generations.access_log
        self._nginx = nginx
        self._generations = generations
        self._settings = settings
        self._fence = fence
        self._control = Control(generations.root / "run", fence)
        self._certificates = Certificates(generations.root / "assets", settings.secrets_dir)
        self._fingerprints = Fingerprints(generations.root / "assets")
        self._insertion = Insertion()
        self._renderer: Renderer | None = None
        self._last: tuple[object, Publication] | None = None
        self._trouble = "not known yet"
        self._lock = Lock()

    def publish(self, table: RouteTable) -> Publication:
        with self._lock:
            try:
                return self._publish(table)
            except Unavailable as error:
                self._trouble = str(error)
                raise
            except OSError as error:
                self._trouble = f"the edge's files can't be written: {error}"
                raise Unavailable(self._trouble) from error

    def open_requests(self) -> Mapping[str, int]:
        """Requests in flight by replica address, exact where replicas are pushed; empty for a stock nginx, which can't
        tell of replicas it serves: an open connection may well be an idle one."""
        with self._lock:
            served = self._generations.served
            return self._counted(served) if served.servers_digest else {}

    def requests_left(self, addresses: Collection[str]) -> Mapping[str, int]:
        """Requests in flight, as nginx counts them where replicas are pushed, else as its sockets show."""
        with self._lock:
            served = self._generations.served
            if served.servers_digest:
                counted = self._counted(served)
                return {address: counted[address] for address in addresses if address in counted}
            try:
                worker = self._control.worker(served.control_socket)
            except NotServed:
                return {}
            serving = {server.address for app in served.table.apps for server in app.servers}
            return requests_left(worker, serving.union(addresses), addresses)

    def describe(self) -> str:
        """What publishing has found out. Nothing is asked, so that nothing can fail or be tried twice in a tick."""
        if self._renderer is None:
            return f"nginx ({self._nginx.mode}): {self._trouble}"
        build = self._renderer.build
        how = "replicas change without a reload (Lua)" if build.lua else "replicas change by reload"
        return f"nginx {build.version_text} ({self._nginx.mode}), {how}"

    def reopen_logs(self) -> None:
        """Have nginx open its logs anew after the access log was renamed; a large error log is put aside as well.

        Raises Unavailable.
        """
        errors = self._generations.error_log
        if errors.exists() and errors.stat().st_size > _LARGE_ERROR_LOG_BYTES:
            errors.replace(errors.with_name("error.log.1"))
        self._nginx.reopen_logs()

    def shut_down(self) -> None:
        """End the nginx that is ours, for good. Raises Unavailable."""
        with self._lock:
            self._last = None
            with self._control.reloading(""):
                self._fence()
                self._nginx.stop()

    def close(self) -> None:
        """nginx goes on serving."""
        self._nginx.close()

    def _counted(self, served: Manifest) -> Mapping[str, int]:
        """Requests in flight by address, out of lines ``ADDRESS:PORT COUNT``."""
        try:
            answer = self._control.ask(served.control_socket, "GET", "/requests")
        except NotServed:
            return {}
        counts: Counter[str] = Counter()
        for line in answer.splitlines():
            server, _, count = line.partition(" ")
            counts[server.rpartition(":")[0]] += int(count)
        return dict(counts)

    def _get_to_know(self) -> Renderer:
        """The renderer for the nginx at hand, which is asked once: it may not be there when the controller starts."""
        if self._renderer is None:
            build, version_output = self._nginx.identify()
            if self._settings.lua == "auto":
                build = with_lua(build, self._nginx, self._generations, version_output)
            if not self._settings.addresses:
                build = with_ipv6(build, self._nginx, self._generations, self._settings)
            self._renderer = Renderer(self._settings, build)
        return self._renderer

    def _publish(self, table: RouteTable) -> Publication:
        self._generations.prepare()
        served = self._generations.served
        certificates, problems = self._certificates.read(table, served.certificates)
        fingerprinted, unknown = self._fingerprints.read(table, served.certificates)
        certificates, problems = certificates | fingerprinted, problems | unknown
        wanted = (table, certificates, problems)
        if self._last and self._last[0] == wanted and self._serves(served):
            return replace(self._last[1], how="unchanged", news=())
        publication = self._make_live(table, certificates, problems, served)
        self._last = wanted, publication
        return publication

    def _make_live(
        self, wanted: RouteTable, certificates: Mapping[str, Certificate], problems: Mapping[str, str], served: Manifest
    ) -> Publication:
        renderer = self._get_to_know()
        if renderer.build.lua:
            self._generations.add_asset(LUA_FILE, LUA_SOURCE)
        # An app that is refused falls back to what it had, and that may be another certificate.
        known, sequence = {**served.certificates, **certificates}, self._generations.next_sequence()
        test = ConfigTest(self._nginx, self._generations, renderer, known, served.digest, sequence)
        served_apps = {app.app_name: app for app in served.table.apps}
        try:
            apps, complaints = self._insertion.accepted(wanted.apps, served_apps, certificates, test.complaint)
        except Hopeless as error:
            raise Unavailable(f"nginx refuses its configuration: {error}") from error
        rendering, current = test.render(apps), self._generations.current
        if current and rendering.manifest.digest == served.digest:
            generation, how = self._change_servers(rendering, current, served)
        else:
            generation, how = self._change_all(rendering)
        self._generations.prune()
        refusals = _refusals(wanted, problems, complaints)
        validity = self._certificates.validity(rendering.manifest.certificates.values())
        told = tuple(news(served, self._settings, renderer.build)), tuple(notices(self._settings, renderer.build))
        return Publication(RouteTable(apps), generation, how, refusals, validity, *told)

    def _change_all(self, rendering: Rendering) -> tuple[str, str]:
        self._generations.write(rendering.generation, rendering.files)
        self._generations.seal(rendering.generation, rendering.manifest)
        self._load(rendering.generation, rendering.manifest)
        return rendering.generation, "reloaded"

    def _change_servers(self, rendering: Rendering, current: str, served: Manifest) -> tuple[str, str]:
        """Change at most the replicas: nginx has the right configuration, unless it died or was never told."""
        generation, manifest = current, replace(rendering.manifest, control_socket=served.control_socket)
        if rendering.servers and manifest.servers_digest != served.servers_digest:
            generation = rendering.generation
            self._generations.derive(generation, current, {"servers": rendering.servers.text})
            self._generations.seal(generation, manifest)
        elif self._serves(manifest):
            self._finish_reload(manifest)
            return current, "unchanged"
        if rendering.servers and self._nginx.alive() and self._control.state(manifest.control_socket):
            with self._made_current(generation, "nginx does not take the new replicas"):
                before = ServerList.of(served.table)
                self._control.replace_servers(manifest.control_socket, rendering.servers, before)
            self._finish_reload(manifest)
            return generation, "pushed"
        self._load(generation, manifest)
        return generation, "reloaded"

    def _finish_reload(self, manifest: Manifest) -> None:
        """Wait for old workers: a controller before this one may have died between a reload and their end."""
        try:
            self._control.wait_for_others(manifest.control_socket, self._settings.proof_timeout_seconds)
        except NotServed as error:
            raise Unavailable(str(error)) from error

    def _serves(self, manifest: Manifest) -> bool:
        return self._nginx.alive() and self._control.state(manifest.control_socket) == manifest.state

    def _load(self, generation: str, manifest: Manifest) -> None:
        """Load a generation and prove it."""
        control_socket, timeout_seconds = manifest.control_socket, self._settings.proof_timeout_seconds
        errors = self._generations.listen_to_errors()
        with (
            self._control.reloading(control_socket),
            self._made_current(generation, "nginx does not serve the new configuration"),
        ):
            self._nginx.load()
            self._control.prove(control_socket, manifest.state, timeout_seconds, lambda: final_complaint(errors()))
            self._nginx.alive()  # so that it is watched from the start

    @contextmanager
    def _made_current(self, generation: str, failure: str) -> Iterator[None]:
        """Make a generation current while nginx takes it over, and the one before again where that fails."""
        self._fence()
        previous = self._generations.current
        try:
            self._generations.activate(generation)
            yield
        except (NotServed, Unavailable, OSError) as error:
            with suppress(LeadershipUnknown):  # what was begun is taken back, unless another has taken over
                self._fence()
            if generation != previous:
                self._generations.activate(previous)
                self._generations.discard(generation)
                if previous and self._nginx.alive():
                    self._nginx.load()
            raise Unavailable(f"{failure}: {error}") from error


def _refusals(wanted: RouteTable, problems: Mapping[str, str], complaints: Mapping[str, str]) -> tuple[Refusal, ...]:
    """What is wrong with an app's secrets comes first: why it is refused, or served with a certificate of before."""
    reasons: dict[str, list[str]] = {}
    for app in wanted.apps:
        names = dict.fromkeys(route.tls.secret for route in app.routes if route.tls)
        names |= {app.upstream.tls.trust: None} if app.upstream.tls else {}
        of_app = [problems.get(name) for name in names] + [complaints.get(app.app_name)]
        reasons[app.app_name] = [reason for reason in of_app if reason]
    return tuple(Refusal(name, "; ".join(texts)) for name, texts in reasons.items() if texts)

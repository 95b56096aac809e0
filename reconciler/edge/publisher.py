"""Makes a route table live: render, test, switch, load, prove, and go back where any of it fails.

Decides what is really served and says so in the `Publication`. It must never leave a configuration current that was
not proven, never load nginx twice for one table, and never load it at all when the text is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from reconciler.edge.certificates import Certificates
from reconciler.edge.control import Control, NotServed
from reconciler.edge.generations import Generations, Manifest
from reconciler.edge.nginx import Nginx, complaint, place
from reconciler.edge.render import Renderer, RenderError, Rendering, app_at
from reconciler.edge.settings import Build, EdgeSettings
from reconciler.edge.sites import Certificate
from reconciler.edge.trial import Apps, Hopeless, Verdict, largest_accepted
from reconciler.model.routes import AppRoutes, Publication, Refusal, RouteTable
from reconciler.ports import Unavailable


@dataclass(frozen=True, slots=True)
class _Wanted:
    """All that the configuration follows from. ``problems`` by secret name."""

    table: RouteTable
    certificates: Mapping[str, Certificate]
    problems: Mapping[str, str]


class NginxEdge:
    """`ports.Edge` on any nginx."""

    def __init__(self, nginx: Nginx, generations: Generations, settings: EdgeSettings) -> None:
        self._nginx = nginx
        self._generations = generations
        self._settings = settings
        self._control = Control(generations.root / "run")
        self._certificates = Certificates(generations.root / "assets", settings.secrets_dir)
        self._known: tuple[Build, Renderer] | None = None
        self._last: tuple[_Wanted, Publication] | None = None
        self._lock = Lock()

    @property
    def access_log(self) -> Path:
        """Where nginx logs requests, in the format of `model.access_log`."""
        return self._generations.root / "logs" / "access.log"

    def publish(self, table: RouteTable) -> Publication:
        with self._lock:
            try:
                return self._publish(table)
            except OSError as error:
                raise Unavailable(f"the edge's files can't be written: {error}") from error

    def open_requests(self) -> Mapping[str, int]:
        return {}

    def describe(self) -> str:
        build, _ = self._get_to_know()
        return f"nginx {build.version_text} ({self._nginx.describe()}), changes by reload"

    def reopen_logs(self) -> None:
        """Have nginx open its logs anew after they were renamed. Raises Unavailable."""
        self._nginx.reopen_logs()

    def stop(self) -> None:
        """End the nginx that is ours, for good. Raises Unavailable."""
        with self._lock:
            self._last = None
            self._nginx.stop()

    def close(self) -> None:
        """nginx goes on serving."""

    def _get_to_know(self) -> tuple[Build, Renderer]:
        """Asked of nginx once: it may not be there yet when the controller starts."""
        if self._known is None:
            build = self._nginx.build()
            self._known = build, Renderer(self._settings, build)
        return self._known

    def _publish(self, table: RouteTable) -> Publication:
        self._generations.prepare()
        current = self._generations.current
        served = self._generations.manifest(current) if current else None
        certificates, problems = self._certificates.read(table, served.certificates if served else {})
        wanted = _Wanted(table, certificates, problems)
        if current and self._last and self._last[0] == wanted and self._serves(current):
            return replace(self._last[1], how="unchanged")
        publication = self._make_live(wanted, current, served)
        self._last = wanted, publication
        return publication

    def _make_live(self, wanted: _Wanted, current: str | None, served: Manifest | None) -> Publication:
        _, renderer = self._get_to_know()
        trial = _Trial(self._nginx, self._generations, renderer, wanted.certificates, served)
        try:
            apps, refusals = largest_accepted(wanted.table.apps, _fallbacks(wanted.table, served), trial.check)
        except Hopeless as error:
            raise Unavailable(f"nginx refuses its configuration, whatever the apps: {error}") from error
        table, refusals = RouteTable(apps), (*refusals, *_stale_certificates(apps, refusals, wanted.problems))
        rendering = trial.render(apps)
        if current and served and rendering.digest == served.digest:
            how = "unchanged" if self._serves(current) else self._switch(current, current)
            return Publication(table, current, how, refusals)
        self._generations.write(rendering.generation, rendering.files)
        self._generations.seal(rendering.generation, Manifest(rendering.digest, table, wanted.certificates))
        how = self._switch(rendering.generation, current)
        self._generations.prune()
        return Publication(table, rendering.generation, how, refusals)

    def _serves(self, generation: str) -> bool:
        return self._nginx.alive() and self._control.serves(generation)

    def _switch(self, generation: str, previous: str | None) -> str:
        """Load a generation and prove it; else the previous one is current again, byte for byte."""
        with self._control.leaving(generation) as leaving:
            self._generations.activate(generation)
            try:
                self._nginx.load()
                self._control.prove(generation, leaving, self._settings.proof_timeout_seconds)
            except (NotServed, Unavailable) as error:
                self._go_back(generation, previous)
                raise Unavailable(f"nginx does not serve the new configuration: {error}") from error
        return "reloaded"

    def _go_back(self, generation: str, previous: str | None) -> None:
        if generation == previous:
            return
        self._generations.activate(previous)
        self._generations.discard(generation)
        if previous and self._nginx.alive():
            self._nginx.load()


class _Trial:
    """Sets of apps put to nginx, as one publish goes."""

    def __init__(
        self,
        nginx: Nginx,
        generations: Generations,
        renderer: Renderer,
        certificates: Mapping[str, Certificate],
        served: Manifest | None,
    ) -> None:
        self._nginx = nginx
        self._generations = generations
        self._renderer = renderer
        self._certificates = certificates
        self._served_digest = served.digest if served else None
        self._sequence = generations.next_sequence()

    def render(self, apps: Apps) -> Rendering:
        return self._renderer.render(RouteTable(apps), self._certificates, self._sequence)

    def check(self, apps: Apps) -> Verdict | None:
        try:
            rendering = self.render(apps)
        except RenderError as error:
            return Verdict(str(error), error.app_name)
        if rendering.digest == self._served_digest:
            return None
        self._generations.write(rendering.generation, rendering.files)
        output = self._nginx.test(rendering.generation)
        if output is None:
            return None
        self._generations.discard(rendering.generation)
        line = place(output)
        return Verdict(complaint(output), app_at(rendering.files["http.conf"], line) if line else None)


def _fallbacks(wanted: RouteTable, served: Manifest | None) -> dict[str, Sequence[AppRoutes]]:
    """What an app may keep when its new configuration is refused: its old routes and options with the servers of
    now, so that replicas still come and go; and if that won't do, all of the old."""
    before = {app.app_name: app for app in served.table.apps} if served else {}
    return {
        app.app_name: (replace(before[app.app_name], servers=app.servers), before[app.app_name])
        for app in wanted.apps
        if app.app_name in before
    }


def _stale_certificates(apps: Apps, refusals: tuple[Refusal, ...], problems: Mapping[str, str]) -> list[Refusal]:
    """Apps that are served with the last good certificate of a secret that is broken now."""
    reported = {refusal.app_name for refusal in refusals}
    return [
        Refusal(app.app_name, problems[route.tls.secret])
        for app in apps
        for route in app.routes
        if route.tls and route.tls.secret in problems and app.app_name not in reported
    ]

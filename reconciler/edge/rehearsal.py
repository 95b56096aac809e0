"""Puts sets of apps to nginx, as one publish goes: rendered, written where nothing reads them, and tested.

Decides nothing but what a test is: a set that renders to what is served already needs none, a template that fails is
a refusal like nginx's own, and an error is laid at the door of the app whose lines nginx names.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.edge.generations import Generations, Manifest
from reconciler.edge.nginx import Nginx, complaint, place
from reconciler.edge.render import Renderer, RenderError, Rendering, app_at
from reconciler.edge.sites import Certificate
from reconciler.edge.trial import Apps, Verdict, largest_accepted
from reconciler.model.routes import Refusal, RouteTable


class Rehearsal:
    """Every set of it is a generation of the same number, and stays unsealed."""

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
        self._served = {app.app_name: app for app in served.table.apps} if served else {}
        self._sequence = generations.next_sequence()

    def largest_accepted(self, wanted: Apps) -> tuple[Apps, tuple[Refusal, ...]]:
        """The apps to serve, in order of name, and the refusals. Raises trial.Hopeless."""
        return largest_accepted(wanted, self._served, self._check)

    def render(self, apps: Apps) -> Rendering:
        return self._renderer.render(RouteTable(apps), self._certificates, self._sequence)

    def _check(self, apps: Apps) -> Verdict | None:
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

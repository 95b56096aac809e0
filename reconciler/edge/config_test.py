"""A config test (``nginx -t``) of any set of apps: rendered, written where nothing reads it, and tested.

Decides nothing but what a test is: a set that renders to what is served already needs none, and a template that fails
is a complaint like nginx's own.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.edge.generations import Generations
from reconciler.edge.insertion import Apps
from reconciler.edge.nginx import Nginx, complaint
from reconciler.edge.render import Renderer, RenderError, Rendering
from reconciler.edge.virtual_servers import Certificate
from reconciler.model.routes import RouteTable


class ConfigTest:
    """The tests of one publish: every set of apps is a generation of the same number, and stays unsealed."""

    def __init__(
        self,
        nginx: Nginx,
        generations: Generations,
        renderer: Renderer,
        certificates: Mapping[str, Certificate],
        served_digest: str | None,
    ) -> None:
        self._nginx = nginx
        self._generations = generations
        self._renderer = renderer
        self._certificates = certificates
        self._served_digest = served_digest
        self._sequence = generations.next_sequence()

    def render(self, apps: Apps) -> Rendering:
        return self._renderer.render(RouteTable(apps), self._certificates, self._sequence)

    def complaint(self, apps: Apps) -> str | None:
        """What nginx complains of, None where it accepts them."""
        try:
            rendering = self.render(apps)
        except RenderError as error:
            return str(error)
        if rendering.digest == self._served_digest:
            return None
        self._generations.write(rendering.generation, rendering.files)
        output = self._nginx.test(rendering.generation)
        if output is None:
            return None
        self._generations.discard(rendering.generation)
        return complaint(output)

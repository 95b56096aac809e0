"""A config test (``nginx -t``) of any set of apps: rendered, written where nothing reads it, and tested.

Decides nothing but what a test is: a set that renders to what is served already needs none, and a template that fails
is a complaint like nginx's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.edge.generations import Generations
from reconciler.edge.insertion import Apps
from reconciler.edge.nginx import Nginx, complaint
from reconciler.edge.render import Renderer, RenderError, Rendering
from reconciler.edge.virtual_servers import Certificate
from reconciler.model.routes import RouteTable


@dataclass(frozen=True, slots=True)
class ConfigTest:
    """The tests of one publish: every set of apps is a generation of the number ``sequence``, and stays unsealed."""

    nginx: Nginx
    generations: Generations
    renderer: Renderer
    certificates: Mapping[str, Certificate]
    served_digest: str
    sequence: int

    def render(self, apps: Apps) -> Rendering:
        return self.renderer.render(RouteTable(apps), self.certificates, self.sequence)

    def complaint(self, apps: Apps) -> str | None:
        """What nginx complains of, None where it accepts them."""
        try:
            rendering = self.render(apps)
        except RenderError as error:
            return str(error)
        if rendering.manifest.digest == self.served_digest:
            return None
        self.generations.write(rendering.generation, rendering.files)
        output = self.nginx.test(rendering.generation)
        if output is None:
            return None
        self.generations.discard(rendering.generation)
        return complaint(output)

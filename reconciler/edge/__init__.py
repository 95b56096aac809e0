"""The edge: nginx in front of the replicas, rendered (pure), tested, switched, loaded, proven, taken back.

`open_edge` is the way in. The rest of this room is told in its order of use by `publisher`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from reconciler.edge.absent import NoEdge
from reconciler.edge.container import ContainerNginx, edge_container_name
from reconciler.edge.external import ExternalNginx
from reconciler.edge.generations import Generations
from reconciler.edge.nginx import Nginx
from reconciler.edge.process import ProcessNginx
from reconciler.edge.publisher import NginxEdge
from reconciler.edge.settings import EdgeSettings
from reconciler.ports import Fence, no_fence

__all__ = ["EdgeMode", "EdgeSettings", "NginxEdge", "NoEdge", "edge_container_name", "open_edge"]

EdgeMode = Literal["process", "container", "external", "none"]


def open_edge(
    mode: EdgeMode,
    *,
    instance: str,
    state_dir: Path,
    network: str,
    settings: EdgeSettings,
    fence: Fence = no_fence,
    died: Callable[[], None] | None = None,
) -> NginxEdge | NoEdge:
    """The edge of one instance, with its files under ``state_dir/edge``. Starts nothing before the first publish.

    ``fence`` is what allows a change of what is served. ``died`` is called, from another thread, as soon as an nginx
    has ended that we run as a process; of a container's end, the Engine tells.
    """
    if mode == "none":
        return NoEdge()
    root = settings.external_dir if mode == "external" and settings.external_dir else state_dir / "edge"
    generations = Generations(root, settings.keep_generations)
    return NginxEdge(_nginx(mode, generations, instance, network, settings, died), generations, settings, fence)


def _nginx(
    mode: EdgeMode,
    generations: Generations,
    instance: str,
    network: str,
    settings: EdgeSettings,
    died: Callable[[], None] | None,
) -> Nginx:
    if mode == "external":
        return ExternalNginx(generations, settings)
    if mode == "container":
        return ContainerNginx(generations.root, instance, network, settings)
    return ProcessNginx(generations.root, settings, died)

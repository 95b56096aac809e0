"""Orchestry: git is the control plane of a Docker host.

``ls`` of this package is the architecture; ``docs/architecture.md`` tells the same in prose.
"""

__version__ = "1.1.0"

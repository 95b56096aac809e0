"""What the edge is told by the controller's settings, and what it found out about the nginx it drives.

Two small values that every other module of this room reads. Nothing here touches the world.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """The controller's settings, as far as they concern the edge.

    ``bind`` is the address to listen on, or several (empty: all there are, of IPv4 and IPv6); ``tls_port`` is opened
    once a route wants TLS. ``trusted_proxies`` are the networks whose word counts of who asked and how; with
    ``proxy_protocol`` every connection begins with the PROXY protocol, and the word is in there.
    ``templates_dir`` holds a user's own templates: a file named as a built-in one replaces it.
    ``secrets_dir`` holds certificates, as ``NAME/tls.crt`` and ``NAME/tls.key``.
    ``worker_shutdown_seconds`` is how long workers of an old configuration may go on with open websockets.
    ``proof_timeout_seconds`` bounds the wait for a new configuration to be served.
    ``request_header_bytes`` is what a line of a request's header may have at most, and ``underscores_in_headers`` says
    that headers with an underscore in their name are passed on.
    ``keep_generations`` configurations stay on disk for people to look back on.
    ``lua``: push replica changes without a reload where nginx has the module (``auto``), or never (``off``).
    The rest belongs to one mode: ``nginx`` (process) is the program; ``image`` (container) the image to run;
    ``external_dir``, ``test_command`` and ``reload_command`` (external) say how to reach an nginx that somebody else
    runs, whose ``http`` block includes ``EXTERNAL_DIR/current/*.conf``.
    """

    port: int = 8080
    tls_port: int = 8443
    bind: str | tuple[str, ...] = ""
    trusted_proxies: tuple[str, ...] = ()
    proxy_protocol: bool = False
    templates_dir: Path | None = None
    secrets_dir: Path | None = None
    worker_shutdown_seconds: int = 3600
    request_header_bytes: int = 32 * 1024
    underscores_in_headers: bool = False
    proof_timeout_seconds: float = 10.0
    command_timeout_seconds: float = 30.0
    keep_generations: int = 5
    lua: Literal["auto", "off"] = "auto"
    nginx: str = "nginx"
    image: str = "nginx:stable"
    external_dir: Path | None = None
    test_command: tuple[str, ...] = ()
    reload_command: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses to listen on as nginx and Docker write them, those of IPv6 in brackets; none: all there are."""
        given = self.bind.split(",") if isinstance(self.bind, str) else self.bind
        bare = (address.strip().strip("[]") for address in given)
        return tuple(dict.fromkeys(f"[{address}]" if ":" in address else address for address in bare if address))


@dataclass(frozen=True, slots=True)
class Build:
    """The nginx at hand, as it tells of itself, and where it finds our files.

    ``root`` stands before every path in the configuration: empty where nginx runs in our directory (relative paths
    need no access to the directories above, and no more than the 108 bytes a socket's path may have), else that
    directory with a slash. ``main_config`` says that ``nginx.conf`` is ours as well, and ``binds`` that nginx itself
    listens at the address people asked for (a container's ports are published there instead). ``worker_user`` is the
    user and group a master started by root hands its workers to; ``modules`` are the files to load; ``lua`` says that
    replica changes are pushed, and ``ipv6`` that every address of IPv6 can be listened on, which ``ipv6_trouble`` says
    why not.
    """

    version: tuple[int, ...] = (1, 20)
    root: str = ""
    worker_user: str | None = None
    modules: tuple[str, ...] = ()
    lua: bool = False
    main_config: bool = True
    binds: bool = True
    ipv6: bool = False
    ipv6_trouble: str = ""

    @property
    def certificate_root(self) -> str:
        """What stands before a certificate's path: unlike all others it is relative to the configuration file."""
        return self.root or "../../"

    @property
    def has_http2_directive(self) -> bool:
        """Whether HTTP/2 is a directive (``http2 on``) instead of a parameter of ``listen``."""
        return self.version >= (1, 25, 1)

    @property
    def has_keepalive_min_timeout(self) -> bool:
        """Whether a reload can spare idle client connections for a while."""
        return self.version >= (1, 27, 4)

    @property
    def version_text(self) -> str:
        return ".".join(str(part) for part in self.version)

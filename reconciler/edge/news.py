"""What people are told of the edge itself, beside what is told of its routes: once as a version of the controller
changes what it does, and for as long as something is not as they may expect.

It decides by what is being served, which an earlier version may have published, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from reconciler.edge.manifest import EDITION, NOTHING, Manifest
from reconciler.edge.settings import Build, EdgeSettings

# By a template of people's own: a word that it has since this version's way of doing things, and what is so without it.
_SINCE_THEN = {
    "server.conf.j2": ("forwarded.items()", "apps get Forwarded and X-Forwarded-… headers as clients write them"),
    "upstream.conf.j2": ("pool", "replicas are spoken to by plain HTTP alone"),
    "location.conf.j2": ("module", "replicas are spoken to by plain HTTP alone"),
}


def news(served: Manifest, settings: EdgeSettings, build: Build) -> Iterator[str]:
    """What is otherwise once this is no longer what is served; nothing where this version published it."""
    if served.edition >= EDITION:
        return
    is_upgrade = served != NOTHING
    if build.binds and build.ipv6 and not settings.addresses:
        since = " from this version of the controller on" if is_upgrade else ""
        yield f'nginx listens on IPv6 as well as on IPv4{since}; edge_address = "0.0.0.0" keeps it to IPv4'
    apps = ", ".join(app.app_name for app in served.table.apps)
    if apps and not settings.trusted_proxies and "server.conf.j2" not in _of_before(settings):
        yield (
            f"from this version of the controller on, {apps} get no Forwarded and X-Forwarded-… headers that clients "
            "write: where a proxy stands in front of nginx, name its address in trusted_proxies; "
            'trusted_proxies = ["0.0.0.0/0", "::/0"] passes on what anybody writes, as before'
        )


def notices(settings: EdgeSettings, build: Build) -> Iterator[str]:
    """What is not as people may expect."""
    for name in _of_before(settings):
        yield f"{name} in {settings.templates_dir} is of an earlier version: {_SINCE_THEN[name][1]}; renew it by ours"
    if build.ipv6_trouble and not settings.addresses:
        yield f'nginx listens on IPv4 alone: {build.ipv6_trouble}; with edge_address = "0.0.0.0" that is meant'
    if settings.proxy_protocol and not settings.trusted_proxies:
        yield "proxy_protocol is on, and trusted_proxies names nobody whose word on clients would count"
    if settings.trusted_proxies and settings.underscores_in_headers and not build.lua:
        yield (
            "edge_underscores_in_headers is on, and nginx without Lua takes X_Forwarded_Proto for X-Forwarded-Proto: "
            "have the trusted proxies remove such headers of their clients"
        )


def _of_before(settings: EdgeSettings) -> list[str]:
    """The templates of people's own that stem from a version before this one's."""
    return [name for name, (word, _) in _SINCE_THEN.items() if word not in _template(settings, name, word)]


def _template(settings: EdgeSettings, name: str, otherwise: str) -> str:
    if settings.templates_dir is not None:
        with suppress(FileNotFoundError):
            return (settings.templates_dir / name).read_text(encoding="utf-8", errors="replace")
    return otherwise

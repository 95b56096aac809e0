"""The route table as nginx's configuration: a pure function of typed values.

Decides every line nginx reads. It must never put text into a template that a spec could have shaped beyond its type:
names, hosts, paths and numbers are validated by the model, and there is no raw snippet. What an app contributes
stands between marker lines (``# app web``), so that people see whose lines they read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

import jinja2

from reconciler.edge import forwarded
from reconciler.edge.manifest import EDITION, Manifest
from reconciler.edge.servers import ServerList, pool_of
from reconciler.edge.settings import Build, EdgeSettings
from reconciler.edge.virtual_servers import (
    Certificate,
    Location,
    VirtualServer,
    secrets_of,
    trusts_of,
    virtual_servers,
)
from reconciler.model.access_log import FIELDS
from reconciler.model.routes import PLAIN, AppRoutes, RouteTable
from reconciler.model.spec import EdgeOptions

LUA_SOURCE = files("reconciler.edge").joinpath("lua/orchestry.lua").read_text()
LUA_FILE = f"assets/orchestry-{hashlib.sha256(LUA_SOURCE.encode()).hexdigest()[:12]}.lua"


class RenderError(Exception):
    """A configuration that can't be rendered: a template fails, or a certificate is missing or claimed twice."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """One whole configuration: the manifest and the files of a generation, by their names in its directory.

    ``servers`` are the replicas where those are pushed.
    """

    manifest: Manifest
    files: Mapping[str, str]
    servers: ServerList | None = None

    @property
    def generation(self) -> str:
        return self.manifest.control_socket


class Renderer:
    """Templates bound to settings and to the nginx at hand."""

    def __init__(self, settings: EdgeSettings, build: Build) -> None:
        self._settings = settings
        self.build = build
        self._environment = _environment(settings)
        self._environment.globals |= {
            "settings": settings,
            "build": build,
            "default_limits": _limits(EdgeOptions(), lua=build.lua),
        }
        self._listens = {port: tuple(_listens(settings, build, port)) for port in (settings.port, settings.tls_port)}
        # A table that changes in one app of a thousand costs one app's rendering.
        self._upstream = lru_cache(maxsize=4096)(self._render_upstream)
        self._location = lru_cache(maxsize=16384)(self._render_location)
        self._last_body: tuple[object, str] = (None, "")

    def render(self, table: RouteTable, certificates: Mapping[str, Certificate], sequence: int) -> Rendering:
        """The configuration for a table. ``sequence`` numbers the generation and has no part in the digest.

        Raises RenderError where a user's own template fails or a certificate is missing.
        """
        named = (*secrets_of(table), *trusts_of(table))
        certificates = {name: certificates[name] for name in named if name in certificates}
        servers = ServerList.of(table) if self.build.lua else None
        body = self._remembered_body(table, certificates, _megabytes(servers) if servers else 0)
        main = self._template("nginx.conf.j2", {}) if self.build.main_config else ""
        digest = _digest(main, body, self._template("control.conf.j2", {"generation": ""}))
        generation = f"{sequence:06d}-{_digest(digest, servers.digest) if servers else digest}"
        files = {"http.conf": body + self._template("control.conf.j2", {"generation": generation})}
        if main:
            files["nginx.conf"] = main
        if servers:
            files["servers"] = servers.text
        assets = [name for each in certificates.values() for name in (each.certificate_file, each.key_file) if name]
        assets += [LUA_FILE] if servers else []
        servers_digest = servers.digest if servers else ""
        manifest = Manifest(digest, generation, table, certificates, servers_digest, tuple(assets), EDITION)
        return Rendering(manifest, files, servers)

    def _remembered_body(self, table: RouteTable, certificates: Mapping[str, Certificate], megabytes: int) -> str:
        """The body for these apps, rendered anew only where it may differ from the last one: where replicas are pushed,
        the built-in templates say nothing of them."""
        silent = self.build.lua and self._settings.templates_dir is None
        apps = tuple(replace(app, servers=()) for app in table.apps) if silent else table.apps
        basis = (apps, certificates, megabytes)
        if self._last_body[0] != basis:
            self._last_body = basis, self._body(table, certificates, megabytes)
        return self._last_body[1]

    def _body(self, table: RouteTable, certificates: Mapping[str, Certificate], megabytes: int) -> str:
        values = {
            "log_format": "\\t".join(field.variable for field in FIELDS),
            "lua_file": LUA_FILE,
            "replicas_megabytes": megabytes,
        }
        who = {"hearsay": forwarded.hearsay(), "sender": forwarded.sender(self._settings)}
        parts = [self._template("http.conf.j2", values), self._template("requests.conf.j2", who)]
        parts += [_marked(app.app_name, self._upstream(app)) for app in table.apps]
        _check_certificates(table, certificates)
        servers = virtual_servers(table, certificates)
        parts += [self._virtual_server(server, tls=False) for server in servers]
        if any(server.certificate for server in servers):
            with_tls = (server for server in servers if server.certificate or server.host is None)
            parts += [self._virtual_server(server, tls=True) for server in with_tls]
        return "\n".join(part for part in parts if part)

    def _render_upstream(self, app: AppRoutes) -> str:
        return self._template("upstream.conf.j2", _app_values(app, self.build))

    def _virtual_server(self, server: VirtualServer, *, tls: bool) -> str:
        locations = () if tls and not server.certificate else server.locations
        has_certificate = server.certificate is not None
        texts = (_marked(each.app.app_name, self._location(each, tls, has_certificate)) for each in locations)
        listens = self._listens[self._settings.tls_port if tls else self._settings.port]
        values = {
            "site": server,  # so named for templates of people's own
            "tls": tls,
            "listen": listens[0],  # as templates of people's own may have it from before there were several
            "listens": listens,
            "forwarded": forwarded.headers(self._settings, lua=self.build.lua),
            "locations": "".join(texts),
            "has_root": any(not location.path for location in locations),
            "modules": sorted({"proxy"} | {_module(location.app) for location in locations}, reverse=True),
        }
        return self._template("server.conf.j2", values)

    def _render_location(self, location: Location, tls: bool, has_certificate: bool) -> str:
        redirects = has_certificate and location.route.tls is not None and location.route.tls.redirect
        values = _app_values(location.app, self.build) | {
            "route": location.route,
            "matches": (f"= {location.path}", f"{location.path}/") if location.path else ("/",),
            "cut": location.path if location.route.strip_prefix else "",
            "websocket_location": f"@{location.path or '/'}",
            "redirect": redirects and not tls,
            # A proxy in front tells whether a client came by https, whichever port it uses itself.
            "redirect_by_scheme": redirects and bool(self._settings.trusted_proxies),
            "trusted": location.trusted,
            "unknown": location.app.upstream.tls is not None and location.trusted is None,
        }
        return self._template("location.conf.j2", values)

    def _template(self, name: str, values: Mapping[str, Any]) -> str:
        try:
            return self._environment.get_template(name).render(values)
        except jinja2.TemplateError as error:
            raise RenderError(f"template {name}: {error}") from error


def _environment(settings: EdgeSettings) -> jinja2.Environment:
    built_in = jinja2.PackageLoader("reconciler.edge")
    own = [jinja2.FileSystemLoader(settings.templates_dir)] if settings.templates_dir else []
    # nginx's configuration is no HTML; what is put in is typed.
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([*own, built_in]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def _check_certificates(table: RouteTable, certificates: Mapping[str, Certificate]) -> None:
    """Every route that wants TLS has its certificate, a host has but one, and replicas have one they are known by."""
    claims: dict[str | None, tuple[str, str]] = {}
    for app in table.apps:
        if app.live and app.upstream.tls and app.upstream.tls.trust not in certificates:
            raise RenderError(f"there is no usable certificate by which replicas are known: {app.upstream.tls.trust}")
        for route in app.routes:
            if route.tls is None:
                continue
            secret = route.tls.secret
            if secret not in certificates:
                raise RenderError(f"TLS secret {secret} has no usable certificate")
            holder, held = claims.setdefault(route.host, (app.app_name, secret))
            if held != secret:
                host = route.host or "any host"
                raise RenderError(f"{host} has TLS secret {held} by app {holder} already, not {secret}")


def _listens(settings: EdgeSettings, build: Build, port: int) -> Iterator[str]:
    """What nginx listens on for a port, each as its directive has it."""
    protocol = " proxy_protocol" if settings.proxy_protocol else ""
    if build.binds and settings.addresses:
        yield from (f"{address}:{port}{protocol}" for address in settings.addresses)
        return
    yield f"{port}{protocol}"
    if build.ipv6:
        yield f"[::]:{port}{protocol}"


def _marked(app_name: str, text: str) -> str:
    return f"# app {app_name}\n{text}# end\n" if text.strip() else ""


def _app_values(app: AppRoutes, build: Build) -> dict[str, Any]:
    """What the templates of one app may use."""
    options = app.options
    variable = "orchestry_" + app.app_name.replace("-", "_")
    return {
        "app": app,
        "options": options,
        "upstream": _upstream_name(app),
        "pool": pool_of(app),
        "plain": app.upstream == PLAIN,
        "module": _module(app),
        "scheme": _scheme(app),
        "variable": variable,
        "sticky_key": {"cookie": f"{variable}_key", "ip": "binary_remote_addr"}.get(options.sticky or ""),
        "rate": _rate(options.rate_limit.requests_per_second) if options.rate_limit else "",
        "live": any(not server.draining for server in app.servers),
        "limits": _limits(options, lua=build.lua),
        "websocket_limits": _limits(options, lua=build.lua) | _websocket_limits(options),
        "response_header": _response_header(options.response_header_bytes),
    }


def _upstream_name(app: AppRoutes) -> str:
    """The name of its upstream and of what its rate limit counts in. nginx never changes what it counts by under one
    name, and up to version 1.1 that was the whole address: so the name is another with a rate limit."""
    return f"orchestry_{app.app_name}{'_limited' if app.options.rate_limit else ''}"


def _module(app: AppRoutes) -> str:
    """The module of nginx that speaks to its replicas, as the names of its directives begin."""
    return "grpc" if app.upstream.protocol == "GRPC" else "proxy"


def _scheme(app: AppRoutes) -> str:
    encrypted = app.upstream.tls is not None
    return ("grpcs" if encrypted else "grpc") if app.upstream.protocol == "GRPC" else "https" if encrypted else "http"


def _limits(options: EdgeOptions, *, lua: bool) -> dict[str, str]:
    """The directives that bound a request in size, time and tries. nginx takes whole milliseconds. Without Lua it can't
    tell a connection that was refused from one that broke off, so all that failed is repeated as rarely as the latter:
    it may be the request that ends the replicas it is sent to."""
    retries = options.retries if lua else min(options.retries, 1)
    return {
        "client_max_body_size": str(options.max_body_bytes),
        "proxy_connect_timeout": _time(options.connect_timeout_seconds),
        "proxy_send_timeout": _time(options.send_timeout_seconds),
        "proxy_read_timeout": _time(options.read_timeout_seconds),
        "proxy_next_upstream_tries": str(retries + 1),
        "proxy_next_upstream_timeout": _time(options.retry_timeout_seconds),
    }


def _websocket_limits(options: EdgeOptions) -> dict[str, str]:
    """What bounds a websocket in place of what bounds other requests."""
    return dict.fromkeys(("proxy_send_timeout", "proxy_read_timeout"), _time(options.websocket_seconds))


def _response_header(size_bytes: int) -> dict[str, str]:
    """The directives that give an answer's header its room, and none where that is what every app has. A buffer of the
    body is no smaller than that of the header, as nginx wants it."""
    if size_bytes == EdgeOptions().response_header_bytes:
        return {}
    body_bytes = max(size_bytes, EdgeOptions().response_header_bytes)
    return {"proxy_buffer_size": _size(size_bytes), "proxy_buffers": f"8 {_size(body_bytes)}"}


def _size(size_bytes: int) -> str:
    return str(size_bytes) if size_bytes % 1024 else f"{size_bytes // 1024}k"


def _time(seconds: float) -> str:
    return f"{seconds:g}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"


def _rate(requests_per_second: float) -> str:
    """A rate as nginx counts it: in whole requests per second or per minute."""
    if requests_per_second == int(requests_per_second):
        return f"{int(requests_per_second)}r/s"
    return f"{max(1, round(requests_per_second * 60))}r/m"


def _megabytes(servers: ServerList) -> int:
    """Room for the replicas in nginx's memory: ample, and in steps so wide that growing hardly ever means a reload."""
    needed_bytes = 4 * len(servers.text) + 1024 * len(servers.lines_by_app)
    return next(size for size in (1, 8, 64, 512) if needed_bytes < size * 2**20 or size == 512)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

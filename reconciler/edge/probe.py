"""The probes: what the nginx at hand can, found out by a config test of something that takes it.

Of Lua neither a version nor a file list tells: the module may be compiled in (OpenResty) or a file (Debian), and needs
the Lua library ``resty.core`` beside it. Of IPv6 only the place where nginx runs tells, a container's network included.
A test of the real thing tells in a few milliseconds.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import replace

from reconciler.edge import binding
from reconciler.edge.generations import Generations
from reconciler.edge.nginx import Nginx, complaint
from reconciler.edge.settings import Build, EdgeSettings

_NAME = "probe"
_HTTP = """\
lua_shared_dict orchestry_probe 1m;
init_by_lua_block { require "resty.core"; require "ngx.balancer" }
"""
_IPV6 = "server {{ listen [::]:{port}; }}\n"
_MODULE_FILES = ("ndk_http_module.so", "ngx_http_lua_module.so")


def with_lua(build: Build, nginx: Nginx, generations: Generations, version_output: str) -> Build:
    """The build with ``lua`` and the modules it takes, where this nginx accepts them; else as it was."""
    for modules in _ways(build, version_output):
        if _refusal(replace(build, modules=modules), nginx, generations, _HTTP) is None:
            return replace(build, lua=True, modules=modules)
    return build


def with_ipv6(build: Build, nginx: Nginx, generations: Generations, settings: EdgeSettings) -> Build:
    """The build with ``ipv6`` where this nginx can listen on every address of IPv6; else with the trouble it has."""
    trouble = next(filter(None, _in_the_way(build, generations, settings)), "")
    if not trouble:
        refusal = _refusal(replace(build, modules=()), nginx, generations, _IPV6.format(port=settings.port))
        trouble = complaint(refusal) if refusal else ""
    return replace(build, ipv6=not trouble, ipv6_trouble=trouble)


def _in_the_way(build: Build, generations: Generations, settings: EdgeSettings) -> Iterator[str]:
    """What stands in the way of listening on IPv6 that a config test doesn't show: a port in use, by another program
    or, of an nginx that somebody else runs, by the rest of it."""
    served = generations.text("http.conf")
    for port in (settings.port, settings.tls_port) if build.binds else ():
        if re.search(rf"listen \[::\]:{port}\b", served):
            continue
        if (error := binding.refusal("::", port)) and error.errno == errno.EADDRINUSE:
            yield f"port {port} of [::] is in use already"


def _refusal(build: Build, nginx: Nginx, generations: Generations, http: str) -> str | None:
    """All that nginx says against a configuration of this alone; None where it accepts it."""
    main = {"nginx.conf": _main(build.modules)} if build.main_config else {}
    generations.write(_NAME, {"http.conf": http, **main})
    refusal = nginx.test(_NAME)
    generations.discard(_NAME)
    return refusal


def _ways(build: Build, version_output: str) -> Iterator[tuple[str, ...]]:
    yield ()
    directory = re.search(r"--modules-path=(\S+)", version_output)
    if directory and build.main_config:
        yield tuple(f"{directory[1]}/{name}" for name in _MODULE_FILES)


def _main(modules: tuple[str, ...]) -> str:
    loads = "".join(f"load_module {module};\n" for module in modules)
    return f"{loads}pid run/nginx.pid;\nevents {{}}\nhttp {{\n    include http.conf;\n}}\n"

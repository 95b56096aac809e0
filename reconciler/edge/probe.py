"""The probe for Lua: whether the nginx at hand can run ours, found out by a config test of one that does.

Neither a version nor a file list tells: the module may be compiled in (OpenResty) or a file (Debian), and needs the
Lua library ``resty.core`` beside it. A test of the real thing tells in a few milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from reconciler.edge.generations import Generations
from reconciler.edge.nginx import Nginx
from reconciler.edge.settings import Build

_NAME = "probe"
_HTTP = """\
lua_shared_dict orchestry_probe 1m;
init_by_lua_block { require "resty.core"; require "ngx.balancer" }
"""
_MODULE_FILES = ("ndk_http_module.so", "ngx_http_lua_module.so")


def with_lua(build: Build, nginx: Nginx, generations: Generations, version_output: str) -> Build:
    """The build with ``lua`` and the modules it takes, where this nginx accepts them; else as it was."""
    for modules in _ways(build, version_output):
        main = {"nginx.conf": _main(modules)} if build.main_config else {}
        generations.write(_NAME, {"http.conf": _HTTP, **main})
        refusal = nginx.test(_NAME)
        generations.discard(_NAME)
        if refusal is None:
            return replace(build, lua=True, modules=modules)
    return build


def _ways(build: Build, version_output: str) -> Iterator[tuple[str, ...]]:
    yield ()
    directory = re.search(r"--modules-path=(\S+)", version_output)
    if directory and build.main_config:
        yield tuple(f"{directory[1]}/{name}" for name in _MODULE_FILES)


def _main(modules: tuple[str, ...]) -> str:
    loads = "".join(f"load_module {module};\n" for module in modules)
    return f"{loads}pid run/nginx.pid;\nevents {{}}\nhttp {{\n    include http.conf;\n}}\n"

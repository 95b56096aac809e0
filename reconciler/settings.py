"""The controller's own settings: options over ``ORCHESTRY_…`` variables over a settings file over defaults.

Each is declared once, as a field of `Settings`: the option, the variable, the key of the file and the row of the README
are made from it. The declaration needs no pydantic, so that the command line is made without it; values are checked by
it. Nothing here is about apps: what apps ask for is in git, how this controller works is here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple
from urllib.parse import urlsplit

DEFAULT_FILE = Path("/etc/orchestry/settings.toml")
VARIABLE_PREFIX = "ORCHESTRY_"
# Names the settings file, and so is no setting itself.
FILE_VARIABLE = f"{VARIABLE_PREFIX}SETTINGS"

# What must not be shown of a URL: what follows the group that matched.
_SECRET = re.compile(
    r"(^(?:https?|ssh)://[^/?#:@]*:)(?![0-9]+[/?#])(?:[^/?#]*|.*)(?=@)"  # user:SECRET@; no port, and no @ of a path
    r"|(^(?!https?:|ssh:)[^:/]+://[^/:@]*:).*(?=@)"  # a database's password may hold any character
    r"|(^https?://)[^/?#:@]+(?=@)"  # a token in the place of the user
    r"|([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&#]*",
    re.IGNORECASE,
)

# Of what nginx listens on: addresses of IPv4 and IPv6, and names; as one text they stand with commas between.
_ADDRESS = re.compile(r"[A-Za-z0-9_.:%*\[\]-]*(, *[A-Za-z0-9_.:%*\[\]-]+)*")

# What is wrong in the words of a settings file, where pydantic's are of Python.
_EXPECTED = {
    "tuple_type": "expected a list: [a, b], or tables that begin with the name in [[ ]]",
    "dataclass_type": "expected a table, which begins with the name in [[ ]]",
}
_MISPLACED = "; in the file, all that follows [[NAME]] belongs to it, so tables come last"


class BadSettings(Exception):
    """Settings that can't be. The message says which, what was found, and what would be right."""


def setting(
    default: Any,
    description: str,
    *commands: str,
    shared: bool = False,
    unset: str = "",
    credential: bool = False,
    **bounds: Any,
) -> Any:
    """A setting. ``run`` and ``settings`` take an option for it; so do these commands, or all where it is ``shared``.

    ``unset`` tells in words what an empty default comes to, ``bounds`` are those of pydantic's fields. Where it may
    hold a ``credential`` it is shown redacted, and never repeated in an error.
    """
    uses = {"commands": commands, "shared": shared, "unset": unset, "credential": credential}
    return field(default=default, metadata={"description": description, **uses, **bounds})


@dataclass(frozen=True, kw_only=True)
class HostPath:
    """A table of ``allow_host_path``: a path of the host that volumes may name; with ``readOnly`` only those that are
    readOnly as well."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    path: str = field(metadata={"pattern": "^/"})
    read_only: bool = field(default=False, metadata={"alias": "readOnly"})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, with its default. Seconds throughout."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    source: str = setting("specs", "directory or git URL the app specs are read from", "plan", credential=True)
    branch: str | None = setting(None, "branch of a git URL", "plan", unset="the one its HEAD names")
    path: str | None = setting(
        None, "directory of the specs inside the repository", "plan", unset="the repository's top"
    )
    fetch_interval: float = setting(30, "seconds between fetches of a git URL", gt=0)
    fetch_silence: float = setting(60, "seconds without a byte after which a fetch is given up", "plan", gt=0)
    allow_file_urls: bool = setting(False, "allow file:// as a git URL", "plan")
    database: str | None = setting(
        None, "database URL", shared=True, unset="SQLite under the state directory", credential=True
    )
    state_dir: Path = setting(Path("/var/lib/orchestry"), "where the controller keeps its files", shared=True)
    instance: str = setting(
        "default",
        "name of this controller; several may share a host",
        shared=True,
        pattern=r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$",
    )
    edge: Literal["process", "container", "external", "none"] = setting("process", "how nginx is run", "teardown")
    edge_port: int = setting(8080, "port nginx listens on for HTTP", ge=1, le=65535)
    edge_tls_port: int = setting(8443, "port nginx listens on for HTTPS, where a route has tls", ge=1, le=65535)
    edge_address: str | tuple[str, ...] = setting(
        "", "address nginx listens on, or a list of them", unset="every address, of IPv4 and IPv6"
    )
    trusted_proxies: tuple[str, ...] = setting(
        (), "addresses, or networks such as `10.0.0.0/8`, of proxies whose word counts of who asked, and how"
    )
    proxy_protocol: bool = setting(False, "expect the PROXY protocol at the beginning of every connection to nginx")
    edge_templates: Path | None = setting(None, "directory of templates of your own for nginx")
    edge_directory: Path | None = setting(None, "external: directory to write the configuration into", "teardown")
    edge_test_command: tuple[str, ...] = setting((), "external: command that tests the configuration")
    edge_reload_command: tuple[str, ...] = setting((), "external: command that reloads nginx")
    edge_image: str = setting("nginx:stable", "container: image of nginx")
    edge_lua: Literal["auto", "off"] = setting("auto", "push replica changes into nginx where it has Lua")
    edge_worker_shutdown: int = setting(
        3600, "seconds that requests and websockets may stay with an nginx configuration that is old", ge=1
    )
    edge_request_header_size: int = setting(
        32 * 1024, "bytes that a line of a request's header may have, its first one included", ge=1024, le=1024**2
    )
    edge_underscores_in_headers: bool = setting(False, "pass on headers with an underscore in their name")
    network: str | None = setting(
        None, "Docker network of the replicas", "plan", "teardown", unset="orchestry, or orchestry-INSTANCE"
    )
    tick: float = setting(5, "seconds between looks when nothing happens", ge=0.1, le=3600)
    concurrency: int = setting(8, "actions performed at a time, of each kind", ge=1, le=64)
    probe_concurrency: int = setting(16, "health checks made at a time", ge=1, le=256)
    secrets_dir: Path | None = setting(None, "directory of secrets", unset="secrets under the state directory")
    allow_host_path: tuple[HostPath, ...] = setting(
        (), "host paths that volumes may name: tables of `path` and, for readOnly volumes only, `readOnly = true`"
    )
    allow_host_paths: tuple[str, ...] = setting(
        (), "host directories that volumes may name, each with all that is below it; `[[allow_host_path]]` allows less"
    )
    allow_volumes: tuple[str, ...] = setting(
        (), "volumes, by the Engine's names, that may be mounted though they are not labelled as ours"
    )
    confirm_deletions: str | None = setting(
        None,
        "revision whose deletions beyond the budget are confirmed; SIGHUP has it read again from the file",
        "plan",
        min_length=7,
    )
    prometheus_url: str | None = setting(None, "Prometheus-compatible API for custom metrics", credential=True)
    log_format: Literal["text", "json"] = setting("text", "how log lines are written")

    def __post_init__(self) -> None:
        for host in self.allow_host_path:
            if ".." in host.path.split("/"):
                raise ValueError(f"setting allow_host_path: found {host.path!r}; expected a path without ..")
        if self.prometheus_url and not _is_http(self.prometheus_url):
            raise ValueError(
                "setting prometheus_url: found something else; expected an address such as http://localhost:9090: "
                "http or https, a host, a port up to 65535"
            )
        for address in (self.edge_address,) if isinstance(self.edge_address, str) else self.edge_address:
            if not _ADDRESS.fullmatch(address):
                raise ValueError(f'setting edge_address: found {address!r}; expected an address such as "127.0.0.1"')
        needed = ("edge_directory", "edge_test_command", "edge_reload_command") if self.edge == "external" else ()
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"edge = external needs {', '.join(missing)} as well")

    @property
    def is_default_instance(self) -> bool:
        return self.instance == "default"

    @property
    def directory(self) -> Path:
        """The state directory of this instance."""
        return self.state_dir if self.is_default_instance else self.state_dir / self.instance

    @property
    def secrets(self) -> Path:
        return self.secrets_dir or self.directory / "secrets"

    @property
    def trusted_networks(self) -> tuple[str, ...]:
        """The proxies that are trusted, each as a network. Raises BadSettings for what is none."""
        return tuple(dict.fromkeys(_network(text) for text in self.trusted_proxies))

    @property
    def source_name(self) -> str:
        """The source as it may be shown: without the credentials of a URL, also of one that isn't allowed."""
        return masked_url(re.sub(r"//[^/]*@", "//", self.source))

    @property
    def network_name(self) -> str:
        return self.network or ("orchestry" if self.is_default_instance else f"orchestry-{self.instance}")

    @property
    def name_prefix(self) -> str:
        """What stands before container names: nothing for the default instance."""
        return "" if self.is_default_instance else f"{self.instance}-"


# What is declared of each setting, by name.
DECLARED = {declared.name: declared.metadata for declared in fields(Settings)}


class Origin(NamedTuple):
    """Where a setting was given: in an option, a variable or a file, by the name or the path of it."""

    kind: Literal["option", "variable", "file", "default"]
    name: str | None = None


class Loaded(NamedTuple):
    """Settings, and the origin of each."""

    settings: Settings
    origins: Mapping[str, Origin]


def load(file: Path | None, options: Mapping[str, Any]) -> Loaded:
    """Settings from all places. ``options`` holds only those that were given.

    Raises BadSettings for a value that can't be, for a name that isn't one, and for a file that can't be read.
    """
    if unknown := list(_unknown_variables(os.environ)):
        raise BadSettings("; ".join(unknown))
    named = file or os.environ.get(FILE_VARIABLE)
    chosen = Path(named or DEFAULT_FILE)
    values = _in_file(chosen, required=bool(named))
    origins = dict.fromkeys(DECLARED, Origin("default")) | dict.fromkeys(values, Origin("file", str(chosen)))
    for name, value in _in_variables(os.environ):
        values[name], origins[name] = value, Origin("variable", variable_of(name))
    for name, value in options.items():
        values[name], origins[name] = value, Origin("option", option_of(name))
    return Loaded(_checked(values), origins)


def option_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    return VARIABLE_PREFIX + name.upper()


def default_of(name: str) -> str:
    """The default as people write it, or in words what an empty one comes to; empty where that is nothing."""
    default = getattr(Settings, name)
    if default in (None, (), ""):
        return str(DECLARED[name]["unset"])
    return str(default).lower() if isinstance(default, bool) else str(default)


def is_list(name: str) -> bool:
    """Whether a setting is a list, which stands in the file or, as JSON, in its variable, and has no option."""
    return isinstance(getattr(Settings, name), tuple)


def masked_url(url: str) -> str:
    """The URL with *** in place of what must not be shown."""
    return _SECRET.sub(lambda match: f"{match[match.lastindex or 0]}***", url)


def _in_file(file: Path, *, required: bool) -> dict[str, Any]:
    try:
        text = file.read_text("utf-8")
        import tomllib

        return tomllib.loads(text)
    except FileNotFoundError:
        if not required:
            return {}
        raise BadSettings(f"settings file {file} is not there; name one that is, or leave --settings out") from None
    except OSError as error:
        raise BadSettings(f"settings file {file} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise BadSettings(f"settings file {file} is no TOML: {error}") from error


def _is_json(name: str, text: str) -> bool:
    """Whether a variable's text is JSON: that of a list, and of what may be one instead of a text."""
    return is_list(name) or text.startswith('["') and "tuple" in Settings.__annotations__[name]


def _network(text: str) -> str:
    from ipaddress import ip_network

    with suppress(ValueError):
        if "%" not in text:  # behind which anything may stand, as the name of an interface
            return str(ip_network(text.strip("[]"), strict=False))
    raise BadSettings(
        f"setting trusted_proxies: found {text!r}; expected an address such as 192.0.2.7, or a network such as "
        "10.0.0.0/8 or 2001:db8::/32"
    )


def _in_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    import json

    given = {variable.upper(): text for variable, text in environment.items()}
    for name in DECLARED:
        text = given.get(variable_of(name))
        try:
            value = json.loads(text) if text is not None and _is_json(name, text) else text
        except ValueError:
            raise BadSettings(f'setting {name}: found {text!r}; expected a JSON list such as ["nginx", "-t"]') from None
        if value is not None:
            yield name, value


def _checked(values: dict[str, Any]) -> Settings:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Settings).validate_python(values)
    except ValidationError as error:
        problems = "; ".join(_explained(problem) for problem in error.errors(include_url=False))
        raise BadSettings(problems) from None


def _explained(problem: Any) -> str:
    if not problem["loc"]:  # found by Settings itself
        return str(problem["ctx"]["error"])
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "unexpected_keyword_argument":
        return f"setting {name}: there is no such setting{_meant(name) if name in problem['loc'] else _MISPLACED}"
    value = "something else" if DECLARED[problem["loc"][0]]["credential"] else repr(problem["input"])
    return f"setting {name}: found {value}; {_EXPECTED.get(problem['type']) or problem['msg'].lower()}"


def _meant(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, DECLARED, 1)
    return f"; is {close[0]} meant?" if close else ""


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with variables that look like settings and are none. They would be ignored, unlike in a file."""
    known = {FILE_VARIABLE, *map(variable_of, DECLARED)}
    for variable in sorted(environment.keys() - known):
        if variable.startswith(VARIABLE_PREFIX):
            meant = _meant(variable.removeprefix(VARIABLE_PREFIX).lower())
            yield f"variable {variable}: there is no such setting{meant}"


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port or the host; it quotes what may be a password
        return False

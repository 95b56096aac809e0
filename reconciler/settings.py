"""The controller's own settings: flags over ``ORCHESTRY_…`` variables over a settings file over defaults.

Nothing here is about apps: what apps ask for is in git, how this controller works is here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

DEFAULT_FILE = Path("/etc/orchestry/settings.toml")
VARIABLE_PREFIX = "ORCHESTRY_"
# Names the settings file, and so is no setting itself.
FILE_VARIABLE = f"{VARIABLE_PREFIX}SETTINGS"


# URLs in which a password may stand: what was found there is never shown.
_MAY_HOLD_CREDENTIALS = frozenset({"database", "source", "prometheus_url"})


class BadSettings(Exception):
    """Settings that can't be. The message says which, what was found, and what would be right."""


class Settings(BaseSettings):
    """Every setting, with its default. Seconds throughout; an empty value means the default that is described."""

    model_config = SettingsConfigDict(env_prefix=VARIABLE_PREFIX, extra="forbid", frozen=True)

    source: str = Field("specs", description="directory or git URL the app specs are read from")
    branch: str | None = Field(None, description="branch of a git URL (default: the one its HEAD names)")
    path: str | None = Field(None, description="directory of the specs inside the repository")
    fetch_interval: float = Field(30.0, gt=0, description="seconds between fetches of a git URL")
    allow_file_urls: bool = Field(False, description="allow file:// as a git URL")
    database: str | None = Field(None, description="database URL (default: SQLite under the state directory)")
    state_dir: Path = Field(Path("/var/lib/orchestry"), description="where the controller keeps its files")
    instance: str = Field(
        "default", pattern=r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$", description="name of this controller"
    )
    edge: Literal["process", "container", "external", "none"] = Field("process", description="how nginx is run")
    edge_port: int = Field(8080, ge=1, le=65535, description="port nginx listens on for HTTP")
    edge_tls_port: int = Field(
        8443, ge=1, le=65535, description="port nginx listens on for HTTPS, where a route has tls"
    )
    edge_address: str = Field("", description="address nginx listens on (default: every IPv4 address)")
    edge_templates: Path | None = Field(None, description="directory of templates of your own for nginx")
    edge_directory: Path | None = Field(None, description="external: directory to write the configuration into")
    edge_test_command: tuple[str, ...] = Field((), description="external: command that tests the configuration")
    edge_reload_command: tuple[str, ...] = Field((), description="external: command that reloads nginx")
    edge_image: str = Field("nginx:stable", description="container: image of nginx")
    edge_lua: Literal["auto", "off"] = Field("auto", description="push replica changes into nginx where it has Lua")
    edge_worker_shutdown: int = Field(
        3600, ge=1, description="seconds that requests and websockets may stay with an nginx configuration that is old"
    )
    network: str | None = Field(None, description="Docker network of the replicas (default: orchestry)")
    tick: float = Field(5.0, ge=0.1, le=3600, description="seconds between looks when nothing happens")
    concurrency: int = Field(8, ge=1, le=64, description="actions performed at a time")
    probe_concurrency: int = Field(16, ge=1, le=256, description="health checks made at a time")
    secrets_dir: Path | None = Field(
        None, description="directory of secrets (default: secrets under the state directory)"
    )
    allow_host_paths: tuple[str, ...] = Field((), description="host directories that volumes may name")
    confirm_deletions: str | None = Field(None, description="revision whose deletions beyond the budget are confirmed")
    prometheus_url: str | None = Field(None, description="Prometheus-compatible API for custom metrics")
    log_format: Literal["text", "json"] = Field("text", description="how log lines are written")

    @field_validator("confirm_deletions")
    @classmethod
    def _long_enough(cls, value: str | None) -> str | None:
        if value is not None and len(value) < 7:
            raise ValueError("a revision of at least 7 characters")
        return value

    @field_validator("prometheus_url")
    @classmethod
    def _of_http(cls, value: str | None) -> str | None:
        if value and not _is_http(value):
            raise ValueError("an address such as http://localhost:9090: http or https, a host, a port up to 65535")
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        needed = ("edge_directory", "edge_test_command", "edge_reload_command") if self.edge == "external" else ()
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"edge = external needs {', '.join(missing)} as well")
        return self

    @classmethod
    def load(cls, file: Path | None, flags: dict[str, Any]) -> Settings:
        """Settings from all places. ``flags`` holds only those that were given.

        Raises BadSettings for a value that can't be, for a name that isn't one, and for a file that can't be read.
        """
        if file is not None and not file.is_file():
            raise BadSettings(f"settings file {file} is not there; name one that is, or leave --settings out")
        if unknown := _unknown_variables(os.environ):
            raise BadSettings("; ".join(unknown))
        chosen = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
        try:
            return _with_file(chosen)(**flags)
        except ValidationError as error:
            problems = "; ".join(_explained(problem) for problem in error.errors(include_url=False))
            raise BadSettings(problems) from None
        except SettingsError as error:  # only lists are parsed before they are validated
            raise BadSettings(f'{error}; expected a JSON list such as ["nginx", "-t"]') from None
        except OSError as error:
            raise BadSettings(f"settings file {chosen} can't be read: {error.strerror}") from error
        except ValueError as error:
            raise BadSettings(f"settings file {chosen} is no TOML: {error}") from error

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
    def source_name(self) -> str:
        """The source as it may be shown: without the credentials of a URL."""
        return re.sub(r"//[^/]*@", "//", self.source)

    @property
    def network_name(self) -> str:
        return self.network or ("orchestry" if self.is_default_instance else f"orchestry-{self.instance}")

    @property
    def name_prefix(self) -> str:
        """What stands before container names: nothing for the default instance."""
        return "" if self.is_default_instance else f"{self.instance}-"


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port or the host; it quotes what may be a password
        return False


def _explained(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if not name:  # about several settings together
        return str(problem["ctx"]["error"])
    if problem["type"] != "extra_forbidden":
        found = "something else" if name in _MAY_HOLD_CREDENTIALS else repr(problem["input"])
        return f"setting {name}: found {found}; {problem['msg'].lower()}"
    return f"setting {name}: there is no such setting{_meant(name)}"


def _meant(name: str) -> str:
    close = get_close_matches(name, Settings.model_fields, 1)
    return f"; is {close[0]} meant?" if close else ""


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """What is wrong with variables that look like settings and are none. They would be ignored, unlike in a file."""
    known = {f"{VARIABLE_PREFIX}{name.upper()}" for name in Settings.model_fields} | {FILE_VARIABLE}
    unknown = sorted(name for name in environment if name.startswith(VARIABLE_PREFIX) and name not in known)
    return [
        f"variable {name}: there is no such setting{_meant(name.removeprefix(VARIABLE_PREFIX).lower())}"
        for name in unknown
    ]


def _with_file(file: Path | None) -> type[Settings]:
    """The settings class that also reads this file; a file stands below flags and variables."""

    class FileSettings(Settings):
        @classmethod
        def settings_customise_sources(  # type: ignore[override]
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            **_others: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            if file is None:
                return init_settings, env_settings
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    return FileSettings

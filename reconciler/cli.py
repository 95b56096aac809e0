"""Commands; no logic of their own.

Each command reads settings, opens what it needs, calls one function and prints what came back. Imports are made where
they are used, so that a command pays only for what it needs.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from reconciler import __version__

if TYPE_CHECKING:
    from reconciler.ports import StatusReader
    from reconciler.settings import Settings

app = typer.Typer(
    name="orchestry",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# On a wrong option typer exits with 2, which here means "changes", or "not converged yet"; it is an error like any.
typer.BadParameter.__mro__[1].exit_code = 1  # type: ignore[attr-defined]

WATCH_SECONDS = 1.0


class EdgeMode(StrEnum):
    PROCESS = "process"
    CONTAINER = "container"
    EXTERNAL = "external"
    NONE = "none"


class StatusOutput(StrEnum):
    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


_SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", envvar="ORCHESTRY_SETTINGS", help="Settings file (TOML).", show_default=False),
]
_Source = Annotated[str | None, typer.Option(help="Directory or git URL the specs are read from.")]
_Branch = Annotated[str | None, typer.Option(help="Branch of a git URL.")]
_Path = Annotated[str | None, typer.Option(help="Directory of the specs inside the repository.")]
_Database = Annotated[str | None, typer.Option(help="Database URL; default: SQLite under the state directory.")]
_StateDir = Annotated[Path | None, typer.Option(help="Where the controller keeps its files.")]
_Instance = Annotated[str | None, typer.Option(help="Name of this controller; several may share a host.")]
_Edge = Annotated[EdgeMode | None, typer.Option(help="How nginx is run.")]
_EdgePort = Annotated[int | None, typer.Option(help="Port nginx listens on.")]
_Network = Annotated[str | None, typer.Option(help="Docker network of the replicas.")]
_SecretsDir = Annotated[Path | None, typer.Option(help="Directory that secrets are read from.")]
_AllowFileUrls = Annotated[bool | None, typer.Option("--allow-file-urls", help="Allow file:// git URLs.")]
_Confirm = Annotated[
    str | None, typer.Option("--confirm-deletions", metavar="REVISION", help="Confirm the deletions of this revision.")
]
_Output = Annotated[Output, typer.Option("--output", "-o", help="For people, or for machines.")]


def main() -> None:
    """The entry point. What people can act on is said in one line; only bugs show a traceback."""
    from reconciler.ports import ActionError, AlreadyRunning, Unavailable
    from reconciler.report import BadRequest

    try:
        app()
    except (Unavailable, ActionError, AlreadyRunning, BadRequest) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"orchestry {__version__}")
        raise typer.Exit


@app.callback()
def orchestry(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """GitOps for a Docker host: commit app specs, and the host follows."""


@app.command()
def run(
    source: _Source = None,
    branch: _Branch = None,
    path: _Path = None,
    database: _Database = None,
    state_dir: _StateDir = None,
    instance: _Instance = None,
    edge: _Edge = None,
    edge_port: _EdgePort = None,
    network: _Network = None,
    secrets_dir: _SecretsDir = None,
    tick: Annotated[float | None, typer.Option(help="Seconds between looks when nothing happens.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Actions performed at a time.")] = None,
    fetch_interval: Annotated[float | None, typer.Option(help="Seconds between fetches of a git URL.")] = None,
    allow_file_urls: _AllowFileUrls = None,
    confirm_deletions: _Confirm = None,
    log_format: Annotated[LogFormat | None, typer.Option(help="How log lines are written.")] = None,
    settings_file: _SettingsFile = None,
    once: Annotated[bool, typer.Option("--once", help="One pass, then exit.")] = False,
    until_converged: Annotated[bool, typer.Option("--until-converged", help="Exit 0 once everything serves.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds until --until-converged gives up.")] = None,
) -> None:
    """Run the controller: make the host match the specs, and keep it so."""
    from reconciler import logs
    from reconciler.loop import Stop, Until, Waker
    from reconciler.loop import run as run_loop
    from reconciler.wiring import open_world

    if timeout is not None and not until_converged:
        _fail("--timeout says when --until-converged gives up; give both, or neither")
    settings = _settings(
        settings_file,
        source=source,
        branch=branch,
        path=path,
        database=database,
        state_dir=state_dir,
        instance=instance,
        edge=edge,
        edge_port=edge_port,
        network=network,
        secrets_dir=secrets_dir,
        tick=tick,
        concurrency=concurrency,
        fetch_interval=fetch_interval,
        allow_file_urls=allow_file_urls,
        confirm_deletions=confirm_deletions,
        log_format=log_format,
    )
    logs.set_up(settings.log_format)
    waker = Waker()
    stop = Stop(waker.wake_at_once)
    stop.listen()
    with open_world(settings, waker) as world:
        stop.on_hangup(world.source.refresh)
        code = run_loop(world, waker, stop, settings.tick, Until(once, until_converged, timeout))
    raise typer.Exit(code)


@app.command()
def plan(
    source: _Source = None,
    branch: _Branch = None,
    path: _Path = None,
    database: _Database = None,
    state_dir: _StateDir = None,
    instance: _Instance = None,
    network: _Network = None,
    allow_file_urls: _AllowFileUrls = None,
    confirm_deletions: _Confirm = None,
    settings_file: _SettingsFile = None,
    output: _Output = Output.TEXT,
) -> None:
    """Print what the next tick would do, and why. Touches nothing. Exit code: 0 nothing, 2 changes, 1 error."""
    from reconciler.preview import preview
    from reconciler.report.plan import format_plan

    settings = _settings(
        settings_file,
        source=source,
        branch=branch,
        path=path,
        database=database,
        state_dir=state_dir,
        instance=instance,
        network=network,
        allow_file_urls=allow_file_urls,
        confirm_deletions=confirm_deletions,
    )
    seen = preview(settings)
    text, code = format_plan(seen.revision, seen.plan, seen.problems, str(output), served=seen.served)
    typer.echo(text)
    raise typer.Exit(code)


@app.command()
def status(
    app_name: Annotated[str | None, typer.Argument(metavar="[APP]", show_default=False)] = None,
    output: Annotated[StatusOutput, typer.Option("--output", "-o", help="How to print it.")] = StatusOutput.TABLE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Print again whenever it changes.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 0 when converged, 2 when not yet, 1 on an error.")
    ] = False,
    database: _Database = None,
    state_dir: _StateDir = None,
    instance: _Instance = None,
    settings_file: _SettingsFile = None,
) -> None:
    """Print what the controller has on record. Reads the database only; never Docker."""
    from reconciler.report.status import status as report
    from reconciler.report.status import watch as watch_report

    settings = _settings(settings_file, database=database, state_dir=state_dir, instance=instance)

    def look() -> tuple[str, int]:
        with _reader(settings) as reader:
            return report(reader, app_name, str(output), now=time.time())

    if watch:
        for text in watch_report(look, lambda: time.sleep(WATCH_SECONDS)):
            typer.echo(text)
    text, code = look()
    typer.echo(text)
    raise typer.Exit(code if exit_code else 0)


@app.command()
def events(
    app_name: Annotated[str | None, typer.Option("--app", help="Only this app's.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only this type: app, action, health, rollout, …")] = None,
    since: Annotated[str | None, typer.Option(help="Not older than this: 10m, 2h, 3d, or a time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most this many.")] = 100,
    output: _Output = Output.TEXT,
    database: _Database = None,
    state_dir: _StateDir = None,
    instance: _Instance = None,
    settings_file: _SettingsFile = None,
) -> None:
    """Print what happened, newest first."""
    from reconciler.report.events import events as report

    settings = _settings(settings_file, database=database, state_dir=state_dir, instance=instance)
    with _reader(settings) as reader:
        typer.echo(report(reader, app_name, type_, since, limit, str(output), now=time.time()))


@app.command()
def explain(
    app_name: Annotated[str, typer.Argument(metavar="APP")],
    output: _Output = Output.TEXT,
    database: _Database = None,
    state_dir: _StateDir = None,
    instance: _Instance = None,
    settings_file: _SettingsFile = None,
) -> None:
    """Explain an app's replica count, health, rollout and routes, and what would have to change."""
    from reconciler.report.explain import explain as report

    settings = _settings(settings_file, database=database, state_dir=state_dir, instance=instance)
    with _reader(settings) as reader:
        typer.echo(report(reader, app_name, str(output), now=time.time()))


@app.command()
def history(
    app_name: Annotated[str, typer.Argument(metavar="APP")],
    since: Annotated[str | None, typer.Option(help="Not older than this: 10m, 2h, 3d, or a time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most this many decisions, and rollouts.")] = 100,
    output: _Output = Output.TEXT,
    database: _Database = None,
    state_dir: _StateDir = None,
    instance: _Instance = None,
    settings_file: _SettingsFile = None,
) -> None:
    """List an app's scaling decisions and rollouts, with its load over time."""
    from reconciler.decide.scaling.metrics import factor_of
    from reconciler.report.history import history as report

    settings = _settings(settings_file, database=database, state_dir=state_dir, instance=instance)
    with _reader(settings) as reader:
        typer.echo(report(reader, app_name, since, limit, str(output), factor_of=factor_of, now=time.time()))


@app.command()
def validate(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Spec files, or directories of them.")],
    output: _Output = Output.TEXT,
) -> None:
    """Check specs without applying them. Exit code: 0 all good, 1 problems found."""
    from reconciler.decide.scaling.lint import warnings
    from reconciler.source import format_validation
    from reconciler.source import validate as check

    found = check(paths, warn=lambda document: warnings(document.scaling, document.spec.type))
    typer.echo(format_validation(found, str(output)))
    raise typer.Exit(1 if found.problems else 0)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the app spec, for editors."""
    import json

    from reconciler.source import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def teardown(
    yes: Annotated[bool, typer.Option("--yes", help="Really remove everything that is labelled ours.")] = False,
    state_dir: _StateDir = None,
    instance: _Instance = None,
    network: _Network = None,
    edge: _Edge = None,
    settings_file: _SettingsFile = None,
) -> None:
    """Remove this instance's containers, network and nginx. Named volumes, state and foreign containers stay."""
    from reconciler.wiring import tear_down

    settings = _settings(settings_file, state_dir=state_dir, instance=instance, network=network, edge=edge)
    if not yes:
        _fail(f"teardown removes all containers of instance {settings.instance}; say --yes to go ahead")
    for line in tear_down(settings):
        typer.echo(line)


def _settings(file: Path | None, **flags: Any) -> Settings:
    from reconciler.settings import BadSettings, Settings

    try:
        return Settings.load(file, {name: _plain(value) for name, value in flags.items() if value is not None})
    except BadSettings as error:
        _fail(str(error))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, StrEnum) else value


def _reader(settings: Settings) -> AbstractContextManager[StatusReader]:
    from reconciler.store import open_reader

    return closing(open_reader(settings.database, state_dir=settings.directory, instance=settings.instance))


def _fail(message: str) -> NoReturn:
    typer.echo(f"orchestry: {message}", err=True)
    raise SystemExit(1)

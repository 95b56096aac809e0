"""Commands; no logic of their own.

Each command reads settings, opens what it needs, calls one function and prints what came back. Imports are made where
they are used, so that a command pays only for what it needs.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from reconciler import __version__
from reconciler.options import fail, loaded_for, with_settings, with_shared_options
from reconciler.settings import BadSettings, Loaded, Settings

if TYPE_CHECKING:
    from reconciler.ports import StatusReader

app = typer.Typer(
    name="orchestry",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# On a wrong option typer exits with 2, which here means "changes", or "not converged yet"; it is an error like any.
_UsageError: Any = typer.BadParameter.__mro__[1]
_UsageError.exit_code = 1

WATCH_SECONDS = 1.0


def _names_of_apps(context: typer.Context, incomplete: str) -> list[str]:
    """The names of apps, for the shell to complete. Whatever is wrong, it must not be said on a line that is being
    typed.

    Only the file is read: a server isn't asked on a key press.
    """
    with suppress(Exception):
        settings = loaded_for(context).settings
        if not settings.database:
            with _reader(settings) as reader:
                return [name for name in reader.recorded().apps if name.startswith(incomplete)]
    return []


_Output = Annotated[
    Literal["text", "json", "yaml"], typer.Option("--output", "-o", help="For people, or for machines.")
]
_StatusOutput = Annotated[
    Literal["table", "wide", "json", "yaml"], typer.Option("--output", "-o", help="How to print it.")
]
_App = Annotated[str, typer.Argument(metavar="APP", autocompletion=_names_of_apps)]
_AppOrAll = Annotated[str | None, typer.Argument(metavar="APP", show_default=False, autocompletion=_names_of_apps)]
_Since = Annotated[str | None, typer.Option(help="Not older than this: 10m, 2h, 3d, or a time.")]


def main() -> None:
    """The entry point. What people can act on is said in one line; only bugs show a traceback."""
    from reconciler.ports import ActionError, AlreadyRunning, Unavailable
    from reconciler.report import BadRequest

    try:
        app()
    except (Unavailable, ActionError, AlreadyRunning, BadRequest, BadSettings) as error:
        fail(str(error))
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
@with_shared_options
def orchestry(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    **shared: Any,
) -> None:
    """GitOps for a Docker host: commit app specs, and the host follows."""


@app.command()
@with_settings
def run(
    context: typer.Context,
    settings: Settings,
    once: Annotated[bool, typer.Option("--once", help="One pass, then exit.")] = False,
    until_converged: Annotated[bool, typer.Option("--until-converged", help="Exit 0 once everything serves.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds until --until-converged gives up.")] = None,
) -> None:
    """Run the controller: make the host match the specs, and keep it so."""
    from reconciler import logs
    from reconciler.loop import Stop, Until, Waker
    from reconciler.loop import run as run_loop
    from reconciler.wiring import open_world, reread, told_at_the_start

    if timeout is not None and not until_converged:
        fail("--timeout says when --until-converged gives up; give both, or neither")
    logs.set_up(settings.log_format)
    logs.log.info(told_at_the_start(settings))
    waker = Waker()
    stop = Stop(waker.wake_at_once)
    stop.listen()
    with open_world(settings, waker) as world:
        stop.on_hangup(world.source.refresh)
        ends = Until(once, until_converged, timeout)
        code = run_loop(
            world, waker, stop, settings.tick, ends, lambda now: reread(now, lambda: loaded_for(context).settings)
        )
    raise typer.Exit(code)


@app.command()
@with_settings
def plan(settings: Settings, output: _Output = "text") -> None:
    """Print what the next tick would do, and why. Touches nothing. Exit code: 0 nothing, 2 changes, 1 error."""
    from reconciler.preview import preview as look_ahead
    from reconciler.report.plan import format_plan

    preview = look_ahead(settings)
    text, code = format_plan(preview.revision, preview.plan, preview.problems, output, served=preview.served)
    typer.echo(text)
    raise typer.Exit(code)


@app.command()
@with_settings
def status(
    settings: Settings,
    app_name: _AppOrAll = None,
    output: _StatusOutput = "table",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Print again whenever it changes.")] = False,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code", help="Exit 0 when converged, 2 when not yet, 1 on an error or without a controller."
        ),
    ] = False,
) -> None:
    """Print what the controller has on record. Reads the database only; never Docker."""
    from reconciler.report.status import status as report
    from reconciler.report.status import watch as watch_report

    def look() -> tuple[str, int]:
        with _reader(settings) as reader:
            return report(reader, app_name, output, now=time.time())

    if watch:
        for text in watch_report(look, lambda: time.sleep(WATCH_SECONDS)):
            typer.echo(text)
    text, code = look()
    typer.echo(text)
    raise typer.Exit(code if exit_code else 0)


@app.command()
@with_settings
def events(
    settings: Settings,
    app_name: Annotated[
        str | None, typer.Option("--app", help="Only this app's.", autocompletion=_names_of_apps)
    ] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only this type: app, action, health, rollout, …")] = None,
    since: _Since = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most this many, the newest.")] = 100,
    output: _Output = "text",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes. With -o json: an object a line.")
    ] = False,
) -> None:
    """Print what happened, the newest last; as JSON a list, the newest first."""
    from reconciler.report.events import events as report
    from reconciler.report.events import follow as log_of_events

    with _reader(settings) as reader:
        asked = (reader, app_name, type_, since, limit, output)
        if not follow:
            typer.echo(report(*asked, now=time.time()))
            return
        for line in log_of_events(*asked, now=time.time(), pause=lambda: time.sleep(WATCH_SECONDS), warn=_warn):
            typer.echo(line)


@app.command()
@with_settings
def logs(
    settings: Settings,
    app_name: _App,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what they write from now on.")] = False,
    since: _Since = None,
    replica: Annotated[str | None, typer.Option(help="Only this one's: web-2, or 2.")] = None,
    previous: Annotated[
        bool, typer.Option("--previous", help="Instead: the last lines on record of containers before.")
    ] = False,
    tail: Annotated[int, typer.Option(min=0, max=100_000, help="At most so many lines of each.")] = 100,
) -> None:
    """Print what an app's replicas write, in order of time, each line marked with its replica. Asks Docker."""
    from reconciler.replica_logs import Wanted, replica_logs

    if follow and previous:
        fail("--previous is what is on record, and --follow what is to come: give one of them")
    wanted = Wanted(app_name, replica, since, tail, follow, previous)
    for line in replica_logs(settings, wanted, now=time.time()):
        typer.echo(line, color=True)  # whether there are colours is decided already


@app.command()
@with_settings
def explain(
    settings: Settings,
    app_name: _App,
    output: _Output = "text",
) -> None:
    """Explain an app's replica count, health, rollout and routes, and what would have to change."""
    from reconciler.report.explain import explain as report

    with _reader(settings) as reader:
        typer.echo(report(reader, app_name, output, now=time.time()))


@app.command()
@with_settings
def history(
    context: typer.Context,
    settings: Settings,
    app_name: _AppOrAll = None,
    actions: Annotated[
        bool,
        typer.Option("--actions", help="Instead: what was done to its containers, or to all, and what came of it."),
    ] = False,
    revisions: Annotated[
        bool,
        typer.Option(
            "--revisions", help="Instead: revisions applied, and what was wrong with each; of problems, APP's only."
        ),
    ] = False,
    since: _Since = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most this many of each kind.")] = 100,
    output: _Output = "text",
) -> None:
    """List an app's scaling decisions and rollouts, with its load over time; or actions, or revisions."""
    from reconciler.decide.scaling.metrics import factor_of
    from reconciler.report.actions import actions as list_of_actions
    from reconciler.report.history import history as history_of
    from reconciler.report.revisions import revisions as list_of_revisions

    if actions and revisions:
        fail("--actions and --revisions are two lists: give one of them")
    now = time.time()
    with _reader(settings) as reader:
        if actions:
            typer.echo(list_of_actions(reader, app_name, since, limit, output, now=now))
        elif revisions:
            typer.echo(list_of_revisions(reader, app_name, since, limit, output, now=now))
        elif app_name is not None:
            typer.echo(history_of(reader, app_name, since, limit, output, factor_of=factor_of, now=now))
        else:
            raise _UsageError("Missing argument 'APP'.", context)


@app.command()
@with_settings
def settings(loaded: Loaded, output: _Output = "text") -> None:
    """Print the settings in force, and where each was given: as an option, a variable, in the file, or nowhere."""
    from reconciler.report.settings import settings as report

    typer.echo(report(loaded, output))


@app.command()
def validate(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Spec files, directories of them, - for standard input.")
    ],
    output: _Output = "text",
) -> None:
    """Check specs without applying them. Exit code: 0 all good, 1 problems found."""
    from reconciler.decide.lint import warnings
    from reconciler.report.documents import OUTPUTS, as_written
    from reconciler.source import format_validation
    from reconciler.source import validate as check

    validation = check(paths, warn=warnings)
    typer.echo(as_written(format_validation(validation, "json" if output in OUTPUTS else output), output))
    raise typer.Exit(1 if validation.problems else 0)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the app spec, for editors."""
    import json

    from reconciler.source import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
@with_settings
def teardown(
    settings: Settings,
    yes: Annotated[bool, typer.Option("--yes", help="Really remove everything that is labelled ours.")] = False,
) -> None:
    """Remove this instance's containers, network and nginx. Named volumes, foreign containers and
    the record of what happened stay. Without --yes: say what would be removed."""
    from reconciler.ports import Unavailable
    from reconciler.teardown import removals, tear_down

    try:
        for line in tear_down(settings) if yes else removals(settings):
            typer.echo(line)
    except Unavailable as error:
        if yes:
            raise
        _warn(str(error))
    if not yes:
        fail(f"nothing of instance {settings.instance} was removed; say --yes to go ahead")


def _warn(message: str) -> None:
    typer.echo(f"orchestry: warning: {message}", err=True)


def _reader(settings: Settings) -> AbstractContextManager[StatusReader]:
    from reconciler.store import open_reader

    return closing(open_reader(settings.database, state_dir=settings.directory, instance=settings.instance))

"""The options that settings have on the command line, made from what is declared of them.

A command takes those it has a use for; what all commands share may stand before the command as well. Nothing here
knows a setting by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args, get_type_hints

import typer

from reconciler.settings import (
    DECLARED,
    DEFAULT_FILE,
    FILE_VARIABLE,
    BadSettings,
    Loaded,
    Settings,
    default_of,
    is_list,
    load,
    masked_url,
    option_of,
    variable_of,
)

_PANEL = "Settings (each also in the environment and in the settings file)"
_FILE = typer.Option(
    "--settings",
    help=f"Settings file, TOML (default: {DEFAULT_FILE}); also as {FILE_VARIABLE}.",
    rich_help_panel=_PANEL,
)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each setting it uses. It gets ``settings``, ``loaded`` or
    ``context`` as it asks."""
    asked = signature(command, eval_str=True).parameters

    @wraps(command)
    def read_settings(context: typer.Context, **given: Any) -> None:
        try:
            loaded = loaded_for(context)
        except BadSettings as error:
            fail(str(error))
        for warning in _exposed(loaded):
            typer.echo(f"orchestry: warning: {warning}", err=True)
        arguments = given | {"settings": loaded.settings, "loaded": loaded, "context": context}
        command(**{name: arguments[name] for name in asked})

    own = [parameter for name, parameter in asked.items() if name not in ("settings", "loaded", "context")]
    context = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    return _taking(read_settings, [context, *own, *_options(command.__name__)])


def with_shared_options(callback: Callable[..., None]) -> Callable[..., None]:
    """The callback for what stands before a command, with the options that all commands share; its ``**shared`` is
    where they go."""
    *own, _shared = signature(callback, eval_str=True).parameters.values()
    return _taking(callback, [*own, *_options(None)])


def loaded_for(context: typer.Context) -> Loaded:
    """Settings by the options before the command and after it; the latter win. Raises BadSettings."""
    before, after = context.find_root().params, context.params
    given = before | {name: value for name, value in after.items() if value is not None}
    options = {name: value for name, value in given.items() if name in DECLARED and value is not None}
    return load(given["settings_file"], options)


def fail(message: str) -> NoReturn:
    typer.echo(f"orchestry: {message}", err=True)
    raise SystemExit(1)


def _taking(function: Callable[..., None], parameters: list[Parameter]) -> Callable[..., None]:
    """The function with parameters that typer sees in place of its own."""
    keywords = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
    function.__signature__ = Signature(keywords)  # type: ignore[attr-defined]
    return function


def _options(command: str | None) -> Iterator[Parameter]:
    """The options of a command; without one, of what comes before it."""
    types = get_type_hints(Settings)
    yield _option("settings_file", Path, _FILE)
    for name, declared in DECLARED.items():
        used = declared["shared"] or command in ("run", "settings", *declared["commands"])
        if used and not is_list(name):
            option = typer.Option(option_of(name), help=_help(name), rich_help_panel=_PANEL)
            yield _option(name, str if str in get_args(types[name]) else types[name], option)


def _option(name: str, type_: Any, option: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[type_ | None, option])


def _help(name: str) -> str:
    text, default = DECLARED[name]["description"], default_of(name)
    return f"{text[0].upper()}{text[1:]}" + (f" (default: {default})." if default else ".")


def _exposed(loaded: Loaded) -> Iterator[str]:
    """A warning for each option that holds a credential: whoever may list processes sees it."""
    for name, origin in loaded.origins.items():
        value = getattr(loaded.settings, name)
        if origin.kind == "option" and DECLARED[name]["credential"] and masked_url(value) != value:
            yield (
                f"{origin.name} holds a credential, which everybody who may list processes can read; "
                f"give it as {variable_of(name)}, or as {name} in the settings file"
            )

"""Options of the command line are made from what is declared of settings: which there are, and what comes of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from reconciler.cli import app
from reconciler.settings import DECLARED, Settings, is_list, option_of, variable_of
from tests.support.records import record
from tests.support.stores import make_place

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
COMMANDS = get_command(app).commands

READING = {"--settings", "--database", "--state-dir", "--instance"}
PLANNING = {*READING, "--source", "--branch", "--path", "--network", "--allow-file-urls", "--confirm-deletions"}
RUNNING = {"--edge", "--edge-port", "--secrets-dir", "--tick", "--concurrency", "--fetch-interval", "--log-format"}
# What people have in their scripts since 1.0: more may come, nothing may go.
PROMISED = {
    "run": PLANNING | RUNNING,
    "plan": PLANNING,
    "status": READING,
    "events": READING,
    "explain": READING,
    "history": READING,
    "teardown": READING | {"--network", "--edge"},
}
READING_COMMANDS = [
    ["status"],
    ["events"],
    ["explain", "web"],
    ["history", "web"],
    ["history", "--actions"],
    ["history", "web", "--revisions"],
]
PASSWORD_URL = "postgresql://me:hunter2@db.example/orchestry"


def options_of(command: str) -> set[str]:
    return {option for parameter in COMMANDS[command].params for option in parameter.opts}


def orchestry(*arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(app, arguments, env=environment, prog_name="orchestry")


def in_force(*arguments: str, **environment: str) -> dict[str, dict[str, Any]]:
    """What `orchestry settings` says, with ``settings`` itself among the arguments."""
    result = orchestry(*arguments, "-o", "json", **environment)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def other_than_default(name: str) -> Any:
    """A value that a setting may have, and hasn't by default."""
    default, type_ = getattr(Settings, name), get_type_hints(Settings)[name]
    if name == "allow_host_path":
        return [{"path": "/srv/shared", "readOnly": True}]
    if is_list(name):
        return ["some", "thing"]
    if isinstance(default, bool):
        return not default
    if isinstance(default, int | float):
        return default + 1
    return next((choice for choice in reversed(get_args(type_)) if isinstance(choice, str)), "http-1234567")


def as_toml(name: str, value: Any) -> str:
    """The setting as the settings file has it."""
    if isinstance(value, list) and isinstance(value[0], dict):
        return "".join(f"[[{name}]]\n" + "".join(as_toml(key, item) for key, item in table.items()) for table in value)
    return f"{name} = {json.dumps(value)}\n"


@pytest.mark.parametrize("name", DECLARED)
def test_a_setting_is_an_option_a_variable_a_key_of_the_file_and_a_row_of_the_readme(name: str, tmp_path: Path) -> None:
    value = "http://some.example" if DECLARED[name]["credential"] else other_than_default(name)
    text = value if isinstance(value, str) else json.dumps(value)
    file = tmp_path / "settings.toml"
    file.write_text(as_toml(name, value))
    by_variable = in_force("settings", **{variable_of(name): text})
    assert by_variable[name] == {"value": value, "from": "variable", "where": variable_of(name)}
    by_file = in_force("settings", "--settings", str(file))
    assert by_file[name] == {"value": value, "from": "file", "where": str(file)}
    if is_list(name):
        assert option_of(name) not in options_of("run")
        assert f"\n| `{name}` |" in README
        return
    option = [option_of(name)] if value is True else [option_of(name), text]
    assert in_force("settings", *option)[name] == {"value": value, "from": "option", "where": option_of(name)}
    assert option_of(name) in options_of("run")
    assert f"\n| `{option_of(name)}` |" in README


def test_a_flag_turns_on_what_is_off_by_default() -> None:
    assert [name for name in DECLARED if getattr(Settings, name) is True] == []


@pytest.mark.parametrize("command", PROMISED)
def test_no_option_of_a_command_was_removed_or_renamed(command: str) -> None:
    assert PROMISED[command] <= options_of(command)


def test_settings_takes_every_setting_that_run_takes() -> None:
    assert options_of("run") - options_of("settings") == {"--once", "--until-converged", "--timeout"}


def test_settings_are_declared_for_commands_that_exist() -> None:
    assert {command for declared in DECLARED.values() for command in declared["commands"]} <= COMMANDS.keys()


def test_shared_options_work_before_and_after_the_command_and_the_one_after_it_wins(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / f"{name}.toml").write_text(f'network = "{name}"\n')
    first, second = (["--settings", str(tmp_path / f"{name}.toml"), "--instance", name] for name in ("first", "second"))
    for arguments, name in (
        ([*first, "settings"], "first"),
        (["settings", *first], "first"),
        ([*first, "settings", *second], "second"),
    ):
        shown = in_force(*arguments, ORCHESTRY_SETTINGS=str(tmp_path / "none.toml"), ORCHESTRY_INSTANCE="three")
        assert (shown["network"]["value"], shown["instance"]["value"]) == (name, name), arguments


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("command", READING_COMMANDS)
def test_what_reads_the_record_finds_it_by_a_state_directory_before_or_after_the_command(
    command: list[str], before: bool, tmp_path: Path
) -> None:
    place = ["--state-dir", str(tmp_path)]
    result = orchestry(*(place + command if before else command + place))
    assert f"{tmp_path}/orchestry.db" in str(result.exception)


def test_before_the_command_stand_only_the_options_that_all_commands_share() -> None:
    before = {option for parameter in get_command(app).params for option in parameter.opts}
    assert options_of("run") & before == READING
    assert all(options_of(command) >= READING for command in PROMISED)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--database", PASSWORD_URL),
        ("--source", "https://hunter2@git.example/specs"),
        ("--prometheus-url", "http://me:hunter2@prom:9090"),
    ],
)
def test_a_credential_on_the_command_line_works_with_a_warning_and_is_redacted(option: str, value: str) -> None:
    name = option.removeprefix("--").replace("-", "_")
    for form in ("text", "json"):
        result = orchestry("settings", option, value, "-o", form)
        assert result.exit_code == 0
        assert f"warning: {option} holds a credential" in result.stderr
        assert f"give it as {variable_of(name)}, or as {name} in the settings file" in result.stderr
        assert "***@" in result.stdout
        assert "hunter2" not in result.output


def test_a_credential_before_the_command_is_warned_of_as_well() -> None:
    result = orchestry("--database", PASSWORD_URL, "settings")
    assert "warning: --database holds a credential" in result.stderr
    assert "hunter2" not in result.output


def test_no_warning_without_a_credential_or_off_the_command_line() -> None:
    assert orchestry("settings", "--database", "postgresql://me@db.example/orchestry").stderr == ""
    assert orchestry("settings", "--source", "git@git.example:shop/apps.git").stderr == ""
    result = orchestry("settings", ORCHESTRY_DATABASE=PASSWORD_URL)
    assert (result.stderr, "hunter2" in result.stdout) == ("", False)


def test_settings_are_shown_as_they_work(tmp_path: Path) -> None:
    result = orchestry("settings", "--state-dir", "/var/lib/x", "--instance", "two", ORCHESTRY_EDGE_PORT="80")
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in result.stdout.splitlines()}
    assert [
        " ".join(rows[name].split()) for name in ("SETTING", "edge_port", "network", "secrets_dir", "database")
    ] == [
        "VALUE FROM",
        "80 variable ORCHESTRY_EDGE_PORT",
        "orchestry-two default",
        "/var/lib/x/two/secrets default",
        "SQLite under the state directory default",
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown_for_a_shell(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    result = orchestry("--show-completion", shell)
    assert result.exit_code == 0
    assert f"_ORCHESTRY_COMPLETE=complete_{shell}" in result.stdout


def completed(line: str) -> list[str]:
    """What bash is offered at the end of a line. Nothing else may be written."""
    words = line.split(" ")
    result = orchestry(_ORCHESTRY_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    assert (result.exit_code, result.stderr) == (0, "")
    return list(result.stdout.split())


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A state directory with two apps on record."""
    for place in make_place(None, tmp_path):
        place.store().save(record(apps=2))
    return tmp_path


@pytest.mark.parametrize("command", ["status", "explain", "history", "events --app"])
def test_names_of_apps_are_completed_from_the_record(recorded: Path, command: str) -> None:
    name, _, option = command.partition(" ")
    assert completed(f"orchestry --state-dir {recorded} {command} ") == ["app-2", "web"]
    assert completed(f"orchestry {name} --state-dir {recorded} {option} w".replace("  ", " ")) == ["web"]


@pytest.mark.parametrize(
    "options", ["--state-dir /nowhere", "--settings /nowhere", "--instance BAD", f"--database {PASSWORD_URL}"]
)
def test_nothing_is_completed_nor_said_where_no_record_can_be_read(options: str) -> None:
    assert completed(f"orchestry {options} status ") == []


def test_a_damaged_record_completes_nothing_and_says_nothing(recorded: Path) -> None:
    (recorded / "orchestry.db").write_bytes(b"nothing of the kind" * 500)
    assert completed(f"orchestry --state-dir {recorded} explain ") == []


def test_the_command_line_is_made_without_what_its_commands_need() -> None:
    unneeded = "pydantic", "sqlalchemy", "docker", "jinja2", "git"
    program = f"import sys, reconciler.cli; print([name for name in {unneeded} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"

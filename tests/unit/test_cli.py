"""What the command line itself refuses and tells, before anything is opened."""

from __future__ import annotations

import json
import re

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from reconciler import __version__
from reconciler.cli import app


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--version"], 0, f"orchestry {__version__}"),
        (["run", "--timeout", "5"], 1, "--timeout says when --until-converged gives up"),
        (["run", "--edge", "external"], 1, "edge = external needs edge_directory"),
        (["history"], 1, "Missing argument 'APP'."),
        (["history", "--actions", "--revisions"], 1, "are two lists: give one of them"),
        (["run", "--edge", "apache"], 1, "apache"),
        (["run", "--edge-port", "0"], 1, "setting edge_port: found 0"),
        (["run", "--edge-test-command", "nginx"], 1, "No such option"),
        (["status", "--tick", "3"], 1, "No such option"),
        (["--nonsense", "status"], 1, "No such option"),
        (["--settings", "/nowhere/settings.toml", "status"], 1, "/nowhere/settings.toml is not there"),
    ],
)
def test_the_command_line_tells_or_refuses_at_once(arguments: list[str], code: int, said: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, said in result.output) == (code, True), result.output


@pytest.mark.parametrize("command", [["validate", "specs"], ["settings"]])
def test_what_is_validated_and_what_is_set_is_the_same_as_json_and_as_yaml(command: list[str]) -> None:
    as_json, as_yaml = (CliRunner().invoke(app, [*command, "-o", output]).stdout for output in ("json", "yaml"))
    assert YAML(typ="safe", pure=True).load(as_yaml) == json.loads(as_json)
    assert not as_yaml.startswith("{")


@pytest.mark.parametrize("command", ["status", "events", "explain", "history", "plan", "validate", "settings"])
def test_every_report_can_be_had_as_json_and_as_yaml(command: str) -> None:
    told = " ".join(CliRunner().invoke(app, [command, "--help"], terminal_width=200).output.split())
    assert re.search(r"--output.*json\|yaml", told), told


def test_a_teardown_that_is_not_confirmed_touches_nothing_and_says_how_to_confirm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    result = CliRunner().invoke(app, ["teardown", "--database", "postgresql://nobody@127.0.0.1:1/none"])
    assert result.exit_code == 1
    assert "nothing of instance default was removed; say --yes to go ahead" in result.output
    assert "warning: " in result.output, "why it can't be told what would be removed"

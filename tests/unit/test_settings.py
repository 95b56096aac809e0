"""Settings that can't be: the message says which one, what was found, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.settings import BadSettings, Settings


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ORCHESTRY_{name.upper()}", raising=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('sorce = "specs"', r"setting sorce: there is no such setting; is source meant\?"),
        ("edge_port = 0", "setting edge_port: found 0; input should be greater than or equal to 1"),
        ("edge_port = ", "is no TOML"),
        (
            'edge = "external"\nedge_test_command = ["nginx", "-t"]',
            "edge = external needs edge_directory, edge_reload_command as well",
        ),
    ],
)
def test_bad_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(BadSettings, match=message):
        Settings.load(file, {})


def test_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="is not there; name one that is"):
        Settings.load(tmp_path / "none.toml", {})


@pytest.mark.parametrize(
    "url",
    [
        "prom:9090",
        "localhost",
        "http://",
        "http://h:99999",
        "http://h:port",
        "http://h:0",
        "ftp://h",
        "http://[::1",
        "http://me:hunter2/@h",
    ],
)
def test_what_no_prometheus_can_be_asked_by(url: str) -> None:
    with pytest.raises(BadSettings, match=r"setting prometheus_url: .* such as http://localhost:9090") as error:
        Settings.load(None, {"prometheus_url": url})
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["http://h", "https://h:9090/prefix", "http://me:hunter2@10.0.0.1:80/", "http://[::1]:9"]
)
def test_where_a_prometheus_can_be(url: str) -> None:
    assert Settings.load(None, {"prometheus_url": url}).prometheus_url == url


def test_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRY_EDGE_TEST_COMMAND", "nginx -t")
    with pytest.raises(BadSettings, match="edge_test_command.*expected a JSON list such as"):
        Settings.load(None, {})


def test_a_variable_that_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRY_SETTINGS", "/etc/orchestry/settings.toml")
    monkeypatch.setenv("ORCHESTRY_EDGEPORT", "80")
    with pytest.raises(
        BadSettings, match=r"^variable ORCHESTRY_EDGEPORT: there is no such setting; is edge_port meant\?$"
    ):
        Settings.load(None, {})


@pytest.mark.parametrize("userinfo", ["user:pass", "user:top@secret", "token"])
def test_the_source_is_shown_without_its_credentials(userinfo: str) -> None:
    assert Settings(source=f"https://{userinfo}@git.example/team/specs").source_name == "https://git.example/team/specs"


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("tick = 1\nconcurrency = 1\nedge_port = 1\n")
    monkeypatch.setenv("ORCHESTRY_CONCURRENCY", "2")
    monkeypatch.setenv("ORCHESTRY_EDGE_PORT", "2")
    settings = Settings.load(file, {"edge_port": 3})
    assert (settings.tick, settings.concurrency, settings.edge_port) == (1, 2, 3)

"""What a controller tells at its start, and what of its settings a SIGHUP may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler import __version__, logs
from reconciler.model.plan import DecisionSettings
from reconciler.settings import Settings, load
from reconciler.wiring import reread, told_at_the_start


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "instance default: source specs; edge process on port 8080"),
        ({"source": "/srv/apps", "edge": "none"}, "instance default: source /srv/apps; no edge"),
        (
            {"source": "git@git.example:apps.git", "branch": "main", "path": "specs", "instance": "a", "edge_port": 80},
            "instance a: source git@git.example:apps.git, branch main, path specs; edge process on port 80",
        ),
        (
            {"source": "https://me:hunter2@git.example/apps.git"},
            "instance default: source https://git.example/apps.git; edge process on port 8080",
        ),
    ],
)
def test_the_first_line_of_the_log_tells_who_runs_by_what_and_where(settings: dict[str, object], told: str) -> None:
    assert told_at_the_start(Settings(**settings)) == f"orchestry {__version__}, {told}"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "source",
    [
        "https://me:hunter2/hunter2@git.example/apps.git",
        "https://hunter2@git.example/apps.git?token=hunter2",
        "http://me:hunter2#hunter2@git.example/apps.git",
    ],
)
def test_the_first_line_of_the_log_holds_no_credential_even_of_a_source_that_is_not_allowed(source: str) -> None:
    assert "hunter2" not in told_at_the_start(Settings(source=source))


BEFORE = DecisionSettings(name_prefix="a-", confirmed_revision="aaaaaaa")


def test_a_hangup_changes_nothing_but_which_deletions_are_confirmed(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('confirm_deletions = "bbbbbbb"\ninstance = "other"\n')
    after = reread(BEFORE, lambda: load(file, {}).settings)
    assert after == DecisionSettings(name_prefix="a-", confirmed_revision="bbbbbbb")
    file.write_text("")
    assert reread(after, lambda: load(file, {}).settings).confirmed_revision is None
    by_option = load(file, {"confirm_deletions": "aaaaaaa"}).settings
    assert reread(BEFORE, lambda: by_option) == BEFORE


@pytest.mark.parametrize(
    "content",
    [
        'confirm_deletions = "short"',
        'confirm_deletions = "bbbbbbb"\nedge_port = 0',
        "no TOML at all",
        "nonsense = 1",
        None,
    ],
)
def test_after_a_hangup_a_settings_file_that_is_wrong_changes_nothing_and_is_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    file = tmp_path / "settings.toml"
    if content is not None:
        file.write_text(content)
    logs.set_up("text")
    assert reread(BEFORE, lambda: load(file, {}).settings) == BEFORE
    said = capsys.readouterr().err
    assert "WARNING controller the settings were not read again, and confirm_deletions stays as it was: " in said

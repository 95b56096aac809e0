"""What the documents promise is there: files they link to, commands and settings they name, and none forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from reconciler.cli import app
from reconciler.settings import DECLARED, load

_TOP = Path(__file__).parents[2]
_DOCUMENTS = sorted([*_TOP.glob("*.md"), *(_TOP / "docs").rglob("*.md")])
# What a path in the documents may be relative to.
_PLACES = [_TOP, _TOP / "reconciler", _TOP / "reconciler" / "decide", _TOP / "tests"]
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def _links(document: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    return (link for link in _LINK.findall(text) if "://" not in link)


@pytest.mark.parametrize("document", _DOCUMENTS, ids=lambda path: str(path.relative_to(_TOP)))
def test_links_in_the_documentation_lead_somewhere(document: Path) -> None:
    dead = [link for link in _links(document) if not (document.parent / link).exists()]
    assert not dead


def test_every_decision_record_is_listed() -> None:
    directory = _TOP / "docs" / "decisions"
    listed = set(_links(directory / "README.md"))
    assert {path.name for path in directory.glob("[0-9]*.md")} == listed


def test_architecture_names_every_room_and_every_decision() -> None:
    text = (_TOP / "docs" / "architecture.md").read_text(encoding="utf-8")
    top = [path.name for path in (_TOP / "reconciler").iterdir() if not path.name.startswith("_")]
    rooms = [f"`{name}`" if name.endswith(".py") else f"`{name}/`" for name in top if name != "py.typed"]
    decide = _TOP / "reconciler" / "decide"
    decisions = [f"`{path.relative_to(decide).with_suffix('')}`" for path in decide.rglob("[!_]*.py")]
    assert [name for name in (*rooms, *decisions) if name not in text] == []


@pytest.mark.parametrize(
    "document",
    [_TOP / "docs" / "architecture.md", *sorted((_TOP / "docs" / "decisions").glob("[0-9]*.md"))],
    ids=lambda path: path.stem,
)
def test_modules_that_a_document_names_exist(document: Path) -> None:
    named = re.findall(r"`([a-z_./]+(?:\.py|/))`", document.read_text(encoding="utf-8"))
    assert [name for name in named if not any((place / name).exists() for place in _PLACES)] == []


def test_modules_in_the_table_of_decisions_exist() -> None:
    text = (_TOP / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("### Inside `decide`")[2].partition("\nAn app has one")[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`([a-z_/]+)`", row.partition(" |")[0])]
    assert len(named) > 25
    assert [name for name in named if not (_TOP / "reconciler" / "decide" / f"{name}.py").exists()] == []


def test_glossary_says_each_word_once() -> None:
    text = (_TOP / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [word for word in re.findall(r"^\| ([a-z-][a-z -]*) \|", text, re.MULTILINE) if word != "word"]
    assert len(words) > 25
    assert sorted(words) == sorted(set(words))


def test_readme_names_every_command() -> None:
    commands = get_command(app).commands
    readme = (_TOP / "README.md").read_text(encoding="utf-8")
    assert [name for name in commands if f"`orchestry {name}" not in readme] == []


def test_example_settings_are_settings() -> None:
    example = _TOP / "deploy" / "settings.example.toml"
    assert load(example, {}).settings.edge_port == 80
    named = re.findall(r"^(?:# )?([a-z_]+) = ", example.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= DECLARED.keys()

"""Files that ask for no app: an app that came from one is kept, and only a removed file or document removes one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.decide.blanks import judged
from reconciler.decide.state.apps import register
from reconciler.model.desired import Desired
from reconciler.model.observed import Container, ContainerState, Inventory, Observed
from reconciler.model.plan import DecisionSettings
from reconciler.model.state import State
from reconciler.source.directory import DirectorySource
from tests.support.records import NOW
from tests.support.specs import web
from tests.support.stage import NETWORK

OTHERS = {"b.yaml": web("b"), "c.yaml": web("c")}


class Instance:
    """A controller that reads a plain directory; ``restart`` leaves it nothing but its record."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.state = State()
        self.restart()

    def restart(self) -> None:
        self._source = DirectorySource(self._place)

    def put(self, files: dict[str, str | None]) -> None:
        for name, text in files.items():
            if text is None:
                (self._place / name).unlink()
            else:
                (self._place / name).write_text(text)

    def leaving(self, *containers: Container) -> set[str]:
        """Read, register, and say which apps go."""
        self.desired = judged(self._source.read(), self.state)
        observed = Observed(NOW, self.desired, Inventory(containers, NETWORK))
        registration = register(observed, self.state, DecisionSettings())
        gone = registration.leaving
        apps = {name: app for name, app in registration.state.apps.items() if name not in gone}
        self.state = replace(registration.state, apps=apps)
        return set(gone)

    @property
    def told(self) -> list[tuple[str | None, str]]:
        return [(problem.app_name, str(problem)) for problem in self.desired.problems]


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    made = Instance(tmp_path)
    made.put({"a.yaml": web("a"), **OTHERS})
    made.leaving()
    return made


@pytest.fixture(params=["running", "restarted"])
def later(request: pytest.FixtureRequest, instance: Instance) -> Instance:
    """The same instance after it has read its specs, and after a restart since."""
    if request.param == "restarted":
        instance.restart()
    return instance


@pytest.mark.parametrize("text", ["", "\n\n", "# " + web("a").replace("\n", "\n# "), "---\n---\n", "\ufeff"])
def test_a_spec_that_was_emptied_or_commented_out_keeps_its_app(later: Instance, text: str) -> None:
    later.put({"a.yaml": text})
    assert later.leaving() == set()
    expected = "an app spec; to remove an app, remove its file (app a came from it)"
    assert later.told == [("a", f"a.yaml: found no document; expected {expected}")]
    assert later.desired.notices == ()


def test_an_emptied_file_keeps_every_app_that_came_from_it(later: Instance) -> None:
    later.put({"a.yaml": web("a") + "---\n" + web("d")})
    later.leaving()
    later.put({"a.yaml": "# later"})
    assert later.leaving() == set()
    assert [name for name, _ in later.told] == ["a", "d"]


@pytest.mark.parametrize(("name", "meant"), [("a.YAML", "a.yaml"), ("a.Yml", "a.yml"), ("other.YML", "other.yml")])
def test_a_spec_renamed_to_another_spelling_of_its_ending_keeps_its_app(later: Instance, name: str, meant: str) -> None:
    later.put({"a.yaml": None, name: web("a")})
    assert later.leaving() == set()
    (told,) = later.told
    expected = f"the name {meant} (app a came from it)"
    assert told == ("a", f"{name}: found the ending .{name.split('.')[1]}; expected {expected}")


def test_a_renamed_spec_that_is_broken_as_well_keeps_the_app_of_its_place(later: Instance) -> None:
    later.put({"a.yaml": None, "a.YAML": "{"})
    assert later.leaving() == set()
    assert [name for name, _ in later.told] == ["a"]


def test_a_removed_file_or_document_removes_its_app(later: Instance) -> None:
    later.put({"a.yaml": None})
    assert later.leaving() == {"a"}
    later.put({"b.yaml": web("b") + "---\n" + web("d")})
    later.leaving()
    later.put({"b.yaml": "# " + web("b").replace("\n", "\n# ") + "\n---\n" + web("d")})
    assert later.leaving() == {"b"}
    assert later.told == []


def test_an_app_that_moved_out_of_a_file_is_not_missed_in_it(later: Instance) -> None:
    later.put({"a.yaml": "", "moved.yaml": web("a")})
    assert later.leaving() == set()
    assert later.told == []


def test_a_file_that_no_app_ever_came_from_is_worth_a_notice(instance: Instance) -> None:
    instance.put({"new.yaml": "# to do", "New.YAML": web("e")})
    assert instance.leaving() == set()
    assert instance.told == []
    assert instance.desired.notices == (
        "New.YAML asks for no app: found the ending .YAML; expected the name New.yaml",
        "new.yaml asks for no app: found no document; expected an app spec; to remove an app, remove its file",
    )
    assert "e" not in instance.desired.apps


def test_an_app_that_moved_in_a_broken_spec_is_kept_when_that_is_emptied(instance: Instance) -> None:
    """The record still has it at its old place; the last reading knows better."""
    instance.put({"a.yaml": None, "moved.yaml": web("a", spec="oops: 1")})
    assert instance.leaving() == set()
    instance.put({"moved.yaml": ""})
    assert instance.leaving() == set()
    assert [name for name, _ in instance.told] == ["a"]


def test_containers_of_an_unknown_app_stay_while_some_file_is_blank(instance: Instance) -> None:
    ghost = Container("id1", "ghost-1", "ghost", 1, "abc", "r1", ContainerState.RUNNING)
    instance.put({"ghost.yaml": ""})
    assert instance.leaving(ghost) == set()
    instance.put({"ghost.yaml": None})
    assert instance.leaving(ghost) == {"ghost"}


def test_a_source_without_blank_files_is_taken_as_it_is() -> None:
    desired = Desired("r1", {})
    assert judged(desired, State()) is desired

"""`orchestry validate`: what it looks at, and what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reconciler.cli import app
from reconciler.model.spec import App
from reconciler.source import Validation, directory, format_validation, validate
from reconciler.source.document import MAX_FILE_BYTES
from tests.support.specs import web, worker

TOP = Path(__file__).parents[2]
FILES = "files: [{path: conf/app.ini, mountPath: /etc/app.ini}]"


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory ``specs`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    directory = Path("specs")
    (directory / "sub").mkdir(parents=True)
    (directory / "a.yaml").write_text(web("a"))
    (directory / "sub" / "b.yml").write_text(worker("b"))
    return directory


def problems(result: Validation) -> list[tuple[str, int | None, str]]:
    return [(problem.path, problem.line, problem.field) for problem in result.problems]


@pytest.mark.parametrize("path", ["specs", "docs/example"])
def test_the_specs_that_are_shipped_are_valid(path: str) -> None:
    result = validate([TOP / path])
    assert (result.problems, result.warnings) == ((), ())
    assert result.apps


def test_validate_reads_directories_with_everything_below(specs: Path) -> None:
    assert validate(["specs"]) == Validation((), (), ("a", "b"))


def test_validate_names_files_as_they_were_given(specs: Path) -> None:
    (specs / "sub" / "b.yml").write_text(worker("b", spec="oops: 1"))
    assert problems(validate(["specs"])) == [("specs/sub/b.yml", 8, "spec.oops")]
    assert problems(validate([specs.absolute()])) == [(str(specs.absolute() / "sub" / "b.yml"), 8, "spec.oops")]


def piped(content: str | bytes, *paths: str) -> tuple[int, str]:
    """Exit code and output of `orchestry validate` with this on its standard input."""
    result = CliRunner().invoke(app, ["validate", *paths], input=content)
    assert not isinstance(result.exception, Exception), result.exception
    return result.exit_code, result.output.strip()


@pytest.mark.usefixtures("specs")
def test_validate_reads_standard_input_beside_paths() -> None:
    assert piped(f"{web('c')}---\n{worker('d')}", "-") == (0, "2 valid apps: c, d")
    assert piped(web("c"), "specs", "-", "-") == (0, "3 valid apps: a, b, c")
    code, said = piped(web("a"), "specs", "-")
    assert code == 1
    assert "<stdin>:4: metadata.name: " in said
    assert "specs/a.yaml:4: metadata.name: " in said


@pytest.mark.usefixtures("specs")
def test_validate_names_standard_input_in_what_it_says() -> None:
    assert piped(f"{web('c')}---\n{worker('d', spec='oops: 1')}", "-")[1].startswith("<stdin>:")
    for nothing in ("", "# nothing\n", b"\xff\xfe", "a" * (MAX_FILE_BYTES + 1)):
        code, said = piped(nothing, "-")
        assert (code, said.startswith("<stdin>:")) == (1, True), said


def test_files_of_specs_from_standard_input_lie_in_the_working_directory(specs: Path) -> None:
    spec = web("c", spec=FILES)
    assert "<stdin>:" in piped(spec, "-")[1]
    (specs.parent / "conf").mkdir()
    (specs.parent / "conf" / "app.ini").write_text("x = 1\n")
    assert piped(spec, "-") == (0, "1 valid app: c")


def test_validate_takes_a_file_given_twice_for_one_file(specs: Path) -> None:
    assert validate(["specs", "specs/a.yaml", specs.absolute()]).problems == ()


def test_validate_sees_conflicts_across_paths(specs: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(web("a"))
    assert problems(validate(["specs", "other.yaml"])) == [
        ("other.yaml", 4, "metadata.name"),
        ("specs/a.yaml", 4, "metadata.name"),
    ]


def test_validate_looks_for_dependencies_only_where_all_apps_are_there(specs: Path) -> None:
    (specs / "a.yaml").write_text(web("a", spec="dependsOn: [elsewhere]"))
    assert problems(validate(["specs"])) == [("specs/a.yaml", 9, "spec.dependsOn[0]")]
    assert validate(["specs/a.yaml"]).problems == ()


def test_validate_tells_a_path_that_is_not_there_as_a_problem(specs: Path) -> None:
    result = validate(["specs/a.yaml", "specs/c.yaml"])
    assert [str(problem) for problem in result.problems] == [
        "specs/c.yaml: found nothing there; expected a file or a directory"
    ]
    assert result.apps == ("a",)


def test_validate_looks_for_files_beside_the_spec(specs: Path) -> None:
    (specs / "a.yaml").write_text(web("a", spec=FILES))
    (problem,) = validate(["specs/a.yaml"]).problems
    assert (problem.field, problem.expected) == ("spec.files[0].path", "a file of this revision: specs/conf/app.ini")
    (specs / "conf").mkdir()
    (specs / "conf" / "app.ini").touch()
    assert validate(["specs/a.yaml"]).problems == ()
    (specs / "conf").rename("conf")
    (specs / "conf").symlink_to(Path("conf").absolute())
    assert [problem.found for problem in validate(["specs/a.yaml"]).problems] == ["nothing there"]


def test_validate_tells_links_in_a_directory_as_problems(specs: Path) -> None:
    (specs / "link.yaml").symlink_to("a.yaml")
    assert [problem.found for problem in validate(["specs"]).problems] == ["a symbolic link"]


def test_validate_warns_of_valid_apps_only(specs: Path) -> None:
    (specs / "bad.yaml").write_text(worker("bad", spec="oops: 1"))

    def warn(apps: Sequence[App]) -> Mapping[str, Sequence[str]]:
        return {app.name: [f"{app.spec.type} at {app.scaling.max_replicas}"] for app in apps}

    result = validate(["specs"], warn=warn)
    assert [(w.path, w.app_name, w.message) for w in result.warnings] == [
        ("specs/a.yaml", "a", "http at 5"),
        ("specs/sub/b.yml", "b", "worker at 5"),
    ]


def test_validate_warns_of_a_directory_without_specs(tmp_path: Path) -> None:
    result = validate([tmp_path])
    assert result.problems == ()
    assert [warning.message for warning in result.warnings] == ["no app in it"]


def test_validate_tells_a_directory_that_cannot_be_seen_as_a_problem(
    specs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "MAX_ENTRIES", 1)
    (problem,) = validate(["specs"]).problems
    assert str(problem) == (
        "specs: found specs holds more than 1 files; give a directory of specs; expected a directory that can be read"
    )


def test_validate_prints_text_for_people(specs: Path) -> None:
    assert format_validation(validate(["specs"]), "text") == "2 valid apps: a, b"
    (specs / "a.yaml").write_text(web("a", spec="suspend: yes\nreplicas: 2"))
    text = format_validation(validate(["specs"], warn=lambda apps: {"b": ["careful"]}), "text")
    assert text.splitlines() == [
        "specs/a.yaml:9: spec.suspend: found yes without quotes; expected true or false",
        "specs/a.yaml:10: spec.replicas: found an unknown field; expected scaling.replicas",
        "specs/sub/b.yml: warning: b: careful",
        "2 problems in 1 file; 1 valid app",
    ]


def test_validate_prints_json_for_machines(specs: Path) -> None:
    (specs / "a.yaml").write_text(web("a", spec="suspend: 1"))
    result = json.loads(format_validation(validate(["specs"], warn=lambda apps: {"b": ["careful"]}), "json"))
    assert result == {
        "valid": False,
        "apps": ["b"],
        "problems": [
            {
                "path": "specs/a.yaml",
                "line": 9,
                "field": "spec.suspend",
                "found": "1",
                "expected": "true or false",
                "app_name": "a",
            }
        ],
        "warnings": [{"path": "specs/sub/b.yml", "app_name": "b", "message": "careful"}],
    }


@pytest.mark.parametrize("text", ["", "# all of it\n# commented out\n", "---\n"])
def test_validate_finds_fault_with_a_spec_without_any_document(specs: Path, text: str) -> None:
    (specs / "a.yaml").write_text(text)
    for given in ("specs", "specs/a.yaml"):
        result = validate([given])
        assert [str(problem) for problem in result.problems] == [
            "specs/a.yaml: found no document; expected an app spec; to remove an app, remove its file"
        ]


def test_validate_names_the_right_ending_of_a_spec(specs: Path) -> None:
    (specs / "a.yaml").rename(specs / "a.YAML")
    for given in ("specs", "specs/a.YAML"):
        assert [str(problem) for problem in validate([given]).problems] == [
            "specs/a.YAML: found the ending .YAML; expected the name a.yaml"
        ]

"""A plain directory as a source: two looks that agree, and nothing outside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.ports import Unavailable
from reconciler.source import directory
from reconciler.source.directory import DirectorySource, Look, look
from tests.support.specs import web


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "web.yaml").write_text(web())
    directory.rested_look(tmp_path / "specs")
    return tmp_path / "specs"


def after_look(monkeypatch: pytest.MonkeyPatch, number: int, change: Callable[[], object]) -> None:
    """Let something happen right after the look of that number (from 1)."""
    looks = 0

    def counted(where: Path) -> Look:
        nonlocal looks
        looks += 1
        seen = look(where)
        if looks == number:
            change()
        return seen

    monkeypatch.setattr(directory, "look", counted)


def test_the_revision_of_a_directory_follows_the_content_only(root: Path) -> None:
    source = DirectorySource(root)
    first = source.read()
    os.utime(root / "web.yaml", (1, 1))
    assert source.read() is first
    (root / "web.yaml").write_text(web("other"))
    second = source.read()
    (root / "web.yaml").write_text(web())
    third = source.read()
    assert first.revision == third.revision != second.revision
    assert first.revision.startswith("dir-")


def test_a_rename_or_a_changed_file_beside_the_specs_is_another_revision(root: Path) -> None:
    source = DirectorySource(root)
    revisions = {source.read().revision}
    (root / "web.yaml").rename(root / "site.yaml")
    revisions.add(source.read().revision)
    (root / "app.ini").write_text("x")
    revisions.add(source.read().revision)
    assert len(revisions) == 3


@pytest.mark.parametrize("change", ["touch", "add", "remove"])
def test_files_of_a_directory_that_change_between_the_looks_are_not_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def happen() -> None:
        if change == "remove":
            (root / "web.yaml").unlink()
        else:
            (root / ("web.yaml" if change == "touch" else "new.yaml")).write_text(web("other"))

    after_look(monkeypatch, 1, happen)
    source = DirectorySource(root)
    with pytest.raises(Unavailable):
        source.read()
    assert list(source.read().apps) == {"touch": ["other"], "remove": []}.get(change, ["other", "web"])


def test_a_change_of_a_directory_after_the_second_look_is_seen_by_the_next_reading(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's size and, on a coarse clock, its times may be the same as before."""
    stat = (root / "web.yaml").stat()

    def rewrite() -> None:
        with (root / "web.yaml").open("r+") as file:
            file.write(web("xyz"))
        os.utime(root / "web.yaml", ns=(stat.st_atime_ns, stat.st_mtime_ns))

    after_look(monkeypatch, 2, rewrite)
    source = DirectorySource(root)
    assert list(source.read().apps) == ["web"]
    assert list(source.read().apps) == ["xyz"]


def test_a_file_that_was_emptied_to_be_written_anew_is_read_once_it_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "web.yaml").write_text("")
    after_look(monkeypatch, 1, lambda: (root / "web.yaml").write_text(web("other")))
    assert list(DirectorySource(root).read().apps) == ["other"]


def test_a_directory_that_never_rests_is_unavailable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(where: Path) -> Look:
        (root / "web.yaml").touch()
        return look(where)

    monkeypatch.setattr(directory, "look", touched)
    with pytest.raises(Unavailable, match="being changed; reading them once they rest"):
        DirectorySource(root).read()


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_no_regular_file_in_a_source_is_never_opened(root: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret.yaml").write_text(web("stolen"))
    strange = root / "strange.yaml"
    if kind == "link":
        strange.symlink_to(tmp_path / "secret.yaml")
    elif kind == "fifo":
        os.mkfifo(strange)
    else:
        strange.mkdir()
    desired = DirectorySource(root).read()
    assert list(desired.apps) == ["web"]
    found = {"link": ["a symbolic link"], "fifo": ["a special file"], "directory": []}[kind]
    assert [problem.found for problem in desired.problems] == found


def test_a_file_whose_name_is_not_utf_8_is_a_problem(root: Path) -> None:
    (root / os.fsdecode(b"\xff.yaml")).write_text(web("x"))
    (problem,) = DirectorySource(root).read().problems
    assert (problem.path, problem.found) == ("\\xff.yaml", "a special file")


def test_a_source_directory_that_is_missing_or_a_file_is_unavailable(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path / "file"):
        (tmp_path / "file").write_text("")
        with pytest.raises(Unavailable, match=f"{path} can't be read: .*; is the path right"):
            DirectorySource(path).read()


def test_a_directory_of_too_many_or_too_large_files_is_unavailable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "MAX_ENTRIES", 3)
    for number in range(4):
        (root / str(number)).touch()
    with pytest.raises(Unavailable, match="holds more than 3 files; give a directory of specs"):
        DirectorySource(root).read()
    monkeypatch.undo()
    monkeypatch.setattr(directory, "MAX_TOTAL_BYTES", 10)
    with pytest.raises(Unavailable, match="give a directory of specs"):
        DirectorySource(root).read()


def test_a_large_file_beside_the_specs_is_not_read(root: Path) -> None:
    with (root / "big.bin").open("wb") as file:
        file.truncate(10 * 1024**3)
    assert list(DirectorySource(root).read().apps) == ["web"]

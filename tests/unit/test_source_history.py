"""The commit that changed an app last, as far as there is any history: told of each app, and never fetched for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from reconciler.model.change import Change
from reconciler.source import history as history_module
from reconciler.source.document import texts_of
from reconciler.source.local import LocalFiles
from reconciler.source.mirror import Mirror
from reconciler.source.remote import RemoteSource
from reconciler.source.urls import checked_remote
from tests.support.repositories import Repository
from tests.support.specs import web
from tests.support.waiting import eventually

SUSPENDED = "suspend: true"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with the apps ``a`` and ``b``, each in a file of its own, by Ann and by Bob."""
    made = Repository(tmp_path / "repository")
    made.commit({"specs/a.yaml": web("a")}, "add a", author="Ann")
    made.commit({"specs/b.yaml": web("b")}, "add b", author="Bob")
    return made


def changes(repository: Repository, path: str = "specs") -> dict[str, Change | None]:
    """What is told of each app by who reads the repository for the first time."""
    return dict(LocalFiles(repository.path / path, None).read().changes)


def subjects(repository: Repository) -> dict[str, str]:
    return {name: change.subject if change else "" for name, change in changes(repository).items()}


def both(first: str = "", second: str = "", between: str = "---\n") -> str:
    return web("a", spec=first) + between + web("b", spec=second)


def test_each_app_has_the_commit_that_changed_it_with_its_author_and_time(repository: Repository) -> None:
    first = repository.git("rev-parse", "HEAD~1")
    at = float(repository.git("show", "--no-patch", "--format=%ct", first))
    assert changes(repository)["a"] == Change(first, "Ann", at, "add a")
    commit = repository.commit({"specs/a.yaml": web("a", spec=SUSPENDED)}, "suspend a\n\nfor a while", author="Cy Dee")
    repository.commit({"README": "x"}, "say more")
    after = changes(repository)
    assert after["a"]
    assert after["b"]
    assert (after["a"].commit, after["a"].author, after["a"].subject) == (commit, "Cy Dee", "suspend a")
    assert (after["b"].author, after["b"].of_file) == ("Bob", False)
    assert {"a": after["a"], "b": after["b"]} == changes(repository, "."), "from the top of the repository"


def test_a_commit_of_one_app_in_a_file_is_no_change_of_the_others_in_it(repository: Repository) -> None:
    repository.commit({"specs/a.yaml": both(), "specs/b.yaml": None}, "into one file")
    repository.commit({"specs/a.yaml": both(second=SUSPENDED)}, "suspend b")
    repository.commit({"specs/a.yaml": both(SUSPENDED, SUSPENDED)}, "suspend a")
    repository.commit({"specs/a.yaml": both(SUSPENDED, SUSPENDED, "\n\n---\n\n")}, "room between")
    assert subjects(repository) == {"a": "suspend a", "b": "suspend b"}
    repository.commit({"specs/a.yaml": web("b", spec=SUSPENDED)}, "remove a")
    assert subjects(repository) == {"b": "suspend b"}


def test_a_changed_file_of_an_app_is_a_change_of_the_app(repository: Repository) -> None:
    spec = web("a", spec="files: [{path: conf/a.ini, mountPath: /etc/a.ini}]")
    repository.commit({"specs/a.yaml": spec, "specs/conf/a.ini": "one"}, "a file for a")
    repository.commit({"specs/conf/a.ini": "two"}, "another file for a")
    repository.commit({"specs/conf/other.ini": "x"}, "nobody's file")
    assert subjects(repository) == {"a": "another file for a", "b": "add b"}


def test_a_file_that_is_only_renamed_is_followed(repository: Repository) -> None:
    repository.git("mv", "specs/a.yaml", "specs/c.yaml")
    repository.commit({}, "rename it")
    assert subjects(repository)["a"] == "add a"
    repository.git("mv", "specs/c.yaml", "specs/d.yaml")
    repository.commit({"specs/d.yaml": web("a", spec=SUSPENDED)}, "rename and change it")
    assert subjects(repository)["a"] == "rename and change it"


def test_a_change_that_was_reverted_is_the_reverting_commit(repository: Repository) -> None:
    repository.commit({"specs/a.yaml": web("a", spec=SUSPENDED)}, "suspend a")
    repository.commit({"specs/a.yaml": web("a")}, "take it back")
    assert subjects(repository)["a"] == "take it back"


def test_what_a_merge_brings_was_changed_by_the_commit_on_its_branch(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "side")
    repository.commit({"specs/a.yaml": web("a", spec=SUSPENDED)}, "suspend a")
    repository.git("switch", "--quiet", "main")
    repository.commit({"specs/b.yaml": web("b", spec=SUSPENDED)}, "suspend b")
    repository.git("merge", "--quiet", "--message=merge side", "side")
    assert subjects(repository) == {"a": "suspend a", "b": "suspend b"}


def test_what_a_merge_drops_has_changed_nothing(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "side")
    repository.commit({"specs/a.yaml": web("a", spec=SUSPENDED)}, "suspend a")
    repository.git("switch", "--quiet", "main")
    repository.commit({"README": "x"})
    repository.git("merge", "--quiet", "--strategy=ours", "--message=drop side", "side")
    assert subjects(repository)["a"] == "add a"


def test_what_a_merge_settles_itself_was_changed_by_the_merge(repository: Repository) -> None:
    repository.commit({"specs/a.yaml": both(), "specs/b.yaml": None}, "into one file")
    repository.git("switch", "--quiet", "--create", "side")
    repository.commit({"specs/a.yaml": both("suspend: true")}, "suspend a")
    repository.git("switch", "--quiet", "main")
    repository.commit({"specs/a.yaml": both("suspend: false", SUSPENDED)}, "suspend b")
    repository.git("merge", "--quiet", "--no-commit", "--strategy=ours", "side")
    repository.commit({"specs/a.yaml": both("workingDir: /srv", SUSPENDED)}, "settle it")
    assert subjects(repository) == {"a": "settle it", "b": "suspend b"}


def test_of_a_shallow_clone_only_what_it_has_is_told(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"specs/a.yaml": web("a", spec=SUSPENDED)}, "suspend a")
    for depth, told in (
        (1, {"a": "", "b": ""}),
        (2, {"a": "suspend a", "b": ""}),
        (3, {"a": "suspend a", "b": "add b"}),
    ):
        clone = tmp_path / f"clone-{depth}"
        repository.git("clone", "--quiet", f"--depth={depth}", repository.url, str(clone))
        assert subjects(Repository(clone)) == told


def test_a_history_that_becomes_longer_is_looked_through_again(repository: Repository, tmp_path: Path) -> None:
    repository.git("clone", "--quiet", "--depth=1", repository.url, str(tmp_path / "clone"))
    clone = Repository(tmp_path / "clone")
    files = LocalFiles(clone.path / "specs", None)
    assert files.read().changes == {"a": None, "b": None}
    clone.git("fetch", "--quiet", "--unshallow")
    clone.commit({"README": "x"})
    assert {name: change and change.subject for name, change in files.read().changes.items()} == {
        "a": "add a",
        "b": "add b",
    }


def test_a_directory_outside_git_has_no_history(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(web("a"))
    assert LocalFiles(tmp_path, None).read().changes == {"a": None}


def test_no_more_than_so_many_commits_are_looked_through(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_FIRST_PORTION", 1)
    for number in range(3):
        repository.commit({"n": str(number)})
    assert subjects(repository) == {"a": "add a", "b": "add b"}, "in several portions"
    monkeypatch.setattr(history_module, "MAX_COMMITS", 4)
    assert subjects(repository) == {"a": "", "b": "add b"}


def test_a_history_with_a_gap_costs_no_reading(repository: Repository) -> None:
    first = repository.git("rev-parse", "HEAD~1")
    (repository.path / ".git" / "objects" / first[:2] / first[2:]).unlink()
    assert subjects(repository) == {"a": "", "b": ""}


def test_of_a_file_whose_earlier_contents_are_not_here_only_its_own_last_change_is_known(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"specs/several.yaml": web("c") + "---\n" + web("d")}, "two more")
    repository.commit({"specs/several.yaml": web("c") + "---\n" + web("d", spec=SUSPENDED)}, "suspend d")
    repository.commit({"specs/a.yaml": web("a", spec=SUSPENDED)}, "suspend a")
    repository.git("config", "uploadpack.allowFilter", "true")
    repository.git("clone", "--quiet", "--filter=blob:none", repository.url, str(tmp_path / "partial"))
    told = changes(Repository(tmp_path / "partial"))
    assert {name: (change.subject, change.of_file) for name, change in told.items() if change} == {
        "a": ("suspend a", False),
        "b": ("add b", False),
        "c": ("suspend d", True),
        "d": ("suspend d", True),
    }


def test_authors_and_subjects_command_no_terminal_and_are_not_endless(repository: Repository) -> None:
    repository.commit({"specs/a.yaml": web("a", spec=SUSPENDED)}, "\x1b[31m" + "x" * 500, author="o\x1b]wned")
    change = changes(repository)["a"]
    assert change
    assert (change.author, change.subject[:6], len(change.subject) < 250) == ("o\\x1b]wned", "\\x1b[3", True)


def test_a_repository_of_long_names_has_a_history_like_any(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "long", algorithm="sha256")
    repository.commit({"specs/größe/a.yaml": web("a")}, "add a")
    repository.git("mv", "specs/größe/a.yaml", "specs/b.yaml")
    repository.commit({}, "rename it")
    assert subjects(repository) == {"a": "add a"}


def test_the_history_of_a_remote_follows_its_newest_commit(repository: Repository, tmp_path: Path) -> None:
    remote = checked_remote(repository.url, allow_file=True)
    source = RemoteSource(remote, None, "specs", tmp_path / "state", lambda: None, 3600)
    try:
        source.wait_for_first_reading(60)
        first = source.read()
        assert first.changes == {"a": None, "b": None}, "what is asked for comes first"
        source.refresh()
        eventually(lambda: source.read() is not first)
        assert {name: change and change.author for name, change in source.read().changes.items()} == {
            "a": "Ann",
            "b": "Bob",
        }
        assert (source.read().branch, source.read().revision) == ("main", first.revision)
    finally:
        source.close()


def test_a_mirror_of_an_earlier_version_gets_a_history(repository: Repository, tmp_path: Path) -> None:
    remote = checked_remote(repository.url, allow_file=True)
    commit = Mirror(tmp_path / "mirror.git").fetch(remote, None)
    again = Mirror(tmp_path / "mirror.git")
    assert [again.fetch(remote, None) for _ in range(2)] == [commit] * 2
    assert len(again.commits(commit, 9)) == 2
    shutil.rmtree(repository.path)
    assert len(Mirror(tmp_path / "mirror.git").commits(commit, 9)) == 2


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a: 1\n", [1]),
        ("---\na: 1\n---\nb: 1\n", [1, 3]),
        ("# x\n---\na: 1\n...\n---\nb: 1", [1, 2, 5]),
        ("a: |\n  ---\n--- # more\nb: 1", [1, 3]),
        ("a: 1\r\n---\r\nb: 1\r\n", [1, 2]),
        ("a: 1\n----\n", [1]),
    ],
)
def test_the_texts_of_a_file_begin_where_its_documents_do(text: str, lines: list[int]) -> None:
    assert list(texts_of(text.encode())) == lines


def test_the_branch_of_a_work_tree_is_the_one_that_is_checked_out(repository: Repository) -> None:
    files = LocalFiles(repository.path / "specs", None)
    assert files.read().branch == "main"
    repository.git("switch", "--quiet", "--create", "team/other")
    assert files.read().branch == "team/other"
    repository.git("switch", "--quiet", "--detach")
    assert files.read().branch == ""
    assert LocalFiles(repository.path / "specs", "main").read().branch == "main"

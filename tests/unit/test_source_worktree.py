"""A work tree as a source: the committed state, and nothing but it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.desired import Desired
from reconciler.ports import Unavailable
from reconciler.source import directory
from reconciler.source.local import LocalFiles
from tests.support.repositories import Repository
from tests.support.specs import web


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


Opened = Callable[..., LocalFiles]


def opened_at(place: Path, *, branch: str | None = None, path: str = "") -> LocalFiles:
    """What is read there, without the thread that does so beside the loop."""
    return LocalFiles(place / path, branch)


@pytest.fixture
def opened() -> Opened:
    return opened_at


def names(desired: Desired) -> list[str]:
    return list(desired.apps)


def test_the_revision_of_a_work_tree_is_the_commit(repository: Repository, opened: Opened) -> None:
    commit = repository.commit({"specs/web.yaml": web()})
    desired = opened(repository.path / "specs").read()
    assert desired.revision == commit
    assert desired.apps["web"].path == "web.yaml"


@pytest.mark.parametrize("inside", [(), ("specs",), ("specs", "prod")])
def test_any_directory_of_the_work_tree_can_be_the_source(
    repository: Repository, opened: Opened, inside: tuple[str, ...]
) -> None:
    repository.commit({"specs/prod/web.yaml": web(), "specs/prod-2/web.yaml": web("b"), "README.md": ""})
    desired = opened(repository.path.joinpath(*inside)).read()
    assert ("b" in desired.apps) == (inside != ("specs", "prod"))
    assert desired.apps["web"].path == "/".join([*("specs", "prod")[len(inside) :], "web.yaml"])


def test_the_path_of_a_source_is_a_directory_below_it(repository: Repository, opened: Opened) -> None:
    repository.commit({"specs/web.yaml": web(), "other/web.yaml": web("b")})
    assert names(opened(repository.path, path="other").read()) == ["b"]


def test_uncommitted_changes_are_ignored_and_reported(repository: Repository, opened: Opened) -> None:
    repository.commit({"specs/a.yaml": web("a"), "specs/b.yaml": web("b"), "specs/conf": "1", "other.yaml": "x"})
    source = opened(repository.path / "specs")
    clean = source.read()
    repository.write(
        {
            "specs/a.yaml": web("a", spec="suspend: true"),
            "specs/b.yaml": None,
            "specs/c.yaml": web("c"),
            "specs/conf": "2",
            "specs/notes.txt": "neither committed nor a spec",
            "other.yaml": "elsewhere",
        }
    )
    dirty = source.read()
    assert clean.notices == ()
    assert dirty.notices == ("uncommitted changes are ignored: a.yaml, b.yaml, c.yaml, conf",)
    assert dirty.apps is clean.apps
    assert source.read() is dirty
    repository.commit({})
    committed = source.read()
    assert names(committed) == ["a", "c"]
    assert committed.notices == ()


def test_staged_changes_are_uncommitted_too(repository: Repository, opened: Opened) -> None:
    repository.commit({"specs/a.yaml": web("a")})
    repository.write({"specs/a.yaml": web("b")})
    repository.git("add", "--all")
    desired = opened(repository.path / "specs").read()
    assert names(desired) == ["a"]
    assert desired.notices == ("uncommitted changes are ignored: a.yaml",)


def test_uncommitted_files_are_counted_where_they_are_many(repository: Repository, opened: Opened) -> None:
    repository.commit({"specs/a.yaml": web("a")})
    repository.write({f"specs/n{number}.yaml": "" for number in range(8)})
    (notice,) = opened(repository.path / "specs").read().notices
    assert notice.endswith("n0.yaml, n1.yaml, n2.yaml, n3.yaml, n4.yaml and 3 more")


def test_a_work_tree_too_large_to_look_through_is_read_all_the_same(
    repository: Repository, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({"specs/a.yaml": web("a"), ".gitignore": "cache"})
    repository.write({f"cache/{number}": "" for number in range(9)})
    monkeypatch.setattr(directory, "MAX_ENTRIES", 8)
    source = opened(repository.path)
    desired = source.read()
    assert names(desired) == ["a"]
    assert desired.notices[0].startswith("uncommitted changes can't be told: ")
    assert source.read() is desired


def test_a_checkout_that_is_half_done_cannot_be_seen(repository: Repository, opened: Opened) -> None:
    repository.commit({f"specs/{name}.yaml": web(name) for name in "abc"})
    source = opened(repository.path / "specs")
    repository.write({"specs/a.yaml": None, "specs/b.yaml": web("b")[:40], ".git/index.lock": ""})
    desired = source.read()
    assert names(desired) == ["a", "b", "c"]
    assert desired.problems == ()


def test_a_work_tree_is_followed_when_its_branch_is_switched(repository: Repository, opened: Opened) -> None:
    repository.commit({"specs/a.yaml": web("a")})
    source = opened(repository.path / "specs")
    assert names(source.read()) == ["a"]
    repository.git("switch", "--quiet", "--create", "next")
    repository.commit({"specs/a.yaml": web("b")})
    assert names(source.read()) == ["b"]
    repository.git("switch", "--quiet", "main")
    assert names(source.read()) == ["a"]


def test_a_branch_without_the_directory_is_unavailable_and_tells_how_to_mend_it(
    repository: Repository, opened: Opened
) -> None:
    repository.commit({"README": ""})
    repository.git("switch", "--quiet", "--create", "specs-branch")
    repository.commit({"specs/a.yaml": web("a")})
    source = opened(repository.path / "specs")
    source.read()
    repository.git("switch", "--quiet", "main")
    with pytest.raises(Unavailable, match=r"specs is not in commit [0-9a-f]{12}; commit it, check the branch"):
        source.read()
    repository.git("switch", "--quiet", "specs-branch")
    assert names(source.read()) == ["a"]


def test_a_repository_without_a_commit_is_unavailable(repository: Repository, opened: Opened) -> None:
    repository.write({"specs/a.yaml": web("a")})
    source = opened(repository.path / "specs")
    with pytest.raises(Unavailable, match="no commit yet; commit the specs"):
        source.read()
    repository.commit({})
    assert names(source.read()) == ["a"]


def test_a_directory_becomes_a_work_tree(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text(web("a"))
    source = opened(tmp_path / "specs")
    assert source.read().revision.startswith("dir-")
    repository = Repository(tmp_path / "specs")
    with pytest.raises(Unavailable):
        source.read()
    assert source_revision_after(repository, source) == repository.head


def source_revision_after(repository: Repository, source: LocalFiles) -> str:
    repository.commit({})
    return source.read().revision


def test_another_branch_than_the_one_checked_out_can_be_the_source(repository: Repository, opened: Opened) -> None:
    repository.commit({"specs/a.yaml": web("a")})
    repository.git("branch", "release/1.0")
    repository.commit({"specs/a.yaml": web("b")})
    desired = opened(repository.path / "specs", branch="release/1.0").read()
    assert names(desired) == ["a"]
    assert desired.notices == ()
    with pytest.raises(Unavailable, match="missing has no commit yet"):
        opened(repository.path / "specs", branch="missing").read()


def test_packed_refs_and_force_moved_branches_are_seen(repository: Repository, opened: Opened) -> None:
    first = repository.commit({"specs/a.yaml": web("a")})
    second = repository.commit({"specs/a.yaml": web("b")})
    source = opened(repository.path / "specs")
    repository.git("pack-refs", "--all")
    assert source.read().revision == second
    repository.git("reset", "--quiet", "--hard", first)
    assert source.read().revision == first
    repository.git("pack-refs", "--all")
    repository.git("gc", "--quiet")
    assert source.read().revision == first
    repository.git("checkout", "--quiet", "--detach", second)
    assert source.read().revision == second


def test_a_linked_work_tree_has_its_own_branch(repository: Repository, opened: Opened, tmp_path: Path) -> None:
    repository.commit({"specs/a.yaml": web("a")})
    repository.git("worktree", "add", "--quiet", "-b", "next", str(tmp_path / "linked"))
    linked = Repository.__new__(Repository)
    linked.path = tmp_path / "linked"
    source = opened(linked.path / "specs")
    assert names(source.read()) == ["a"]
    commit = linked.commit({"specs/a.yaml": web("b")})
    assert source.read().revision == commit
    assert names(opened(repository.path / "specs").read()) == ["a"]


def test_a_link_to_another_checkout_is_followed_when_it_turns(tmp_path: Path, opened: Opened) -> None:
    for name in ("one", "two"):
        Repository(tmp_path / name).commit({"web.yaml": web(name)})
    current = tmp_path / "current"
    current.symlink_to("one")
    source = opened(current)
    assert names(source.read()) == ["one"]
    current.unlink()
    current.symlink_to("two")
    assert names(source.read()) == ["two"]


def test_during_a_rebase_the_branch_of_a_work_tree_counts_as_it_was(repository: Repository, opened: Opened) -> None:
    repository.commit({"specs/a.yaml": web("base")})
    repository.git("switch", "--quiet", "--create", "next")
    before = repository.commit({"specs/a.yaml": web("next")})
    repository.git("switch", "--quiet", "main")
    repository.commit({"specs/a.yaml": web("main")})
    repository.git("switch", "--quiet", "next")
    source = opened(repository.path / "specs")
    assert source.read().revision == before
    with pytest.raises(AssertionError, match="CONFLICT|could not apply"):
        repository.git("rebase", "main")
    desired = source.read()
    assert desired.revision == before
    assert "a rebase or bisection is under way; next counts as it was before" in desired.notices
    repository.git("rebase", "--abort")
    assert source.read().notices == ()


def test_during_a_bisection_the_branch_of_a_work_tree_counts(repository: Repository, opened: Opened) -> None:
    commits = [repository.commit({"specs/a.yaml": web(f"a{number}")}) for number in range(5)]
    source = opened(repository.path / "specs")
    repository.git("pack-refs", "--all")
    repository.git("bisect", "start", commits[-1], commits[0])
    assert repository.head != commits[-1]
    assert source.read().revision == commits[-1]


def test_submodules_and_links_are_never_followed(repository: Repository, opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text(web("stolen"))
    commit = repository.commit({"specs/a.yaml": web("a")})
    (repository.path / "specs" / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (repository.path / "specs" / "dir").symlink_to(tmp_path)
    repository.git("add", "--all")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},specs/vendor")
    repository.git("commit", "--quiet", "--message=links")
    desired = opened(repository.path / "specs").read()
    assert names(desired) == ["a"]
    assert [(problem.path, problem.found) for problem in desired.problems] == [("link.yaml", "a symbolic link")]
    assert desired.notices[0] == "symbolic links and submodules are not followed: dir, vendor"


def test_strange_file_names_in_a_repository_do_no_harm(repository: Repository, opened: Opened) -> None:
    repository.commit(
        {"specs/-a.yaml": web("a"), "specs/ü b.yaml": web("b"), "specs/c\n\x1b.yaml": web("c", spec="x: 1")}
    )
    (repository.path / "specs" / os.fsdecode(b"d\xff.yaml")).write_text(web("d"))
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message=more")
    desired = opened(repository.path / "specs").read()
    assert {name: version.path for name, version in desired.apps.items()} == {
        "a": "-a.yaml",
        "b": "ü b.yaml",
        "d": "d\\xff.yaml",
    }
    assert [problem.path for problem in desired.problems] == ["c\\n\\x1b.yaml"]


def test_nothing_the_repository_configures_is_run(repository: Repository, opened: Opened, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    script = tmp_path / "trap"
    script.write_text(f"#!/bin/sh\ntouch {trap}\ncat\n")
    script.chmod(0o755)
    repository.commit({"specs/a.yaml": web("c"), ".gitattributes": "*.yaml filter=trap diff=trap\n"})
    repository.commit({"specs/a.yaml": web("a")})
    for key in ("core.fsmonitor", "filter.trap.clean", "filter.trap.smudge", "diff.trap.textconv", "core.pager"):
        repository.git("config", key, str(script))
    for key in ("diff.external", "diff.trap.command", "gpg.program"):
        repository.git("config", key, str(script))
    repository.git("config", "log.showSignature", "true")
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        shutil.copy(script, repository.path / ".git" / "hooks" / hook)
    source = opened(repository.path / "specs")
    assert source.read().changes["a"]
    (repository.path / "specs" / "a.yaml").write_text(web("b"))
    assert source.read().notices
    assert not trap.exists()


def test_the_callers_git_environment_does_not_leak_in(
    repository: Repository, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit({"specs/a.yaml": web("a")})
    other = Repository(tmp_path / "other")
    other.commit({"specs/a.yaml": web("other")})
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE", "GIT_NAMESPACE"):
        monkeypatch.setenv(name, str(other.path / ".git"))
    desired = opened(repository.path / "specs").read()
    assert (desired.revision, names(desired)) == (commit, ["a"])


def test_a_work_tree_of_another_user_is_read(repository: Repository, opened: Opened) -> None:
    commit = repository.commit({"specs/a.yaml": web("a")})
    if os.geteuid() == 0:  # only root can give files away; for others the repository simply is their own
        for path in (repository.path, repository.path / ".git"):
            os.chown(path, 65534, 65534)
    assert opened(repository.path / "specs").read().revision == commit


def test_a_content_that_is_missing_from_a_repository_costs_only_its_app(repository: Repository, opened: Opened) -> None:
    repository.commit({"specs/a.yaml": web("a"), "specs/b.yaml": web("b")})
    blob = repository.git("rev-parse", "HEAD:specs/a.yaml")
    (repository.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    desired = opened(repository.path / "specs").read()
    assert names(desired) == ["b"]
    assert [str(problem) for problem in desired.problems] == [
        "a.yaml: found a file without its content; expected a repository that has it; "
        "in a partial clone check it out, in any other run git fsck"
    ]


def test_a_damaged_repository_is_unavailable(repository: Repository, opened: Opened) -> None:
    repository.commit({"specs/a.yaml": web("a")})
    tree = repository.git("rev-parse", "HEAD:specs")
    (repository.path / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(Unavailable, match=r"git ls-tree in .*: error: Could not read"):
        opened(repository.path / "specs").read()


@pytest.fixture
def partial(repository: Repository, tmp_path: Path) -> Repository:
    """A blobless clone whose checkout is sparse: nothing of ``elsewhere`` was ever fetched."""
    repository.commit({"specs/a.yaml": web("a"), "elsewhere/b.yaml": web("b"), "elsewhere/c.txt": "c"})
    repository.git("config", "uploadpack.allowFilter", "true")
    clone = str(tmp_path / "partial")
    repository.git("clone", "--quiet", "--filter=blob:none", "--sparse", repository.url, clone)
    repository.git("-C", clone, "sparse-checkout", "set", "specs")
    return Repository(tmp_path / "partial")


def test_a_sparse_checkout_is_no_change_of_what_it_leaves_out(repository: Repository, opened: Opened) -> None:
    commit = repository.commit({"specs/a.yaml": web("a"), "elsewhere/b.yaml": web("b")})
    repository.git("sparse-checkout", "set", "specs")
    source = opened(repository.path)
    desired = source.read()
    assert (desired.revision, names(desired), desired.notices) == (commit, ["b", "a"], ())
    (repository.path / "specs" / "a.yaml").unlink()
    assert source.read().notices == ("uncommitted changes are ignored: specs/a.yaml",)


def test_a_partial_clone_is_read_where_its_contents_are(partial: Repository, opened: Opened) -> None:
    desired = opened(partial.path / "specs").read()
    assert (names(desired), desired.problems, desired.notices) == (["a"], (), ())


def test_what_a_partial_clone_lacks_is_a_problem_and_never_fetched(partial: Repository, opened: Opened) -> None:
    packs = sorted((partial.path / ".git" / "objects").rglob("*"))
    desired = opened(partial.path).read()
    assert (names(desired), desired.notices) == (["a"], ())
    (problem,) = desired.problems
    assert (problem.path, problem.found) == ("elsewhere/b.yaml", "a file without its content")
    assert sorted((partial.path / ".git" / "objects").rglob("*")) == packs


def test_a_repository_of_long_names_is_a_work_tree_like_any(tmp_path: Path, opened: Opened) -> None:
    repository = Repository(tmp_path / "long", algorithm="sha256")
    commit = repository.commit({"specs/a.yaml": web("a")})
    source = opened(repository.path / "specs")
    desired = source.read()
    assert len(commit) == 64
    assert (desired.revision, names(desired), desired.notices) == (commit, ["a"], ())
    repository.write({"specs/a.yaml": web("b")})
    assert source.read().notices == ("uncommitted changes are ignored: a.yaml",)


def test_a_branch_may_have_a_name_beyond_ascii(repository: Repository, opened: Opened) -> None:
    repository.commit({"specs/a.yaml": web("a")})
    repository.git("branch", "größe/日本")
    assert names(opened(repository.path / "specs", branch="größe/日本").read()) == ["a"]


def test_a_git_directory_that_is_none_is_unavailable_rather_than_skipped(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    with pytest.raises(Unavailable, match="is no git repository; repair it"):
        opened(tmp_path / "specs").read()


@pytest.fixture
def bare(repository: Repository, tmp_path: Path) -> Path:
    """A bare clone of a repository with two branches."""
    repository.commit({"specs/a.yaml": web("a")})
    repository.git("branch", "staging")
    repository.commit({"specs/b.yaml": web("b"), "top.yaml": web("top")})
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    return tmp_path / "bare.git"


def test_a_bare_repository_is_read_as_its_branch_has_it(repository: Repository, opened: Opened, bare: Path) -> None:
    assert names(opened(bare).read()) == ["a", "b", "top"]
    assert names(opened(bare, path="specs").read()) == ["a", "b"]
    assert names(opened(bare, branch="staging", path="specs").read()) == ["a"]
    source = opened(bare, path="specs")
    assert source.read() is source.read()
    assert source.read().notices == ()
    commit = repository.commit({"specs/c.yaml": web("c")})
    repository.git("push", "--quiet", str(bare), "main")
    assert (source.read().revision, names(source.read())) == (commit, ["a", "b", "c"])
    subprocess.run(["git", "-C", str(bare), "symbolic-ref", "HEAD", "refs/heads/staging"], check=True)
    assert names(source.read()) == ["a"]


def test_a_bare_repository_inside_a_work_tree_is_itself(repository: Repository, opened: Opened, bare: Path) -> None:
    inside = repository.path / "bare.git"
    bare.rename(inside)
    repository.commit({"specs/only-outside.yaml": web("outside")})
    assert names(opened(inside, path="specs").read()) == ["a", "b"]


def test_what_a_bare_repository_lacks_is_told(opened: Opened, bare: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nothing-here is not in commit .* check the branch and the path"):
        opened(bare, path="nothing-here").read()
    with pytest.raises(Unavailable, match="bare.git: typo has no commit yet"):
        opened(bare, branch="typo").read()
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "empty.git")], check=True)
    with pytest.raises(Unavailable, match="has no commit yet"):
        opened(tmp_path / "empty.git").read()


def test_a_branch_outside_git_is_an_error(tmp_path: Path, opened: Opened) -> None:
    with pytest.raises(Unavailable, match="is in no git work tree, so it has no branch main"):
        opened(tmp_path, branch="main").read()


def test_without_git_it_says_what_to_install(repository: Repository) -> None:
    repository.commit({"web.yaml": web()})
    script = """
import sys
from pathlib import Path
from reconciler.source import open_source
open_source(sys.argv[1], state_dir=Path("state"), wake=print).read()
"""
    argv = [sys.executable, "-c", script, str(repository.path)]
    done = subprocess.run(argv, env={"PATH": ""}, capture_output=True, text=True, timeout=60)
    assert "Unavailable: git can't be run here" in done.stderr


def test_a_branch_that_was_rewritten_is_told_with_what_it_lacks_now(repository: Repository, opened: Opened) -> None:
    first = repository.commit({"web.yaml": web()})
    source = opened(repository.path)
    assert source.read().rewritten == ""
    second = repository.commit({"web.yaml": web("b")})
    assert source.read().rewritten == ""
    repository.git("commit", "--amend", "--quiet", "--message=said otherwise")
    amended = repository.head
    told = source.read()
    assert told.rewritten == (
        f"branch main was rewritten: {second[:12]}, read before, is not in the history of {amended[:12]}; "
        f"both come from {first[:12]}"
    )
    assert source.read() is told
    repository.git("reset", "--hard", "--quiet", first)
    assert amended[:12] in source.read().rewritten
    repository.commit({"web.yaml": web("c")})
    assert source.read().rewritten == ""


def test_another_branch_that_is_checked_out_is_not_told_as_rewritten(repository: Repository, opened: Opened) -> None:
    repository.commit({"web.yaml": web()})
    repository.git("branch", "other")
    repository.commit({"web.yaml": web("b")})
    source = opened(repository.path)
    source.read()
    repository.git("checkout", "--quiet", "other")
    assert source.read().rewritten == ""

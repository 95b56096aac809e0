"""A snapshot's files to what they ask for: apps, problems, and nothing else whatever the files hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import hypothesis.strategies as st
from hypothesis import given, settings

from reconciler.model.desired import Desired
from reconciler.source.snapshot import MAX_CONTENT_BYTES, Entry, Kind, Snapshot, blob_name
from reconciler.source.specs import Specs
from tests.support.specs import web, worker


class Tree:
    """A snapshot made of contents, which counts what is read."""

    def __init__(self, files: Mapping[str, str | bytes], kinds: Mapping[str, Kind] | None = None) -> None:
        self.files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        self.kinds = kinds or {}
        self.read: list[str] = []

    def snapshot(self, revision: str = "r1") -> Snapshot:
        entries = {
            path: Entry(path, self.kinds.get(path, "file"), blob_name(content), len(content))
            for path, content in self.files.items()
        }
        return Snapshot(revision, entries, self._contents)

    def _contents(self, entries: Sequence[Entry]) -> Mapping[str, bytes]:
        self.read += [entry.path for entry in entries]
        return {entry.path: self.files[entry.path] for entry in entries}


def desired(files: Mapping[str, str | bytes], kinds: Mapping[str, Kind] | None = None) -> Desired:
    return Specs().desired(Tree(files, kinds).snapshot())


def test_specs_are_yaml_files_outside_hidden_directories() -> None:
    files = {
        "web.yaml": web("a"),
        "deep/er/web.yml": web("b"),
        ".git/web.yaml": web("c"),
        "deep/.hidden/web.yaml": web("d"),
        ".web.yaml": web("e"),
        "README.md": "#",
        "web.yaml.orig": web("f"),
    }
    assert sorted(desired(files).apps) == ["a", "b"]


def test_a_version_knows_its_revision_path_and_hash() -> None:
    version = desired({"apps/web.yaml": web()}).apps["web"]
    assert (version.revision, version.path, version.name) == ("r1", "apps/web.yaml", "web")
    assert version.spec_hash


def test_one_broken_file_costs_only_its_own_app() -> None:
    result = desired(
        {"a.yaml": web("a"), "b.yaml": web("b", spec="oops: 1"), "c.yaml": "metadata: [", "d.yaml": b"\xff"}
    )
    assert list(result.apps) == ["a"]
    assert [(problem.path, problem.app_name) for problem in result.problems] == [
        ("b.yaml", "b"),
        ("c.yaml", None),
        ("d.yaml", None),
    ]


def test_conflicting_apps_are_left_out_and_the_others_are_not() -> None:
    result = desired({"a.yaml": web("a"), "b.yaml": web("b") + "---\n" + web("a")})
    assert list(result.apps) == ["b"]
    assert [(problem.path, problem.app_name) for problem in result.problems] == [("a.yaml", "a"), ("b.yaml", "a")]


def test_a_link_in_the_place_of_a_spec_is_a_problem_not_a_deletion() -> None:
    result = desired({"a.yaml": "elsewhere", "b.yaml": "x"}, {"a.yaml": "symbolic link", "b.yaml": "special file"})
    assert [(p.path, p.line, p.found, p.expected) for p in result.problems] == [
        ("a.yaml", None, "a symbolic link", "a regular file"),
        ("b.yaml", None, "a special file", "a regular file"),
    ]


def test_links_and_submodules_that_are_not_followed_are_noticed() -> None:
    result = desired({"vendor": "", "link": "", ".x": ""}, {"vendor": "submodule", "link": "symbolic link"})
    assert result.notices == ("symbolic links and submodules are not followed: link, vendor",)
    assert result.problems == ()


def test_a_spec_that_is_too_large_is_not_even_read() -> None:
    tree = Tree({"a.yaml": b"#" * (256 * 1024 + 1)})
    (problem,) = Specs().desired(tree.snapshot()).problems
    assert (problem.found, problem.expected) == ("262145 bytes", "a file of at most 256 KiB")
    assert tree.read == []


# ---- files


FILES = "files: [{path: conf/app.ini, mountPath: /etc/app.ini}]"


def test_files_of_a_spec_come_from_the_same_snapshot_relative_to_it() -> None:
    result = desired({"apps/web.yaml": web(spec=FILES), "apps/conf/app.ini": "hello", "conf/app.ini": "other"})
    assert result.problems == ()
    assert result.apps["web"].files == {"conf/app.ini": b"hello"}


def test_a_changed_file_of_a_spec_is_a_changed_spec() -> None:
    specs = Specs()
    before = specs.desired(Tree({"web.yaml": web(spec=FILES), "conf/app.ini": "1"}).snapshot("r1")).apps["web"]
    after = specs.desired(Tree({"web.yaml": web(spec=FILES), "conf/app.ini": "2"}).snapshot("r2")).apps["web"]
    again = specs.desired(Tree({"web.yaml": web(spec=FILES), "conf/app.ini": "2"}).snapshot("r3")).apps["web"]
    assert before.spec_hash != after.spec_hash == again.spec_hash
    assert (after.revision, again.revision) == ("r2", "r3")


def test_a_file_of_a_spec_that_is_not_there_is_a_problem_at_its_line() -> None:
    (problem,) = desired({"apps/web.yaml": web(spec=FILES)}).problems
    assert (problem.path, problem.line, problem.field) == ("apps/web.yaml", 9, "spec.files[0].path")
    assert (problem.found, problem.expected) == ("nothing there", "a file of this revision: apps/conf/app.ini")


def test_files_of_a_spec_are_bounded_and_never_links() -> None:
    big = {"web.yaml": web(spec=FILES), "conf/app.ini": b"x" * (MAX_CONTENT_BYTES + 1)}
    assert [problem.found for problem in desired(big).problems] == [f"{MAX_CONTENT_BYTES + 1} bytes"]
    link = {"web.yaml": web(spec=FILES), "conf/app.ini": "/etc/passwd"}
    result = desired(link, {"conf/app.ini": "symbolic link"})
    assert [problem.found for problem in result.problems] == ["a symbolic link"]
    assert result.apps == {}


# ---- the cache


def test_only_specs_whose_content_is_new_are_read_again() -> None:
    specs, first = Specs(), Tree({"a.yaml": web("a"), "b.yaml": web("b")})
    before = specs.desired(first.snapshot("r1"))
    second = Tree({"a.yaml": web("a"), "b.yaml": web("b", spec="suspend: true"), "c.yaml": web("c")})
    after = specs.desired(second.snapshot("r2"))
    assert second.read == ["b.yaml", "c.yaml"]
    assert after.apps["a"].app is before.apps["a"].app
    assert after.apps["b"].app.spec.suspend
    assert {version.revision for version in after.apps.values()} == {"r2"}


def test_a_spec_that_was_moved_keeps_its_hash_and_gets_its_new_path() -> None:
    specs = Specs()
    before = specs.desired(Tree({"a.yaml": web()}).snapshot("r1")).apps["web"]
    after = specs.desired(Tree({"b.yaml": web()}).snapshot("r2")).apps["web"]
    assert (after.path, after.spec_hash) == ("b.yaml", before.spec_hash)


# ---- whatever the files hold

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["web", "http"])
)
_KEYS = st.text(max_size=6) | st.sampled_from(
    ["apiVersion", "kind", "metadata", "name", "spec", "image", "ports", "environment", "scaling", "labels", "routes"]
    + ["source", "value", "strategy", "maxSurge", "resources", "cpu", "healthCheck", "files", "dependsOn", "replicas"]
)
_JSON = st.recursive(_SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(_KEYS, v, max_size=4), max_leaves=12)


def _checked(content: bytes) -> None:
    result = desired({"a.yaml": content, "b.yaml": web("b")})
    assert "b" in result.apps or any(problem.app_name == "b" for problem in result.problems)
    for problem in result.problems:
        assert problem.path in ("a.yaml", "b.yaml")
        assert problem.line is None or 1 <= problem.line <= content.count(b"\n") + 8
        assert problem.found
        assert problem.expected
        assert "\n" not in str(problem)
        str(problem).encode()


@given(st.binary(max_size=300))
def test_arbitrary_bytes_as_a_spec_give_problems_never_errors(content: bytes) -> None:
    _checked(content)


@given(st.text(alphabet="ab:-?*&!|>%@`'\"{}[],#<~ \n\t01.", max_size=200))
def test_arbitrary_yaml_like_text_as_a_spec_gives_problems_never_errors(text: str) -> None:
    _checked(text.encode())


@given(_JSON)
def test_arbitrary_values_in_a_spec_give_problems_never_errors(value: object) -> None:
    _checked(json.dumps(value, allow_nan=True).encode())


@settings(max_examples=50)
@given(st.data())
def test_a_spec_cut_and_mangled_anywhere_gives_problems_never_errors(data: st.DataObject) -> None:
    text = web("b", spec="args: ['x', \"y\"]\nstrategy: {maxSurge: 50%}\n", top="scaling:\n  minReplicas: 2\n")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    _checked((text[:start] + data.draw(st.text(max_size=5)) + text[end:]).encode("utf-8", "surrogatepass"))


@given(st.permutations(["a", "b", "c", "d", "e"]))
def test_the_order_of_spec_files_does_not_matter(order: Sequence[str]) -> None:
    texts = {
        "a": web("a", spec="dependsOn: [e]"),
        "b": web("b", spec="routes: [{path: /x}]"),
        "c": web("c", spec="routes: [{path: /x}]\ndependsOn: [nowhere]"),
        "d": web("d", spec="oops: 1"),
        "e": worker("e", spec="dependsOn: [a]"),
    }
    result = desired({f"{name}.yaml": texts[name] for name in order})
    assert result == desired({f"{name}.yaml": texts[name] for name in sorted(texts)})
    assert list(result.apps) == sorted(result.apps)

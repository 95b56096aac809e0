"""What every kind of source promises the loop, held to on a directory, a work tree, a bare repository and a remote."""

from __future__ import annotations

import itertools
import threading
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.model.desired import Desired
from reconciler.ports import Unavailable
from reconciler.source.snapshot import Snapshot
from reconciler.source.specs import Specs
from tests.support.sources import BareOrigin, DirectoryOrigin, Origin, RemoteOrigin, WorkTreeOrigin, answer
from tests.support.specs import web
from tests.support.waiting import eventually


@pytest.fixture(params=[DirectoryOrigin, WorkTreeOrigin, BareOrigin, RemoteOrigin])
def origin(request: pytest.FixtureRequest, tmp_path: Path) -> Origin:
    made: Origin = request.param(tmp_path)
    return made


def test_the_specs_of_a_source_are_read_with_its_revision_and_their_paths(origin: Origin) -> None:
    origin.put({"web.yaml": web("a"), "more/web.yml": web("b"), "notes.txt": "x"})
    with closing(origin.open()) as source:
        desired = source.read()
    assert {name: version.path for name, version in desired.apps.items()} == {"a": "web.yaml", "b": "more/web.yml"}
    assert desired.revision
    assert {version.revision for version in desired.apps.values()} == {desired.revision}
    assert (desired.problems, desired.notices) == ((), ())


def test_a_reading_that_takes_long_holds_up_nobody(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.put({"web.yaml": web("a")})
    gate, began = threading.Event(), threading.Event()
    desired_of = Specs.desired

    def slowly(specs: Specs, snapshot: Snapshot) -> Desired:
        began.set()
        assert gate.wait(30)
        return desired_of(specs, snapshot)

    with closing(origin.open()) as source:
        before = source.read()
        monkeypatch.setattr(Specs, "desired", slowly)
        origin.change({"web.yaml": web("b")})
        source.refresh()
        assert began.wait(30)
        assert source.read().revision == before.revision, "the last one that has finished"
        gate.set()
        # Where it began while the file was being written, it is repeated.
        eventually(lambda: list(getattr(answer(source.read), "apps", ())) == ["b"])


def test_an_unchanged_source_gives_the_very_same_object(origin: Origin) -> None:
    origin.put({"web.yaml": web()})
    with closing(origin.open()) as source:
        assert source.read() is source.read()


def test_a_change_of_a_source_is_another_revision(origin: Origin) -> None:
    origin.put({"a.yaml": web("a"), "b.yaml": web("b")})
    with closing(origin.open()) as source:
        before = source.read()
        origin.put({"a.yaml": web("a", spec="suspend: true"), "b.yaml": None, "c.yaml": web("c")})
        # A directory outside git may be read between two of its files.
        eventually(lambda: list(source.read().apps) == ["a", "c"])
        after = source.read()
    assert before.revision != after.revision
    assert after.apps["a"].app.spec.suspend


def test_a_broken_spec_is_a_problem_with_its_path_and_costs_nobody_else(origin: Origin) -> None:
    origin.put({"good.yaml": web("good"), "sub/bad.yaml": web("bad", spec="oops: 1")})
    with closing(origin.open()) as source:
        desired = source.read()
    assert list(desired.apps) == ["good"]
    assert [(p.path, p.line, p.app_name) for p in desired.problems] == [("sub/bad.yaml", 9, "bad")]


@pytest.mark.parametrize("emptied", [{"a.yaml": "# later\n"}, {"a.yaml": None, "a.YAML": web("a")}])
def test_a_file_that_asks_for_no_app_is_told_with_the_app_it_held(
    origin: Origin, emptied: dict[str, str | None]
) -> None:
    origin.put({"a.yaml": web("a"), "b.yaml": web("b")})
    with closing(origin.open()) as source:
        source.read()
        origin.put(emptied)
        desired = source.read()
    assert (list(desired.apps), desired.problems) == (["b"], ())
    assert [(blank.spec_path, blank.held) for blank in desired.blanks] == [("a.yaml", {"a"})]


def test_files_of_a_spec_are_of_the_same_revision(origin: Origin) -> None:
    spec = web(spec="files: [{path: conf/app.ini, mountPath: /etc/app.ini}]")
    origin.put({"sub/web.yaml": spec, "sub/conf/app.ini": "one"})
    with closing(origin.open()) as source:
        before = source.read().apps["web"]
        origin.put({"sub/conf/app.ini": "two"})
        after = source.read().apps["web"]
    assert (before.files, after.files) == ({"conf/app.ini": b"one"}, {"conf/app.ini": b"two"})
    assert before.spec_hash != after.spec_hash


def test_hidden_directories_are_no_part_of_a_source(origin: Origin) -> None:
    spec = web(spec="files: [{path: .secrets/key, mountPath: /etc/key}]")
    origin.put({"web.yaml": spec, ".secrets/key": "k", ".hidden/other.yaml": web("other"), ".other.yaml": web("more")})
    with closing(origin.open()) as source:
        desired = source.read()
    assert dict(desired.apps) == {}
    assert [problem.found for problem in desired.problems] == ["nothing there"]


def test_a_source_without_any_spec_is_an_answer(origin: Origin) -> None:
    origin.put({"README": "none yet"})
    with closing(origin.open()) as source:
        desired = source.read()
    assert (dict(desired.apps), desired.problems) == ({}, ())


def test_a_source_that_goes_away_is_unavailable_never_empty(origin: Origin) -> None:
    origin.put({"web.yaml": web()})
    with closing(origin.open()) as source:
        source.read()
        origin.take_away()
        with pytest.raises(Unavailable, match="specs"):
            source.read()


def test_a_source_that_comes_back_is_read_again(origin: Origin, tmp_path: Path) -> None:
    origin.put({"web.yaml": web()})
    with closing(origin.open()) as source:
        origin.take_away()
        with pytest.raises(Unavailable):
            source.read()
        (tmp_path / "specs").mkdir(exist_ok=True)
        origin.change({"web.yaml": web("again")})
        source.refresh()
        eventually(lambda: "again" in getattr(answer(source.read), "apps", ()))


def test_a_change_of_a_source_wakes_the_loop(origin: Origin) -> None:
    origin.put({"web.yaml": web()})
    names = (f"web-{number}" for number in itertools.count())
    with closing(origin.open()) as source:
        source.read()
        before = origin.wakes.count

        def woken() -> bool:
            """Changed again and again, since the first changes may come before the watch has begun."""
            origin.change({"web.yaml": web(next(names))})
            source.refresh()
            return origin.wakes.count > before

        eventually(woken, every_seconds=0.1)


def test_closing_a_source_twice_is_harmless(origin: Origin) -> None:
    source = origin.open()
    source.close()
    source.close()

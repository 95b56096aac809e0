"""Which host paths may be mounted, by what settings allow and by where they lead."""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath

import pytest

from reconciler.loop import Waker
from reconciler.model.reasons import Reason
from reconciler.ports import TryLater, Unavailable
from reconciler.runtime.host_paths import AllowedPath, HostPaths
from reconciler.settings import HostPath, Settings
from reconciler.wiring import allowed_host_paths, open_world

NOWHERE = PurePosixPath("/no/such")
SETTINGS = Settings(
    allow_host_paths=(f"{NOWHERE}/trees",),
    allow_host_path=(HostPath(path=f"{NOWHERE}/exact/"), HostPath(path=f"{NOWHERE}/books", read_only=True)),
)


@pytest.mark.parametrize(
    ("path", "read_only"),
    [("trees", False), ("trees/oak/twig", False), ("exact", False), ("exact", True), ("books", True)],
)
def test_a_host_path_may_be_mounted_where_settings_allow_it(path: str, read_only: bool) -> None:
    HostPaths(allowed_host_paths(SETTINGS)).check(str(NOWHERE / path), read_only=read_only)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "exact/inside",
            r"not among those allowed here \(/no/such/exact, /no/such/books read-only, /no/such/trees/…\)",
        ),
        ("", "not among those allowed"),
        ("treesome", "not among those allowed"),
        ("trees/../books", "not among those allowed"),
        ("books", "allowed here to be read only: give the volume readOnly: true"),
    ],
)
def test_a_host_path_may_not_be_mounted_where_no_setting_allows_it(path: str, message: str) -> None:
    with pytest.raises(TryLater, match=message) as error:
        HostPaths(allowed_host_paths(SETTINGS)).check(str(NOWHERE / path), read_only=False)
    assert error.value.reason is Reason.HOST_PATH_REFUSED


def test_each_start_tells_that_whole_directories_are_allowed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(state_dir=tmp_path / "file", allow_host_paths=("/srv/a", "/srv/b"))
    with caplog.at_level(logging.WARNING, "orchestry"), pytest.raises(Unavailable), open_world(settings, Waker()):
        pass
    assert caplog.messages[0].startswith("allow_host_paths lets volumes name all that is below /srv/a, /srv/b")
    assert "[[allow_host_path]]" in caplog.messages[0]


def trees(*paths: Path) -> HostPaths:
    return HostPaths([AllowedPath(PurePosixPath(path), subpaths=True) for path in paths])


def test_of_allowed_paths_one_within_another_only_the_outermost_may_be_a_link(tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    outer.mkdir()
    inner.symlink_to("/")
    trees(inner).check(str(inner), read_only=False)
    with pytest.raises(TryLater, match=f"{inner} is a symbolic link to /, and none is followed below {outer}; name"):
        trees(inner, outer).check(str(inner), read_only=False)


def test_links_above_an_allowed_path_are_the_administrators(tmp_path: Path) -> None:
    (tmp_path / "real" / "allowed" / "x").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    trees(tmp_path / "link" / "allowed").check(f"{tmp_path}/link/allowed/x", read_only=False)


@pytest.mark.parametrize("path", ["absent", "absent/x", "file/x", "file"])
def test_what_the_controller_does_not_see_is_left_to_the_engine(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    trees(tmp_path).check(str(tmp_path / path), read_only=False)


def test_a_host_path_that_can_not_be_followed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(TryLater, match=f"can't be followed: {tmp_path}/loop: Too many levels of symbolic links"):
        trees(tmp_path / "loop").check(f"{tmp_path}/loop/x", read_only=False)

"""A git URL as a source: what is fetched, what is refused, and what a failed fetch leaves."""

from __future__ import annotations

import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.ports import Source, Unavailable
from reconciler.source import mirror as mirror_module
from reconciler.source import open_source
from reconciler.source.mirror import MIRROR_REF, Mirror
from reconciler.source.remote import RemoteSource
from reconciler.source.transport import RemoteUnreachable
from reconciler.source.urls import Remote, checked_branch, checked_directory, checked_remote, is_url
from tests.support import githttps
from tests.support.repositories import Repository
from tests.support.sources import Wakes, answer
from tests.support.specs import web
from tests.support.waiting import eventually

Opened = Callable[..., Source]


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "origin")
    repository.commit({"specs/web.yaml": web()})
    return repository


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
def opened(tmp_path: Path, wakes: Wakes) -> Iterator[Opened]:
    sources: list[Source] = []

    def open_at(url: str, **options: str) -> Source:
        sources.append(
            open_source(
                url,
                **options,
                state_dir=tmp_path / "state",
                wake=wakes,
                fetch_interval_seconds=3600,
                allow_file_urls=True,
            )
        )
        return sources[-1]

    yield open_at
    for source in sources:
        source.close()


def refreshed(source: Source) -> object:
    """What the source says once a fetch has changed it."""
    before = answer(source.read)
    source.refresh()
    return eventually(lambda: (after := answer(source.read)) != before and after)


def test_the_first_fetch_of_a_remote_is_there_when_opening_returns(origin: Repository, opened: Opened) -> None:
    desired = opened(origin.url, path="specs").read()
    assert (desired.revision, list(desired.apps)) == (origin.head, ["web"])


def test_new_commits_are_fetched_on_refresh_and_wake_the_loop(origin: Repository, opened: Opened, wakes: Wakes) -> None:
    source = opened(origin.url, path="specs")
    woken = wakes.count
    commit = origin.commit({"specs/web.yaml": web("other")})
    assert getattr(refreshed(source), "revision", None) == commit
    assert wakes.count > woken


def test_new_commits_are_fetched_on_the_interval(origin: Repository, tmp_path: Path, wakes: Wakes) -> None:
    source = open_source(
        origin.url,
        state_dir=tmp_path / "state",
        wake=wakes,
        fetch_interval_seconds=0.05,
        allow_file_urls=True,
    )
    commit = origin.commit({"specs/web.yaml": web("other")})
    eventually(lambda: source.read().revision == commit)
    source.close()


def test_a_named_branch_of_a_remote_is_followed_through_force_pushes(origin: Repository, opened: Opened) -> None:
    origin.git("branch", "release")
    source = opened(origin.url, branch="release")
    first = source.read().revision
    origin.git("switch", "--quiet", "--orphan", "rewritten")
    rewritten = origin.commit({"specs/web.yaml": web("rewritten")})
    origin.git("branch", "--force", "release", rewritten)
    desired = refreshed(source)
    assert first != rewritten == getattr(desired, "revision", None)
    assert list(getattr(desired, "apps", {})) == ["rewritten"]


def test_a_failed_fetch_keeps_the_last_state_and_says_so(origin: Repository, opened: Opened, tmp_path: Path) -> None:
    source = opened(origin.url, path="specs")
    before = source.read()
    origin.path.rename(tmp_path / "away")
    kept = refreshed(source)
    assert (kept.revision, kept.apps) == (before.revision, before.apps)  # type: ignore[attr-defined]
    (notice,) = kept.notices  # type: ignore[attr-defined]
    assert notice.startswith(f"the last fetch failed, {before.revision[:12]} still counts: {origin.url}: ")
    assert kept.unfetched and notice.endswith(kept.unfetched)  # type: ignore[attr-defined]  # noqa: PT018
    assert source.read() is source.read()
    (tmp_path / "away").rename(origin.path)
    assert refreshed(source) == before


def test_before_the_first_fetch_a_remote_is_unavailable(opened: Opened, tmp_path: Path) -> None:
    source = opened(f"file://{tmp_path}/missing")
    with pytest.raises(Unavailable, match="missing: .*is the path right"):
        source.read()
    Repository(tmp_path / "missing").commit({"web.yaml": web()})
    assert list(getattr(refreshed(source), "apps", {})) == ["web"]


def test_a_missing_branch_of_a_remote_is_unavailable(origin: Repository, opened: Opened) -> None:
    with pytest.raises(Unavailable, match="branch gone doesn't exist; push it, or name another with --branch"):
        opened(origin.url, branch="gone").read()


def test_an_empty_remote_is_unavailable(tmp_path: Path, opened: Opened) -> None:
    empty = Repository(tmp_path / "empty")
    with pytest.raises(Unavailable, match="the repository has no commit yet; push it"):
        opened(empty.url).read()


def test_a_path_that_a_remote_lacks_is_unavailable(origin: Repository, opened: Opened) -> None:
    with pytest.raises(Unavailable, match=r"nowhere is not in commit [0-9a-f]{12} of .*; check --path"):
        opened(origin.url, path="nowhere").read()


def test_two_branches_of_one_remote_have_mirrors_of_their_own(origin: Repository, opened: Opened) -> None:
    origin.git("branch", "old")
    origin.commit({"specs/web.yaml": web("new")})
    assert [list(opened(origin.url, branch=name).read().apps) for name in ("old", "main")] == [["web"], ["new"]]


def test_what_a_killed_git_leaves_in_a_mirror_is_in_nobodys_way(origin: Repository, tmp_path: Path) -> None:
    place = tmp_path / "mirror.git"
    remote = checked_remote(origin.url, allow_file=True)
    Mirror(place).fetch(remote, None)
    left = [place / name for name in ("shallow.lock", f"{MIRROR_REF}.lock", "objects/pack/tmp_pack_x")]
    for path in left:
        path.touch()
    commit = origin.commit({"specs/web.yaml": web("other")})
    assert Mirror(place).fetch(remote, None) == commit
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize("damaged", ["HEAD", "pack"])
def test_a_damaged_mirror_is_made_anew(origin: Repository, tmp_path: Path, opened: Opened, damaged: str) -> None:
    opened(origin.url).close()
    (mirror,) = (tmp_path / "state" / "source").iterdir()
    for path in [mirror / "HEAD"] if damaged == "HEAD" else (mirror / "objects" / "pack").iterdir():
        path.chmod(0o600)
        path.write_bytes(b"")
    source = opened(origin.url)
    source.refresh()
    assert list(eventually(lambda: getattr(answer(source.read), "apps", {}))) == ["web"]


@pytest.fixture
def silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A remote by ssh that never says anything; the pid of what calls it is in ``called``."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/called\nexec sleep 60\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    return Remote("ssh://host.invalid/x", "ssh")


def is_running(pid: str) -> bool:
    try:
        return "sleep" in Path("/proc", pid, "cmdline").read_text()
    except OSError:
        return False


def test_a_fetch_that_falls_silent_is_ended_with_all_it_has_started(silent: Remote, tmp_path: Path) -> None:
    with pytest.raises(RemoteUnreachable, match=r"ssh://host\.invalid/x: nothing came for 0.4 s, after 0 KiB"):
        Mirror(tmp_path / "mirror.git", silence_seconds=0.4).fetch(silent, None)
    eventually(lambda: not is_running((tmp_path / "called").read_text().strip()))


def test_closing_a_remote_ends_the_fetch_under_way(silent: Remote, tmp_path: Path, wakes: Wakes) -> None:
    source = RemoteSource(silent, None, "", tmp_path, wakes, 3600)
    pid = eventually(lambda: (tmp_path / "called").exists() and (tmp_path / "called").read_text().strip())
    eventually(lambda: is_running(pid))
    source.close()
    assert not any(thread.name == "source-fetch" for thread in threading.enumerate())
    eventually(lambda: not is_running(pid))


def test_reading_a_remote_never_waits_for_the_network(silent: Remote, tmp_path: Path, wakes: Wakes) -> None:
    source = RemoteSource(silent, None, "", tmp_path, wakes, 3600, silence_seconds=0.5)
    with pytest.raises(Unavailable, match=r"ssh://host\.invalid/x is being fetched for the first time"):
        source.read()
    source.wait_for_first_reading(20)
    with pytest.raises(Unavailable, match=r"nothing came for 0\.5 s"):
        source.read()
    source.close()


def test_a_fetch_by_ssh_never_asks(origin: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = tmp_path / "ssh"
    spy.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\necho "Permission denied (publickey)." >&2\nexit 255\n'
    )
    spy.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(spy))
    with pytest.raises(RemoteUnreachable, match="give the controller's user an ssh key that the server knows"):
        Mirror(tmp_path / "mirror.git").fetch(Remote("git@host.invalid:team/specs.git", "ssh"), "main")
    arguments = (tmp_path / "arguments").read_text()
    assert "-oBatchMode=yes" in arguments
    assert "team/specs.git" in arguments


def test_a_fetch_by_ssh_brings_what_the_server_has(
    origin: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "ssh"
    here.write_text('#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n')
    here.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(here))
    remote = checked_remote(f"git@host.invalid:{origin.path}", allow_file=False)
    assert Mirror(tmp_path / "mirror.git").fetch(remote, "main") == origin.head


def test_a_fetch_by_https_takes_the_credentials_of_the_url(
    origin: Repository, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with githttps.served(origin, tmp_path) as (port, certificate):
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        secret = githttps.PASSWORD.replace("@", "%40")
        desired = opened(f"https://{githttps.USER}:{secret}@localhost:{port}/specs.git", path="specs").read()
        assert (desired.revision, list(desired.apps)) == (origin.head, ["web"])


@pytest.mark.parametrize(
    ("status", "userinfo", "netrc", "said"),
    [
        (
            401,
            "",
            "",
            "refused access without credentials (401), or with those of ~/.netrc: give the URL a user and token",
        ),
        (401, "", "reader password wrong", "refused access without credentials (401), or with those of ~/.netrc: "),
        (
            401,
            "reader:wrong@",
            "",
            "refused the credentials (401): check the user and token in the URL that the setting source",
        ),
        (
            401,
            "wrong@",
            "",
            "refused the credentials (401): check the user and token in the URL that the setting source",
        ),
        (403, "reader:wrong@", "", "refused access (403): check the user and token in the URL that the setting source"),
        (403, "", "reader password wrong", "refused access (403): check the user and token in ~/.netrc"),
    ],
)
def test_a_git_server_that_refuses_credentials_is_told_with_what_to_set(
    origin: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    userinfo: str,
    netrc: str,
    said: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(f"machine localhost login {netrc}\n" if netrc else "")
    with githttps.served(origin, tmp_path, refusal=status) as (port, certificate):
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        remote = checked_remote(f"https://{userinfo}localhost:{port}/specs.git", allow_file=False)
        with pytest.raises(RemoteUnreachable) as failed:
            Mirror(tmp_path / "mirror.git").fetch(remote, None)
    assert f"https://localhost:{port}/specs.git: the git server {said}" in str(failed.value)
    assert not any(word in str(failed.value) for word in ("wrong", "askpass", "prompt"))


def test_a_fetch_by_https_trusts_no_unknown_certificate(origin: Repository, tmp_path: Path) -> None:
    with githttps.served(origin, tmp_path) as (port, _):
        remote = checked_remote(f"https://reader:x@localhost:{port}/specs.git", allow_file=False)
        with pytest.raises(RemoteUnreachable, match="certificate"):
            Mirror(tmp_path / "mirror.git").fetch(remote, None)


def test_a_mirror_is_private_and_knows_no_hooks(origin: Repository, opened: Opened, tmp_path: Path) -> None:
    opened(origin.url).read()
    (mirror,) = (tmp_path / "state" / "source").iterdir()
    assert stat.S_IMODE(mirror.stat().st_mode) == 0o700
    assert not (mirror / "hooks").exists()
    assert origin.url not in (mirror / "config").read_text()


def test_nothing_is_left_of_a_mirror_but_its_branch(origin: Repository, opened: Opened, tmp_path: Path) -> None:
    origin.git("tag", "v1")
    origin.git("branch", "other")
    opened(origin.url).read()
    (mirror,) = (tmp_path / "state" / "source").iterdir()
    shutil.copytree(mirror, tmp_path / "copy.git")
    refs = Repository(tmp_path / "reader").git("-C", str(tmp_path / "copy.git"), "for-each-ref", "--format=%(refname)")
    assert refs == MIRROR_REF


def test_the_commits_between_two_fetches_are_known(origin: Repository, tmp_path: Path) -> None:
    for number in range(20):
        origin.commit({"specs/web.yaml": web(), "n": str(number)}, f"before {number}")
    mirror = Mirror(tmp_path / "mirror.git")
    remote = checked_remote(origin.url, allow_file=True)

    def known(revisions: str) -> list[str]:
        log = ("-C", str(mirror.git_dir), "log", "--format=%s", revisions)
        return Repository(tmp_path / "reader").git(*log).splitlines()

    first = mirror.fetch(remote, None)
    assert known(first) == ["before 19"], "the first fetch is shallow"
    for number in range(5):
        origin.commit({"specs/web.yaml": web(), "n": f"x{number}"}, f"after {number}")
    second = mirror.fetch(remote, None)
    assert known(second) == ["after 4"], "what is new comes first"
    assert mirror.fetch(remote, None) == second
    assert known(f"{first}..{second}") == [f"after {number}" for number in (4, 3, 2, 1, 0)]
    assert len(known(second)) < 20, "no more of what was before than it takes"


def test_a_branch_that_was_rewritten_brings_no_endless_history(
    origin: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "MAX_HISTORY", 4)
    mirror = Mirror(tmp_path / "mirror.git")
    remote = checked_remote(origin.url, allow_file=True)
    mirror.fetch(remote, None)
    origin.git("switch", "--quiet", "--orphan", "rewritten")
    commits = [origin.commit({"specs/web.yaml": web(), "n": str(number)}) for number in range(12)]
    origin.git("branch", "--force", "main", commits[-1])
    assert [mirror.fetch(remote, "main") for _ in range(2)] == [commits[-1]] * 2
    log = Repository(tmp_path / "reader").git("-C", str(mirror.git_dir), "rev-list", commits[-1])
    assert log.splitlines() == commits[:-5:-1]


# ---- which URLs


@pytest.mark.parametrize(
    ("source", "url", "protocol"),
    [
        ("https://git.example/team/specs.git", "https://git.example/team/specs.git", "https"),
        ("https://git.example:8443/specs", "https://git.example:8443/specs", "https"),
        ("ssh://git@git.example:2222/team/specs.git", "ssh://git@git.example:2222/team/specs.git", "ssh"),
        ("git@git.example:team/specs.git", "git@git.example:team/specs.git", "ssh"),
        ("git.example:/srv/specs.git", "git.example:/srv/specs.git", "ssh"),
        ("file:///srv/specs.git", "file:///srv/specs.git", "file"),
        ("https://[::1]:8443/specs", "https://[::1]:8443/specs", "https"),
        ("ssh://git@[2001:db8::1]/specs", "ssh://git@[2001:db8::1]/specs", "ssh"),
        ("git@[2001:db8::1]:specs.git", "git@[2001:db8::1]:specs.git", "ssh"),
    ],
)
def test_the_protocol_of_an_allowed_git_url_is_known(source: str, url: str, protocol: str) -> None:
    assert is_url(source)
    remote = checked_remote(source, allow_file=True)
    assert (remote.url, remote.protocol, remote.authorization) == (url, protocol, "")


@pytest.mark.parametrize(
    "source",
    [
        "http://git.example/specs",
        "git://git.example/specs",
        "ftp://git.example/specs",
        "ext::sh -c touch% /tmp/x",
        "fd::3",
        "https::git.example",
        "ssh://-oProxyCommand=x/specs",
        "ssh://git@-oProxyCommand=x/specs",
        "ssh://git@host/a b",
        "https://git.example/specs?x=1",
        "https://git.example/a\nb",
        "https://[::1/x",
        "https://[1.2.3]/x",
        "ssh://git@[]/x",
        "git@[::g]:x",
        "https:///specs",
        "https://git.example",
        "file://host/specs",
        "file:///a\\b",
        "git@host:-oops",
    ],
)
def test_git_urls_that_are_refused_say_what_is_allowed(source: str) -> None:
    with pytest.raises(ValueError, match=r"use https://HOST/PATH|allowed") as refused:
        checked_remote(source, allow_file=True)
    assert "\n" not in str(refused.value)


def test_file_urls_are_off_unless_opted_in(origin: Repository, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="file URLs are switched off"):
        open_source(origin.url, state_dir=tmp_path, wake=lambda: None)


def test_credentials_of_a_git_url_travel_in_a_header_and_are_shown_nowhere(tmp_path: Path, opened: Opened) -> None:
    remote = checked_remote("https://me:s3cr%40t@localhost:1/specs.git", allow_file=False)
    assert remote.url == "https://localhost:1/specs.git"
    assert remote.authorization == "Basic bWU6czNjckB0"
    assert "s3cr" not in repr(remote) + remote.shown
    source = opened("https://me:s3cr%40t@localhost:1/specs.git")
    with pytest.raises(Unavailable, match="https://localhost:1/specs.git: ") as failed:
        source.read()
    assert "s3cr" not in str(failed.value)
    assert "bWU6" not in str(failed.value)
    written = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert not any(b"s3cr" in content or b"bWU6" in content for content in written)


@pytest.mark.parametrize("source", ["specs", "./specs", "/srv/specs", "../x", "a/b:c"])
def test_paths_are_no_git_urls(source: str) -> None:
    assert not is_url(source)


@pytest.mark.parametrize("branch", ["main", "release/1.0", "feature/#12-x", "dependabot/pip/x-1.2", "größe", "日本/🚀"])
def test_names_that_a_branch_can_have_are_taken(branch: str) -> None:
    assert checked_branch(branch) == branch


@pytest.mark.parametrize(
    "branch",
    [
        "",
        "-x",
        "--upload-pack=x",
        "a..b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "@{-1}",
        "/a",
        "a/",
        "a//b",
        "a.lock",
        ".a",
        "ö ü",
        "a\u202eb",
    ],
)
def test_names_that_a_branch_can_not_have_are_refused(branch: str) -> None:
    with pytest.raises(ValueError, match="a branch name of letters, digits"):
        checked_branch(branch)


def test_directories_are_taken_inside_a_repository_only() -> None:
    assert [checked_directory(path) for path in ("", ".", "/".join(["a", "b"]), "./a/", "a//b")] == [
        "",
        "",
        "a/b",
        "a",
        "a/b",
    ]
    for path in ("/etc", "..", "a/../b", "a\nb"):
        with pytest.raises(ValueError, match=r"relative to its top, without \.\."):
            checked_directory(path)


def test_a_branch_that_was_rewritten_is_told_once_its_history_is_here(origin: Repository, opened: Opened) -> None:
    source = opened(origin.url, path="specs")
    assert isinstance(source, RemoteSource)
    taken_back = origin.commit({"specs/web.yaml": web("b")})
    _refreshed_until(source, lambda: source.read().changes.get("b"))
    origin.git("commit", "--amend", "--quiet", "--message=said otherwise")
    _refreshed_until(source, lambda: taken_back[:12] in source.read().rewritten)
    assert source.read().revision == origin.head


def _refreshed_until(source: RemoteSource, look: Callable[[], object]) -> None:
    """Fetch again and again: a commit's history arrives with the fetch after its own."""

    def so() -> object:
        source.refresh()
        return look()

    eventually(so, every_seconds=0.3)

"""A git URL over a slow line that breaks now and then: how it arrives, what is kept, and what people are told."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.ports import Unavailable
from reconciler.source import git, mirror, open_source, transport
from reconciler.source.mirror import Mirror
from reconciler.source.remote import RemoteSource
from reconciler.source.transport import RemoteUnreachable
from reconciler.source.urls import Remote, checked_remote
from tests.support import githttps
from tests.support.relay import Relay, relay
from tests.support.repositories import Repository
from tests.support.sources import Wakes, answer
from tests.support.specs import web
from tests.support.waiting import eventually

CREDENTIALS = f"{githttps.USER}:{githttps.PASSWORD.replace('@', '%40')}"


@dataclass
class Server:
    """A git server behind a line that a test can slow down and cut."""

    repository: Repository
    line: Relay
    url: str

    @property
    def remote(self) -> Remote:
        return checked_remote(self.url, allow_file=False)

    def commit(self, sizes: dict[str, int]) -> str:
        """Commit files of noise, which no compression makes smaller."""
        for path, size in sizes.items():
            (self.repository.path / path).parent.mkdir(parents=True, exist_ok=True)
            (self.repository.path / path).write_bytes(os.urandom(size))
        return self.repository.commit({})


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    repository = Repository(tmp_path / "origin")
    repository.commit({"specs/web.yaml": web()})
    repository.git("config", "uploadpack.allowFilter", "true")
    with (
        githttps.served(repository, tmp_path) as (port, certificate),
        relay(("127.0.0.1", 0), ("127.0.0.1", port)) as line,
    ):
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        yield Server(repository, line, f"https://{CREDENTIALS}@localhost:{line.port}/specs.git")


def test_a_repository_on_a_slow_line_arrives_as_long_as_something_comes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes twice as long as the line may be silent."""
    monkeypatch.setattr(transport, "TELL_SECONDS", 1.0)
    commit = server.commit({"specs/large": 1_200_000})
    server.line.bytes_per_second = 200_000
    told: list[str] = []
    assert Mirror(tmp_path / "mirror.git", "specs", silence_seconds=3).fetch(server.remote, None, told.append) == commit
    form = rf"fetching https://localhost:{server.line.port}/specs\.git: (\d+) [KM]iB of objects so far, (\d+) s"
    progress = [re.fullmatch(form, sentence) for sentence in told]
    assert all(progress), told
    assert len({found[1] for found in progress if found}) >= 3, told


def test_a_line_that_falls_silent_is_given_up(server: Server, tmp_path: Path) -> None:
    server.commit({"specs/large": 3_000_000})
    server.line.bytes_per_second = 2_000
    with pytest.raises(
        RemoteUnreachable, match=r"specs\.git: nothing came for 0\.2 s, after \d+ KiB of objects so far"
    ):
        Mirror(tmp_path / "mirror.git", "specs", silence_seconds=0.2).fetch(server.remote, None)


def test_only_what_lies_below_the_path_is_fetched(server: Server, tmp_path: Path) -> None:
    commit = server.commit({"specs/conf": 50_000, "elsewhere/large": 2_000_000})
    made = Mirror(tmp_path / "mirror.git", "specs")
    assert made.fetch(server.remote, None) == commit
    assert server.line.answered_bytes < 200_000
    entries = made.entries(commit, "specs")
    assert sorted(made.contents(list(entries.values()))) == ["conf", "web.yaml"]


def test_all_is_fetched_from_a_server_that_cannot_filter(server: Server, tmp_path: Path) -> None:
    server.repository.git("config", "uploadpack.allowFilter", "false")
    commit = server.commit({"specs/conf": 50_000, "elsewhere/large": 500_000})
    made = Mirror(tmp_path / "mirror.git", "specs")
    assert made.fetch(server.remote, None) == commit
    assert server.line.answered_bytes > 500_000
    server.repository.git("config", "uploadpack.allowFilter", "true")
    commit = server.commit({"specs/conf": 50_001})
    assert made.fetch(server.remote, None) == commit
    server.repository.git("config", "uploadpack.allowFilter", "false")
    commit = server.commit({"specs/conf": 50_002, "elsewhere/large": 500_001})
    assert made.fetch(server.remote, None) == commit
    assert made.entries(commit, "specs")["conf"].size_bytes == 50_002


def test_all_is_fetched_from_a_server_that_gives_no_contents_by_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = server.commit({"specs/conf": 50_000})
    with githttps.served(server.repository, tmp_path / "old", old=True) as (port, certificate):
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        remote = checked_remote(f"https://{CREDENTIALS}@localhost:{port}/specs.git", allow_file=False)
        made = Mirror(tmp_path / "mirror.git", "specs")
        for size in (50_001, 50_002):
            assert made.fetch(remote, None) == commit
            entries = made.entries(commit, "specs")
            assert sorted(made.contents(list(entries.values()))) == ["conf", "web.yaml"]
            commit = server.commit({"specs/conf": size})


def test_a_mirror_without_all_contents_can_be_packed_anew(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(git.SETTINGS, "gc.autoPackLimit", "1")
    made = Mirror(tmp_path / "mirror.git", "specs")
    for size in (20_001, 20_002, 20_003):
        commit = server.commit({"specs/conf": size, "elsewhere/large": size})
        assert [made.fetch(server.remote, None) for _ in range(2)] == [commit] * 2
        assert made.entries(commit, "specs")["conf"].size_bytes == size
    assert len(list((tmp_path / "mirror.git" / "objects" / "pack").glob("*.pack"))) == 1


def test_no_commit_waits_long_for_the_history_before_the_first_one(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repository.git("config", "uploadpack.allowFilter", "false")
    for size in (600_001, 600_002, 50_000):
        commit = server.commit({"elsewhere/large": size})
    made = Mirror(tmp_path / "mirror.git", "specs")
    made.fetch(server.remote, None)
    server.line.bytes_per_second = 50_000
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "_HISTORY_SECONDS", 0.5)
        assert made.fetch(server.remote, None) == commit
    assert made.shallow == {commit}
    server.line.bytes_per_second = 0
    again = Mirror(tmp_path / "mirror.git", "specs")
    assert [again.fetch(server.remote, None) for _ in range(2)] == [commit] * 2
    assert len(again.commits(commit, 9)) == 4


def test_whoever_can_wait_gets_the_first_fetch_however_long_it_takes(server: Server, tmp_path: Path) -> None:
    server.commit({"specs/large": 100_000})
    server.line.bytes_per_second = 100_000
    for patience_seconds, form in ((0.0, "is being fetched for the first time"), (None, "web")):
        source = open_source(
            server.url,
            path="specs",
            state_dir=tmp_path / f"{patience_seconds}",
            wake=lambda: None,
            first_fetch_seconds=patience_seconds,
        )
        read = answer(source.read)
        source.close()
        assert form in (read if isinstance(read, str) else read.apps)


def test_a_fetch_that_is_cut_off_again_and_again_goes_on_from_what_it_has(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_FIRST_PORTION", 4)
    size = 20 * 30_000
    commit = server.commit({f"specs/{number}": 30_000 for number in range(20)})
    place, cuts = tmp_path / "mirror.git", 0
    while cuts < 30:
        server.line.allowed_bytes = 200_000
        try:
            # As after a restart: nothing is remembered but the mirror.
            assert Mirror(place, "specs").fetch(server.remote, None) == commit
            break
        except RemoteUnreachable:
            cuts += 1
    assert 2 < cuts < 30
    assert server.line.answered_bytes < 3 * size
    server.line.allowed_bytes = None
    entries = Mirror(place).entries(commit, "specs")
    assert len(Mirror(place).contents(list(entries.values()))) == 21
    assert not list(place.rglob("tmp_*"))


def test_portions_shrink_until_one_arrives(server: Server, tmp_path: Path) -> None:
    """All at once would never come through."""
    commit = server.commit({f"specs/{number}": 20_000 for number in range(8)})
    made = Mirror(tmp_path / "mirror.git", "specs")

    def arrives() -> bool:
        server.line.allowed_bytes = 100_000
        try:
            return made.fetch(server.remote, None) == commit
        except RemoteUnreachable:
            return False

    eventually(arrives)


def slow_source(server: Server, place: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteSource:
    monkeypatch.setattr(transport, "TELL_SECONDS", 0.2)
    server.line.bytes_per_second = 100_000
    return RemoteSource(server.remote, None, "specs", place, Wakes(), 3600)


def test_a_first_fetch_that_takes_long_says_how_far_it_is(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.commit({"specs/large": 200_000})
    source = slow_source(server, tmp_path, monkeypatch)
    eventually(lambda: "KiB of objects so far" in str(answer(source.read)))
    with pytest.raises(Unavailable, match="fetching https://localhost"):
        source.read()
    server.line.bytes_per_second = 0
    eventually(lambda: "web" in getattr(answer(source.read), "apps", ()))
    assert source.read().notices == ()
    source.close()


def test_a_later_fetch_that_takes_long_is_a_notice_beside_the_last_state(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = server.commit({})
    source = slow_source(server, tmp_path, monkeypatch)
    eventually(lambda: getattr(answer(source.read), "revision", "") == before)
    after = server.commit({"specs/large": 200_000})
    source.refresh()

    def noticed() -> bool:
        desired = source.read()
        assert desired.revision == before
        return any("KiB of objects so far" in notice for notice in desired.notices)

    eventually(noticed)
    server.line.bytes_per_second = 0
    eventually(lambda: source.read().revision == after)
    assert source.read().notices == ()
    source.close()


# ---- who the remote is, and who we are


def test_a_remote_may_be_named_by_an_ipv6_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository(tmp_path / "origin")
    commit = repository.commit({"web.yaml": web()})
    with githttps.served(repository, tmp_path, "::1") as (port, certificate):
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        remote = checked_remote(f"https://{CREDENTIALS}@[::1]:{port}/specs.git", allow_file=False)
        assert Mirror(tmp_path / "mirror.git").fetch(remote, None) == commit


def test_a_branch_of_a_remote_may_have_a_name_beyond_ascii(server: Server, tmp_path: Path) -> None:
    server.repository.git("branch", "größe/日本")
    assert Mirror(tmp_path / "mirror.git").fetch(server.remote, "größe/日本") == server.repository.head


@pytest.mark.parametrize("filters", ["true", "false"])
def test_a_remote_may_name_its_objects_by_sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: str) -> None:
    repository = Repository(tmp_path / "origin", algorithm="sha256")
    commit = repository.commit({"specs/web.yaml": web()})
    repository.git("config", "uploadpack.allowFilter", filters)
    with githttps.served(repository, tmp_path) as (port, certificate):
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        remote = checked_remote(f"https://{CREDENTIALS}@localhost:{port}/specs.git", allow_file=False)
        source = RemoteSource(remote, None, "specs", tmp_path, Wakes(), 3600)
        desired = eventually(lambda: not isinstance(read := answer(source.read), str) and read)
        source.close()
    assert (len(commit), desired.revision, list(desired.apps)) == (64, commit, ["web"])


def test_a_remote_that_begins_to_name_its_objects_otherwise_is_followed(tmp_path: Path, server: Server) -> None:
    made = Mirror(tmp_path / "mirror.git")
    made.fetch(server.remote, None)
    other = Repository(tmp_path / "other", algorithm="sha256")
    commit = other.commit({"specs/web.yaml": web()})
    assert made.fetch(checked_remote(other.url, allow_file=True), None) == commit


def test_credentials_in_a_netrc_are_read_by_each_fetch(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is remembered, neither a good one nor a bad one: what was corrected or revoked counts at once."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    netrc = tmp_path / "home" / ".netrc"
    netrc.parent.mkdir()
    remote = checked_remote(f"https://localhost:{server.line.port}/specs.git", allow_file=False)
    made = Mirror(tmp_path / "mirror.git")

    def fetched_with(password: str) -> Callable[[], str]:
        netrc.write_text(f"machine localhost login {githttps.USER} password {password}\n")
        return lambda: made.fetch(remote, None)

    for _ in range(2):
        with pytest.raises(RemoteUnreachable, match=r"write them into ~/\.netrc"):
            fetched_with("wrong")()
        assert fetched_with(githttps.PASSWORD)() == server.repository.head

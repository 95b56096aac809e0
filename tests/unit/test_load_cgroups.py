"""Control groups of both versions and layouts, as files in a directory; the real ones are `contract/test_meter`'s."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.load.cgroups import Cgroups

_ID = "f00d" * 16


class Host:
    """A host's control groups, holding one container."""

    def __init__(self, root: Path, version: int, group: str) -> None:
        self.root = root
        self.version = version
        self.group = group
        if version == 2:
            self._write("cgroup.controllers", "cpu memory")

    def write(
        self,
        *,
        cpu_seconds: float = 1.5,
        memory: int = 1000,
        cache: int = 300,
        cores: float | None = 0.5,
        limit: int | None = 4000,
    ) -> None:
        group = self.group
        if self.version == 1:
            self._write(f"cpuacct/{group}/cpuacct.usage", f"{cpu_seconds * 1e9:.0f}\n")
            self._write(f"cpu/{group}/cpu.cfs_quota_us", f"{-1 if cores is None else int(cores * 100_000)}\n")
            self._write(f"cpu/{group}/cpu.cfs_period_us", "100000\n")
            self._write(f"memory/{group}/memory.usage_in_bytes", f"{memory}\n")
            self._write(f"memory/{group}/memory.limit_in_bytes", f"{limit or 9223372036854771712}\n")
            stat = f"cache 900\ninactive_file 1\nhierarchical_memory_limit 1\ntotal_inactive_file {cache}\ntotal_x 1\n"
            self._write(f"memory/{group}/memory.stat", stat)
        else:
            self._write(f"{group}/cpu.stat", f"usage_usec {cpu_seconds * 1e6:.0f}\nuser_usec 1\nsystem_usec 1\n")
            quota = "max" if cores is None else str(int(cores * 100_000))
            self._write(f"{group}/cpu.max", f"{quota} 100000\n")
            self._write(f"{group}/memory.current", f"{memory}\n")
            self._write(f"{group}/memory.max", f"{limit or 'max'}\n")
            self._write(f"{group}/memory.stat", f"anon 1\nfile 900\ninactive_file {cache}\nactive_file 2\n")

    def files(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file() and path.name != "cgroup.controllers"]

    def _write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=[f"docker/{_ID}", f"system.slice/docker-{_ID}.scope"], ids=["cgroupfs", "systemd"])
def host(request: pytest.FixtureRequest, tmp_path: Path, version: int) -> Host:
    return Host(tmp_path, version, request.param)


def test_control_groups_tell_what_a_container_used(host: Host) -> None:
    host.write()
    usage = Cgroups(host.root).usage(_ID)
    assert usage is not None
    assert usage.cpu_seconds == 1.5
    assert usage.memory_bytes == 700
    assert (usage.cpu_limit_cores, usage.memory_limit_bytes) == (0.5, 4000)


def test_a_control_group_without_a_limit_has_none(host: Host) -> None:
    host.write(cores=None, limit=None)
    usage = Cgroups(host.root).usage(_ID)
    assert usage is not None
    assert (usage.cpu_limit_cores, usage.memory_limit_bytes) == (None, None)


def test_a_cache_larger_than_the_memory_in_use_is_not_taken_off(host: Host) -> None:
    host.write(memory=100, cache=300)
    usage = Cgroups(host.root).usage(_ID)
    assert usage is not None
    assert usage.memory_bytes == 100


def test_every_look_at_a_control_group_is_a_new_one(host: Host) -> None:
    cgroups = Cgroups(host.root)
    for seconds in (1.0, 2.0, 3.0):
        host.write(cpu_seconds=seconds)
        usage = cgroups.usage(_ID)
        assert usage is not None
        assert usage.cpu_seconds == seconds


def test_usage_is_unknown_where_a_control_group_lacks_a_file_or_has_a_strange_one(host: Host) -> None:
    host.write()
    for path in host.files():
        content = path.read_text()
        for strange in (None, "", "what?\n"):
            path.unlink() if strange is None else path.write_text(strange)
            usage = Cgroups(host.root).usage(_ID)
            assert usage is None, f"{path.name} holding {strange!r} gave {usage}"
            path.write_text(content)


def test_usage_of_a_container_without_a_control_group_is_unknown(host: Host) -> None:
    host.write()
    assert Cgroups(host.root).usage("beef" * 16) is None


def test_a_control_group_that_vanished_is_unknown_and_keeps_nothing_open(host: Host) -> None:
    before = _open_files()
    cgroups = Cgroups(host.root)
    host.write()
    assert cgroups.usage(_ID)
    assert _open_files() > before
    cgroups.forget(_ID)
    assert _open_files() == before
    assert cgroups.usage(_ID)
    cgroups.close()
    assert _open_files() == before


def test_files_of_control_groups_stay_open_only_as_far_as_the_process_may(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.write()
    monkeypatch.setattr("resource.getrlimit", lambda _: (0, 0))
    before = _open_files()
    assert Cgroups(host.root).usage(_ID)
    assert _open_files() == before


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())

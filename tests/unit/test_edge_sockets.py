"""How sockets are read off /proc; what a real nginx holds of them is in the contract suite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.edge import processes, sockets

NETWORK, DIRECTORY = "net:[1]", "/srv/edge"
LISTENING, ESTABLISHED, WAITING_FOR_CLIENT = "0A", "01", "05"
CLIENT, REPLICA = "010011AC:D431", "0200000A:1F40"  # 172.17.0.1, 10.0.0.2:8000
SERVING, LEAVING = "nginx: worker process", "nginx: worker process is shutting down"


class Proc:
    """A tree like /proc with one nginx's worker 10, which listens on 8080."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lines: list[str] = []
        self.process(10, SERVING, self.socket(8080, "00000000:0000", LISTENING))

    def socket(self, local_port: int, peer: str, state: str = ESTABLISHED) -> int:
        inode = 900 + len(self._lines)
        local = f"0100007F:{local_port:04X}"
        self._lines.append(f"{len(self._lines)}: {local} {peer} {state} 0:0 00:0 00000000 0 0 {inode} 1 0 20")
        self._write_table()
        return inode

    def process(
        self,
        pid: int,
        title: str,
        *inodes: int,
        network: str = NETWORK,
        directory: str = DIRECTORY,
        user: int = 33,
        program: str = "/usr/sbin/nginx",
    ) -> None:
        own = self._root / str(pid)
        (own / "fd").mkdir(parents=True)
        (own / "ns").mkdir()
        (own / "net").mkdir()
        (own / "cmdline").write_bytes(title.encode() + b"\0\0")
        (own / "status").write_text(f"Name:\tnginx\nUid:\t{user}\t{user}\t{user}\t{user}\nGid:\t0\t0\t0\t0\n")
        (own / "exe").symlink_to(program)
        (own / "ns" / "net").symlink_to(network)
        (own / "cwd").symlink_to(directory)
        for number, inode in enumerate(inodes):
            (own / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
        self._write_table()

    def _write_table(self) -> None:
        for net in self._root.glob("*/net"):
            (net / "tcp").write_text("\n".join(["  sl  local_address rem_address", *self._lines]) + "\n")

    def left(self) -> dict[str, int]:
        return sockets.requests_left(10, {"10.0.0.2", "10.0.0.3"}, {"10.0.0.2"})


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proc]:
    for module in (processes, sockets):
        monkeypatch.setattr(module, "PROC", tmp_path)
    return Proc(tmp_path)


def test_without_a_worker_that_leaves_there_is_none(proc: Proc) -> None:
    assert proc.left() == {"10.0.0.2": 0}


def test_a_connection_to_the_replica_is_a_request(proc: Proc) -> None:
    proc.process(11, LEAVING, proc.socket(8080, CLIENT), proc.socket(40000, REPLICA))
    assert proc.left() == {"10.0.0.2": 1}


def test_a_connection_to_another_replica_is_none_of_it(proc: Proc) -> None:
    proc.process(11, LEAVING, proc.socket(8080, CLIENT), proc.socket(40000, "0300000A:1F40"))
    assert proc.left() == {"10.0.0.2": 0}


def test_a_client_without_a_replica_may_be_given_this_one(proc: Proc) -> None:
    proc.process(11, LEAVING, proc.socket(8080, CLIENT))
    assert proc.left() == {"10.0.0.2": 1}


def test_a_client_that_is_a_replica_itself_counts_as_a_client(proc: Proc) -> None:
    proc.process(11, LEAVING, proc.socket(8080, "0300000A:D431"))
    assert proc.left() == {"10.0.0.2": 1}


def test_a_client_on_a_port_that_was_given_up_counts_as_well(proc: Proc) -> None:
    proc.process(11, LEAVING, proc.socket(8443, CLIENT))
    assert proc.left() == {"10.0.0.2": 1}


def test_one_that_was_answered_and_has_not_hung_up_does_not_count(proc: Proc) -> None:
    proc.process(11, LEAVING, proc.socket(8080, CLIENT, WAITING_FOR_CLIENT))
    assert proc.left() == {"10.0.0.2": 0}


def test_the_connections_of_others_do_not_count(proc: Proc) -> None:
    """A probe's, a serving worker's, another nginx's."""
    proc.process(20, "orchestry run", proc.socket(40001, REPLICA))
    proc.process(21, SERVING, proc.socket(40002, REPLICA))
    proc.process(22, LEAVING, proc.socket(40003, REPLICA), directory="/etc/nginx")
    proc.process(23, LEAVING, proc.socket(40004, REPLICA), network="net:[2]")
    assert proc.left() == {"10.0.0.2": 0}


def test_whoever_poses_as_a_worker_that_leaves_does_not_count(proc: Proc) -> None:
    """By its title and its directory: anybody can. Another user's may not even be looked at."""
    proc.process(20, LEAVING, proc.socket(40001, REPLICA), user=1000)
    proc.process(21, LEAVING, proc.socket(40002, REPLICA), program="/usr/bin/python3")
    assert proc.left() == {"10.0.0.2": 0}


def test_a_worker_whose_program_was_updated_counts(proc: Proc) -> None:
    proc.process(
        11, LEAVING, proc.socket(8080, CLIENT), proc.socket(40000, REPLICA), program="/usr/sbin/nginx (deleted)"
    )
    assert proc.left() == {"10.0.0.2": 1}


def test_workers_of_a_directory_that_was_removed_count(proc: Proc) -> None:
    proc.process(
        11, LEAVING, proc.socket(40000, REPLICA), proc.socket(8080, CLIENT), directory=f"{DIRECTORY} (deleted)"
    )
    assert proc.left() == {"10.0.0.2": 1}


def test_what_may_not_be_seen_is_unknown_and_not_0(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> set[str]:
        raise PermissionError(pid)

    monkeypatch.setattr(sockets, "_held", refuse)
    assert proc.left() == {}


def test_a_process_that_is_not_nginx_or_not_of_this_machine_is_unknown() -> None:
    for pid in (0, os.getpid()):
        assert sockets.requests_left(pid, {"10.0.0.2"}, {"10.0.0.2"}) == {}

"""Two controllers of one instance, as on two hosts: one is paused in the middle of its work, the other one takes over.

They share an Engine, a database and a repository, and have a state directory and an nginx each. What keeps two of them
from one host is left out.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.support.engine import demo_image, playground
from tests.support.load import forgiving, load
from tests.support.site import Site, web

_ON_A_HOST_OF_ITS_OWN = """
import sys
from contextlib import ExitStack
from reconciler import cli, wiring
class NoLock:
    def release(self): pass
wiring.lock_instance = lambda settings, runtime: NoLock()
sys.argv = sys.argv[1:]
cli.main()
"""
# So few actions at a time that there are always some that have not begun.
_FLAGS = ("--concurrency", "1")


@dataclass
class Pair:
    """The controller that leads, and the one that is to follow it."""

    leader: Site
    stand_in: Site
    database: str

    def begin(self) -> None:
        """Have the first one lead."""
        self.leader.start(*_FLAGS)

    def pause_and_follow(self) -> None:
        """Pause the leader with removals queued, let the other one route what these are of, and let the first go on.

        Asserts that no replica is touched by it, and that no request fails.
        """
        leader, successor = self.leader, self.stand_in
        leader.deploy({"web.yaml": _app(6)}, within_seconds=120)
        leader.commit({"web.yaml": _app(1)})
        leader.wait(lambda: len(_running(leader)) < 6)
        assert leader.controller is not None
        leader.controller.send_signal(signal.SIGSTOP)
        revision = leader.commit({"web.yaml": _app(6)})
        self._end_lease()
        successor.start(*_FLAGS)
        successor.wait_converged(revision, within_seconds=120)
        before = _running(successor)
        assert len(before) == 6
        with load(successor.port, forgiving()) as running:
            leader.controller.send_signal(signal.SIGCONT)
            code = leader.controller.wait(timeout=120)
            log = leader.log.read_text()
        leader.controller = None
        assert (code, "has taken instance" in log) == (1, True), log[-3000:]
        assert _running(successor) == before, f"{log[-3000:]}\n{successor.evidence()}"
        assert running.failed == {}
        assert all(tally.sent for tally in running.tallies.values())
        self.leader, self.stand_in = successor, leader

    def _end_lease(self) -> None:
        """Let the database's clock run ahead of the lease."""
        engine = sa.create_engine(self.database, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE leases SET expires_at = 0"))


def _app(replicas: int) -> str:
    """Six replicas that are slow to go."""
    return web(replicas=replicas, grace=2, IGNORE_TERM="1")


def _running(site: Site) -> dict[str, Any]:
    """Since when which container runs, by its id."""
    states = {c["Id"]: site.api.inspect_container(c["Id"])["State"] for c in site.containers().values()}
    return {container: state["StartedAt"] for container, state in states.items() if state["Running"]}


@contextmanager
def pair(root: Path, database: str) -> Iterator[Pair]:
    """Two controllers under ``root`` on an empty database, gone afterwards."""
    demo_image("1")
    with playground() as place, ExitStack() as stack:
        sites = [Site(root / name, place) for name in ("one", "two")]
        for site in sites:
            stack.callback(site.close)
            site.repository = sites[0].repository
            site.environment["ORCHESTRY_DATABASE"] = database
            site.launcher = [sys.executable, "-c", _ON_A_HOST_OF_ITS_OWN]
        try:
            yield Pair(*sites, database)
        finally:
            for site in sites:
                if site.controller:
                    site.controller.send_signal(signal.SIGCONT)
                    site.stop()

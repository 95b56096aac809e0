"""What versions served beside each other: from lines of the access log to a verdict on a canary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reconciler.decide.rollout.canary import analyse
from reconciler.load.cgroups import Cgroups
from reconciler.load.containers import Containers, this_host
from reconciler.load.meter import Meter, Watched
from reconciler.load.open_requests import OpenRequests
from reconciler.load.request_log import RequestLog
from reconciler.model.load import VersionLoad
from reconciler.model.observed import Container, ContainerState
from reconciler.model.spec import Canary
from tests.support.access_log import line
from tests.support.apps import app

_START = 1_000_000.0
_OLD, _NEW = "10.0.0.2", "10.0.0.3"
_HOLD_SECONDS = 60
_WEB = app(strategy={"canary": {"weight": 10, "holdSeconds": _HOLD_SECONDS, "minRequests": 20}})


def container(slot: int, spec_hash: str, address: str) -> Container:
    return Container(f"id{slot}", f"web-{slot}", "web", slot, spec_hash, "r1", ContainerState.RUNNING, address)


class Metered:
    """A meter on a log that the test writes, looking once a second on a clock of the test's own."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "access.log"
        self.path.touch()
        self.now = _START
        self.meter = self.open()
        self.containers = [container(1, "old", _OLD), container(2, "new", _NEW)]

    def open(self) -> Meter:
        requests = RequestLog(self.path, self.path.with_name("place.json"), None)
        containers = Containers(Cgroups(self.path.parent), None, this_host())
        return Meter(containers, requests, OpenRequests(None), None)

    def serve(self, seconds: int, *lines_each_second: dict[str, str]) -> dict[str, VersionLoad]:
        """So many seconds pass, with these requests in each; what the versions have served by then, by spec hash."""
        loads: dict[str, VersionLoad] = {}
        for _ in range(seconds):
            with self.path.open("ab") as file:
                file.writelines(line(self.now, **values) for values in lines_each_second)
            watched = Watched.of([_WEB], self.containers, {c.name for c in self.containers})
            loads = {spec_hash: load for (_, spec_hash), load in self.meter.look(watched, self.now).versions.items()}
            self.now += 1
        return loads


BY_OLD = {"upstream_addresses": f"{_OLD}:80"}
BY_NEW = {"upstream_addresses": f"{_NEW}:80"}
FAILED_BY_NEW = {
    "upstream_addresses": f"{_NEW}:80, {_OLD}:80",
    "upstream_statuses": "500, 200",
    "upstream_seconds": "0.001, 0.020",
}


def test_a_canary_that_fails_whatever_it_is_asked_is_judged_though_others_answer_for_it(tmp_path: Path) -> None:
    loads = Metered(tmp_path).serve(90, BY_OLD, FAILED_BY_NEW)
    assert loads["new"].requests >= 20
    assert (loads["new"].error_rate, loads["old"].error_rate) == (1.0, 0.0)
    verdict = analyse(_WEB.spec.strategy.canary or Canary(), loads["new"], loads["old"])
    assert verdict.good is False
    assert verdict.message.startswith("errors 100.00 % (old version 0.00 %)")


def test_the_few_requests_of_a_canary_add_up_for_as_long_as_it_takes(tmp_path: Path) -> None:
    """Five in each hold: what counts is all since the canary is there, or it would never be judged."""
    metered = Metered(tmp_path)
    for _ in range(20):
        metered.serve(4 * _HOLD_SECONDS // 20, BY_OLD)
        metered.serve(1, BY_NEW)
    loads = metered.serve(3)
    assert loads["new"].requests == 20
    assert loads["new"].window_seconds > 4 * _HOLD_SECONDS


def test_a_crash_of_a_canary_costs_nothing_of_what_was_counted(tmp_path: Path) -> None:
    metered = Metered(tmp_path)
    metered.serve(10, BY_OLD, BY_NEW)
    well = metered.containers[1]
    metered.containers[1] = replace(well, state=ContainerState.EXITED)
    metered.serve(5, BY_OLD)
    metered.containers[1] = well
    loads = metered.serve(10, BY_OLD, BY_NEW)
    assert loads["new"].window_seconds == loads["old"].window_seconds == 24
    assert 17 <= loads["new"].requests <= 20
    assert 22 <= loads["old"].requests <= 25


def test_versions_are_compared_from_when_the_younger_one_is_there_and_anew_for_the_next(tmp_path: Path) -> None:
    metered = Metered(tmp_path)
    old, new = metered.containers
    metered.containers = [old]
    metered.serve(20, BY_OLD)
    metered.containers = [old, new]
    assert metered.serve(1, BY_OLD)["old"].requests <= 1
    metered.serve(20, BY_OLD, BY_NEW)
    metered.containers = [old, replace(new, id="id3", spec_hash="fix")]
    loads = metered.serve(1, BY_OLD)
    assert loads.keys() == {"old", "fix"}
    assert loads["old"].requests <= 1


def test_a_restart_of_the_controller_begins_the_comparison_of_versions_anew(tmp_path: Path) -> None:
    metered = Metered(tmp_path)
    metered.serve(30, BY_OLD, BY_NEW)
    metered.meter.close()
    metered.meter = metered.open()
    loads = metered.serve(1, BY_OLD, BY_NEW)
    assert (loads["new"].window_seconds, loads["new"].requests <= 1) == (0, True)

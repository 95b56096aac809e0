"""What is wrong with an app: the worst of it in one sentence, how much more there is, and nothing of another app."""

from __future__ import annotations

import pytest

from reconciler.model.desired import Problem
from tests.support.apps import desired, version
from tests.support.stage import Stage


@pytest.mark.parametrize(("problems", "more"), [(1, ""), (2, " (and 1 more)"), (4, " (and 3 more)")])
def test_of_several_problems_of_a_spec_the_first_is_told_and_the_others_are_counted(problems: int, more: str) -> None:
    stage = Stage(desired(version()))
    stage.settle()
    found = tuple(Problem("web.yaml", line, "spec", "a mess", "a spec", "web") for line in range(1, problems + 1))
    stage.desired = desired(revision="r2", problems=found)
    stage.tick()
    words = f"web.yaml:1: spec: found a mess; expected a spec{more}; the last good spec keeps running"
    assert stage.statuses["web"].error == words


@pytest.mark.parametrize("app_name", ["web", None])
def test_a_problem_of_a_spec_is_told_of_its_app_alone_by_its_name_or_else_by_its_file(app_name: str | None) -> None:
    stage = Stage(desired(*map(version, ("api", "web", "zoo"))))
    stage.settle()
    problem = Problem("web.yaml", 1, "spec", "a mess", "a spec", app_name)
    stage.desired = desired(version("api"), version("zoo"), revision="r2", problems=(problem,))
    stage.tick()
    assert [name for name, status in stage.statuses.items() if "a mess" in status.error] == ["web"]


def test_an_app_with_more_replicas_than_wanted_is_ready() -> None:
    stage = Stage(desired(version(replicas=3)))
    stage.settle()
    stage.down = True
    stage.desired = desired(version(replicas=1, revision="r2"), revision="r2")
    stage.tick()
    ready = next(condition for condition in stage.statuses["web"].conditions if condition.type == "Ready")
    assert (ready.status, ready.message) == (True, "3 of 1 replicas ready")


def test_routes_that_nginx_refuses_are_told_of_their_app_alone() -> None:
    stage = Stage(desired(version("api"), version("web")), refused={"web"})
    for _ in range(5):
        stage.tick()
    assert {name: status.error for name, status in stage.statuses.items()} == {"api": "", "web": "no such variable"}

"""Routes that move from one app to another: who serves them meanwhile, when they move, and who has to go first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.actions import CreateReplica, RemoveReplica, StopReplica
from reconciler.model.desired import Problem
from reconciler.model.routes import RouteTable
from reconciler.model.version import Version
from tests.support.apps import desired, version
from tests.support.stage import Stage

SLOW = "slow:1"  # the image of what takes its time to become ready
DATA = [{"name": "data", "mountPath": "/data"}]


def on(name: str, *paths: str, **spec: Any) -> Version:
    """An app at these paths, drained for 2 s."""
    routes = [{"path": path} for path in paths]
    return version(name, **{"routes": routes, "terminationGracePeriodSeconds": 2, "replicas": 1, **spec})


def serving(*versions: Version) -> Stage:
    """A stage on which these apps serve, and whatever comes of the slow image takes until `quicken`."""
    stage = Stage(desired(*versions))
    stage.settle()
    stage.broken.add(SLOW)
    return stage


def commit(stage: Stage, *versions: Version) -> None:
    revision = f"r{int(stage.desired.revision[1:]) + 1}"
    stage.desired = desired(*(replace(one, revision=revision) for one in versions), revision=revision)


def quicken(stage: Stage) -> None:
    stage.broken.clear()


def run(stage: Stage, ticks: int = 10) -> None:
    for _ in range(ticks):
        stage.tick()


def servers_of(table: RouteTable, path: str) -> set[str]:
    """Who is asked for a path."""
    return {server.name for part in table.apps for route in part.routes if route.path == path for server in part.live}


def served(stage: Stage, path: str) -> set[str]:
    return servers_of(stage.state.published.table, path)


def never_fell(stage: Stage, path: str) -> bool:
    """Whether there was somebody to ask for the path in every table that was published."""
    return all(servers_of(table, path) for table in stage.published[1:])


def said(stage: Stage, name: str, condition: str = "Progressing") -> str:
    return next(c.message for c in stage.statuses[name].conditions if c.type == condition)


# -- a renamed app ----------------------------------------------------------------------------------------------------


def test_a_renamed_app_serves_under_its_old_name_until_the_new_one_is_ready() -> None:
    stage = serving(on("old", "/x", replicas=2))
    tables = len(stage.published)
    commit(stage, on("new", "/x", image=SLOW))
    run(stage, 30)
    assert served(stage, "/x") == {"old-1", "old-2"}
    assert stage.names("old") == ["old-1", "old-2"]
    assert len(stage.published) == tables, "nothing was published meanwhile"
    assert said(stage, "old") == "serves */x until new is ready"
    assert said(stage, "new") == "old serves */x until this app is ready"
    quicken(stage)
    stage.settle()
    assert len(stage.published) == tables + 1, "the route moved in one publication"
    assert served(stage, "/x") == {"new-1"}
    assert stage.names("old") == []
    assert never_fell(stage, "/x")


def test_whoever_serves_for_a_new_app_is_told_as_serving_and_not_as_draining() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, on("new", "/x", image=SLOW))
    run(stage)
    status = stage.statuses["old"]
    assert [(replica.state, replica.note) for replica in status.replicas] == [("ready", "")]
    assert (status.desired, status.ready, status.routed) == (0, 1, 1)
    assert not status.converged
    assert not stage.statuses["new"].converged


def test_the_old_app_leaves_only_after_the_route_has_moved_and_its_drain_is_over() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, on("new", "/x"))
    stage.until(lambda: served(stage, "/x") == {"new-1"})
    moved_at = stage.state.published.at
    stage.until(lambda: any(isinstance(action, RemoveReplica) for action in stage.plan.actions if stage.plan))
    assert stage.state.as_of >= moved_at + 2


def test_a_route_waits_for_as_many_of_the_new_app_as_it_promises() -> None:
    stage = serving(on("old", "/x"))
    stage.held = {"new-2"}
    commit(stage, on("new", "/x", replicas=2))
    run(stage)
    assert served(stage, "/x") == {"old-1"}
    stage.held = set()
    stage.settle()
    assert served(stage, "/x") == {"new-1", "new-2"}
    assert never_fell(stage, "/x")


def test_a_new_app_of_which_one_may_be_unavailable_takes_the_route_without_that_one() -> None:
    stage = serving(on("old", "/x"))
    stage.held = {"new-2"}
    commit(stage, on("new", "/x", replicas=2, strategy={"maxUnavailable": 1}))
    run(stage)
    assert served(stage, "/x") == {"new-1"}


def test_a_route_moves_once_the_new_app_has_been_ready_for_min_ready_seconds() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, on("new", "/x", strategy={"minReadySeconds": 5}))
    stage.until(lambda: stage.statuses.get("new") and stage.statuses["new"].ready)
    ready_at = stage.state.replicas["new-1"].ready_at
    stage.until(lambda: served(stage, "/x") == {"new-1"})
    assert ready_at is not None
    assert stage.state.published.at == ready_at + 5
    assert never_fell(stage, "/x")


def test_only_the_routes_that_are_asked_for_again_stay_with_an_app_that_leaves() -> None:
    stage = serving(on("old", "/x", "/y"))
    commit(stage, on("new", "/x", image=SLOW))
    run(stage)
    assert (served(stage, "/x"), served(stage, "/y")) == ({"old-1"}, set())


def test_a_longer_path_and_another_host_are_other_routes() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, on("new", "/x/y", image=SLOW), on("other", routes=[{"path": "/x", "host": "a.example.com"}]))
    run(stage)
    assert served(stage, "/x") <= {"other-1"}
    assert stage.names("old") == []


def test_a_trailing_slash_makes_no_other_route() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, on("new", "/x/", image=SLOW))
    run(stage)
    assert served(stage, "/x") == {"old-1"}
    quicken(stage)
    stage.settle()
    assert served(stage, "/x/") == {"new-1"}


def test_the_default_route_of_a_renamed_app_may_be_kept_by_giving_it() -> None:
    stage = serving(version("old", replicas=1, terminationGracePeriodSeconds=2))
    commit(stage, on("new", "/old", image=SLOW))
    run(stage)
    assert served(stage, "/old") == {"old-1"}


def test_the_options_of_a_route_are_those_of_whoever_serves_it() -> None:
    def timed(name: str, seconds: int, **spec: Any) -> Version:
        return on(
            name, routes=[{"path": "/x", "stripPrefix": name == "new"}], edge={"readTimeoutSeconds": seconds}, **spec
        )

    stage = serving(timed("old", 7))
    commit(stage, timed("new", 8, image=SLOW))
    run(stage)
    (part,) = stage.state.published.table.apps
    assert (part.app_name, part.options.read_timeout_seconds, part.routes[0].strip_prefix) == ("old", 7, False)
    quicken(stage)
    stage.settle()
    (part,) = stage.state.published.table.apps
    assert (part.app_name, part.options.read_timeout_seconds, part.routes[0].strip_prefix) == ("new", 8, True)


def test_whoever_serves_until_then_does_so_without_its_unhealthy_replicas() -> None:
    stage = serving(on("old", "/x", replicas=3))
    commit(stage, on("new", "/x", image=SLOW))
    run(stage)
    stage.sicken("old-2")
    run(stage)
    assert served(stage, "/x") == {"old-1", "old-3"}


def test_an_old_app_that_is_gone_from_the_host_keeps_no_route() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, on("new", "/x", image=SLOW))
    run(stage)
    stage.remove("old-1")
    run(stage)
    assert "old" not in stage.state.apps
    assert "old" not in said(stage, "new")


def test_what_an_app_that_leaves_was_just_making_serves_nobody() -> None:
    stage = serving(on("old", "/x"))
    stage.held = {"old-2"}
    commit(stage, on("old", "/x", replicas=2))
    run(stage, 3)
    stage.held = set()
    commit(stage, on("new", "/x", image=SLOW))
    run(stage)
    assert served(stage, "/x") == {"old-1"}
    assert stage.names("old") == ["old-1"]


# -- a new app that does not come -------------------------------------------------------------------------------------


def test_a_route_stays_while_the_new_app_fails_for_good() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, on("new", "/x", image=SLOW, strategy={"progressDeadlineSeconds": 5}))
    run(stage, 40)
    assert served(stage, "/x") == {"old-1"}
    assert said(stage, "old") == "serves */x until new is ready"
    assert "not ready within 5 s" in said(stage, "new", "Degraded")


def test_a_new_app_that_is_to_have_no_replicas_is_not_waited_for() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, on("new", "/x", replicas=0))
    stage.settle()
    assert (served(stage, "/x"), stage.names("old")) == (set(), [])


def test_a_route_stays_while_the_new_app_is_suspended() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, on("new", "/x", suspend=True))
    run(stage)
    assert served(stage, "/x") == {"old-1"}
    commit(stage, on("new", "/x"))
    stage.settle()
    assert served(stage, "/x") == {"new-1"}
    assert never_fell(stage, "/x")


def test_a_route_stays_while_the_new_app_waits_for_another_one() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, on("new", "/x", dependsOn=["db"]), on("db", image=SLOW, type="tcp", routes=None))
    run(stage)
    assert served(stage, "/x") == {"old-1"}
    quicken(stage)
    stage.settle()
    assert served(stage, "/x") == {"new-1"}
    assert never_fell(stage, "/x")


def test_a_route_stays_while_nginx_refuses_the_new_app() -> None:
    stage = serving(on("old", "/x", "/y"), on("other", "/z"))
    stage.refused.add("new")
    commit(stage, on("new", "/x"), on("other", "/z"))
    run(stage, 20)
    assert (served(stage, "/x"), served(stage, "/y")) == ({"old-1"}, set())
    assert "no such variable" in said(stage, "new", "Degraded")
    stage.refused.clear()
    stage.settle()
    assert (served(stage, "/x"), stage.names("old")) == ({"new-1"}, [])
    assert never_fell(stage, "/x")


# -- a route handed from one app to another that stays ----------------------------------------------------------------


def test_a_route_handed_over_stays_with_an_app_that_goes_on_until_the_other_is_ready() -> None:
    stage = serving(on("old", "/x", "/y"))
    commit(stage, on("old", "/y"), on("new", "/x", image=SLOW))
    run(stage)
    assert (served(stage, "/x"), served(stage, "/y")) == ({"old-1"}, {"old-1"})
    assert said(stage, "old") == "serves */x until new is ready"
    assert not stage.statuses["old"].converged
    quicken(stage)
    stage.settle()
    assert (served(stage, "/x"), served(stage, "/y")) == ({"new-1"}, {"old-1"})
    assert never_fell(stage, "/x")
    assert never_fell(stage, "/y")


def test_an_app_that_keeps_a_route_is_rolled_out_meanwhile() -> None:
    stage = serving(on("old", "/x", "/y"))
    before = stage.hashes("old")
    commit(stage, on("old", "/y", image="demo:2"), on("new", "/x", image=SLOW))
    run(stage, 30)
    assert not stage.hashes("old") & before
    assert served(stage, "/x") == served(stage, "/y") != set()
    assert never_fell(stage, "/x")


def test_an_app_that_becomes_a_worker_goes_on_serving_until_the_one_with_its_route_is_ready() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, version("old", type="worker", replicas=1), on("new", "/x", image=SLOW))
    run(stage, 20)
    assert served(stage, "/x") == {"old-1"}
    quicken(stage)
    stage.settle()
    assert served(stage, "/x") == {"new-1"}
    assert never_fell(stage, "/x")


def test_two_apps_exchange_their_routes_in_one_publication() -> None:
    stage = serving(on("a", "/x"), on("b", "/y"))
    tables = len(stage.published)
    commit(stage, on("a", "/y"), on("b", "/x"))
    stage.settle()
    assert (served(stage, "/x"), served(stage, "/y")) == ({"b-1"}, {"a-1"})
    assert len(stage.published) == tables + 1


def test_an_app_gets_a_route_only_once_all_of_its_replicas_are_of_the_version_that_asks_for_it() -> None:
    stage = serving(on("old", "/x"), on("new", "/y", replicas=2))
    commit(stage, on("new", "/x", "/y", replicas=2, image=SLOW))
    run(stage)
    assert (served(stage, "/x"), served(stage, "/y")) == ({"old-1"}, {"new-1", "new-2"})
    quicken(stage)
    while served(stage, "/x") == {"old-1"}:
        stage.tick()
    assert {stage.state.replicas[name].spec_hash for name in served(stage, "/x")} == {
        stage.state.apps["new"].version.spec_hash
    }
    assert never_fell(stage, "/x")
    assert never_fell(stage, "/y")


def test_a_route_stays_while_the_version_that_asks_for_it_is_rolled_back() -> None:
    stage = serving(on("old", "/x"), on("new", "/y"))
    commit(stage, on("new", "/x", "/y", image=SLOW, strategy={"progressDeadlineSeconds": 5}))
    run(stage, 40)
    assert stage.state.apps["new"].failed
    assert (served(stage, "/x"), served(stage, "/y")) == ({"old-1"}, {"new-1"})
    commit(stage, on("new", "/x", "/y", image="demo:3"))
    stage.settle()
    assert served(stage, "/x") == served(stage, "/y") != set()
    assert "old" not in stage.state.apps
    assert never_fell(stage, "/x")


def test_a_canary_gets_no_route_of_another_app_before_it_is_promoted() -> None:
    canary = {"canary": {"weight": 50, "holdSeconds": 20}}
    stage = serving(on("old", "/x"), on("new", "/y", replicas=2))
    commit(stage, on("new", "/x", "/y", replicas=2, image="demo:2", strategy=canary))
    run(stage, 15)
    assert served(stage, "/x") == {"old-1"}


# -- routes that several ask for --------------------------------------------------------------------------------------


def test_a_route_stays_with_an_app_whose_broken_spec_keeps_its_last_good_one() -> None:
    stage = serving(on("old", "/x"))
    problem = Problem("old.yaml", 3, "spec", "a mess", "a spec", "old")
    stage.desired = desired(on("new", "/x", "/y", revision="r2"), revision="r2", problems=(problem,))
    run(stage)
    assert (served(stage, "/x"), served(stage, "/y")) == ({"old-1"}, {"new-1"})
    assert said(stage, "new") == "old serves */x, which several apps ask for"


def test_a_route_stays_with_an_app_whose_removal_waits_for_people() -> None:
    others = [on(name, f"/{name}") for name in "abcd"]
    stage = serving(on("old", "/x"), *others)
    commit(stage, on("new", "/x"))
    run(stage)
    assert served(stage, "/x") == {"old-1"}
    assert said(stage, "new") == "old serves */x, which several apps ask for"
    stage.settings = replace(stage.settings, confirmed_revision=stage.desired.revision)
    stage.settle()
    assert served(stage, "/x") == {"new-1"}
    assert never_fell(stage, "/x")


def test_a_route_that_a_rolled_back_app_asks_for_again_stays_with_who_has_got_it() -> None:
    stage = serving(on("old", "/x", "/y"))
    commit(stage, on("old", "/y", image=SLOW, strategy={"progressDeadlineSeconds": 8}), on("new", "/x"))
    run(stage, 40)
    assert stage.state.apps["old"].failed
    assert (served(stage, "/x"), served(stage, "/y")) == ({"new-1"}, {"old-1"})


# -- commit upon commit -----------------------------------------------------------------------------------------------


def test_a_route_handed_on_before_the_first_heir_was_ready_stays_with_the_first_app() -> None:
    stage = serving(on("a", "/x"))
    commit(stage, on("b", "/x", image=SLOW))
    run(stage, 4)
    commit(stage, on("c", "/x", image=SLOW, replicas=2))
    run(stage)
    assert served(stage, "/x") == {"a-1"}
    assert stage.names("b") == []
    quicken(stage)
    stage.settle()
    assert served(stage, "/x") == {"c-1", "c-2"}
    assert never_fell(stage, "/x")


def test_a_rename_taken_back_leaves_the_old_app_as_it_was() -> None:
    stage = serving(on("old", "/x"))
    tables, container = len(stage.published), stage.containers["old-1"].id
    commit(stage, on("new", "/x", image=SLOW))
    run(stage)
    commit(stage, on("old", "/x"))
    stage.settle()
    assert (served(stage, "/x"), stage.names("new")) == ({"old-1"}, [])
    assert (len(stage.published), stage.containers["old-1"].id) == (tables, container)


def test_a_rename_taken_back_while_the_old_app_drains_moves_the_route_back() -> None:
    stage = serving(on("old", "/x"))
    commit(stage, on("new", "/x"))
    stage.until(lambda: served(stage, "/x") == {"new-1"})
    container = stage.containers["old-1"].id
    commit(stage, on("old", "/x"))
    stage.settle()
    assert (served(stage, "/x"), stage.containers["old-1"].id) == ({"old-1"}, container)
    assert never_fell(stage, "/x")


def test_a_route_does_not_move_while_nginx_cannot_be_reached() -> None:
    stage = serving(on("old", "/x"))
    stage.down = True
    commit(stage, on("new", "/x"))
    run(stage, 20)
    assert stage.names("old") == ["old-1"]
    stage.down = False
    stage.settle()
    assert served(stage, "/x") == {"new-1"}


# -- volumes ----------------------------------------------------------------------------------------------------------


def beside(stage: Stage, one: str, other: str, most_ticks: int = 60) -> bool:
    """Whether there were ever containers of both apps at once, until all is as asked for."""
    for _ in range(most_ticks):
        stage.tick()
        if stage.names(one) and stage.names(other):
            return True
    return False


@pytest.mark.parametrize(
    ("volume", "other"),
    [
        ({"name": "data"}, {"name": "data"}),
        ({"hostPath": "/srv/data"}, {"hostPath": "/srv/data"}),
        ({"hostPath": "/srv"}, {"hostPath": "/srv/data"}),
        ({"hostPath": "/srv/data"}, {"hostPath": "/srv"}),
    ],
)
def test_of_two_that_write_to_one_volume_the_old_app_ends_first(volume: dict[str, str], other: dict[str, str]) -> None:
    stage = serving(on("old", "/x", volumes=[{"mountPath": "/data", **volume}]))
    commit(stage, on("new", "/x", volumes=[{"mountPath": "/var/data", **other}]))
    assert not beside(stage, "old", "new")
    assert served(stage, "/x") == {"new-1"}


@pytest.mark.parametrize(
    ("volume", "other"),
    [
        ({"name": "data"}, {"name": "other"}),
        ({"name": "data"}, {"name": "data", "readOnly": True}),
        ({"name": "data", "readOnly": True}, {"name": "data"}),
        ({"hostPath": "/srv/data"}, {"hostPath": "/srv/database"}),
        ({"hostPath": "/srv/data"}, {"name": "data"}),
    ],
)
def test_where_they_do_not_both_write_to_one_volume_the_route_does_not_fall(
    volume: dict[str, Any], other: dict[str, Any]
) -> None:
    stage = serving(on("old", "/x", volumes=[{"mountPath": "/data", **volume}]))
    commit(stage, on("new", "/x", volumes=[{"mountPath": "/data", **other}]))
    stage.settle()
    assert served(stage, "/x") == {"new-1"}
    assert never_fell(stage, "/x")


def test_the_plan_says_for_whose_end_a_new_writer_waits() -> None:
    stage = serving(on("old", "/x", volumes=DATA))
    commit(stage, on("new", "/x", volumes=DATA))
    stage.until(lambda: "stop routing to old-1" in stage.text() or served(stage, "/x") == set(), max_ticks=5)
    stage.tick()
    assert "waiting for old-1 to end first: both apps write to volume data" in stage.text()
    assert "waiting for old-1 to end first" in said(stage, "new", "Ready")


def test_the_old_writer_goes_on_until_its_end_is_all_that_is_missing() -> None:
    stage = serving(on("old", "/x", volumes=DATA))
    stage.held = {"image new:1 of new"}
    commit(stage, on("new", "/x", volumes=DATA, image="new:1"))
    run(stage, 20)
    assert served(stage, "/x") == {"old-1"}, "the image is still to come"
    stage.held = set()
    assert not beside(stage, "old", "new")
    assert served(stage, "/x") == {"new-1"}


def test_a_renamed_worker_that_writes_to_a_volume_ends_before_the_new_one_begins() -> None:
    stage = serving(version("old", type="worker", replicas=1, volumes=DATA))
    commit(stage, version("new", type="worker", replicas=1, volumes=DATA))
    assert not beside(stage, "old", "new")
    assert stage.names("new") == ["new-1"]


def test_an_app_is_healed_beside_another_one_that_shares_its_volume_and_whose_deletion_is_held_back() -> None:
    stage = serving(on("one", "/x", volumes=DATA), on("two", "/y", volumes=DATA))
    commit(stage)  # of nothing: both deletions are held back
    stage.tick()
    stage.remove("one-1")
    stage.until(lambda: stage.names("one") == ["one-1"], max_ticks=10)


def test_a_new_writer_waits_also_for_one_whose_deletion_is_held_back() -> None:
    names = [f"old-{letter}" for letter in "abcd"]
    stage = serving(*(on(name, f"/{name}", volumes=DATA) for name in names))
    commit(stage, on("new", "/x", volumes=DATA))
    run(stage, 20)
    assert stage.names("new") == []
    assert "waiting for old-a-1, old-b-1, old-c-1, old-d-1 to end first" in stage.text()
    assert "restart the controller with --confirm-deletions" in stage.text()


def test_an_app_that_gives_up_its_volume_is_rolled_out_before_another_one_gets_it() -> None:
    stage = serving(on("old", "/x", volumes=DATA))
    old = stage.hashes("old")
    commit(stage, on("old", "/y"), on("new", "/x", volumes=DATA))
    for _ in range(40):
        stage.tick()
        assert not (stage.names("new") and old & stage.hashes("old"))
    assert (served(stage, "/x"), served(stage, "/y")) == ({"new-1"}, {"old-2"})
    assert never_fell(stage, "/x")


def test_apps_that_are_both_asked_to_write_to_a_volume_do_not_wait_for_each_other() -> None:
    stage = serving(on("old", "/x", "/y", volumes=DATA))
    commit(stage, on("old", "/y", volumes=DATA), on("new", "/x", volumes=DATA))
    stage.settle()
    assert (served(stage, "/x"), served(stage, "/y")) == ({"new-1"}, {"old-1"})
    assert never_fell(stage, "/x")


def test_a_new_writer_waits_while_the_removal_of_the_old_one_waits_for_people() -> None:
    others = [on(name, f"/{name}") for name in "abcd"]
    stage = serving(on("old", "/x", volumes=DATA), *others)
    commit(stage, on("new", "/x", volumes=DATA))
    run(stage)
    assert (stage.names("old"), stage.names("new"), served(stage, "/x")) == (["old-1"], [], {"old-1"})
    stage.settings = replace(stage.settings, confirmed_revision=stage.desired.revision)
    assert not beside(stage, "old", "new")
    assert served(stage, "/x") == {"new-1"}


def test_whoever_writes_to_a_volume_already_is_scaled_while_another_writer_leaves() -> None:
    stage = serving(on("old", "/x", volumes=DATA), on("new", "/y", volumes=DATA))
    commit(stage, on("new", "/x", "/y", volumes=DATA, replicas=2))
    stage.tick()
    assert stage.names("new") == ["new-1", "new-2"]


def test_a_dependency_that_waits_for_a_volume_keeps_nobody_from_ending() -> None:
    stage = serving(on("old", "/x", volumes=DATA))
    db = version("db", type="tcp", replicas=1, volumes=DATA, ports=[{"containerPort": 5432}], health_check=None)
    commit(stage, on("new", "/x", dependsOn=["db"]), db)
    assert not beside(stage, "old", "db")
    assert served(stage, "/x") == {"new-1"}


def test_no_replica_of_a_new_writer_is_made_while_the_old_one_ends_slowly() -> None:
    stage = serving(on("old", "/x", volumes=DATA))
    stage.held = {"old-1"}
    commit(stage, on("new", "/x", volumes=DATA))
    actions = [action for _ in range(20) for action in stage.tick().actions]
    assert not any(isinstance(action, CreateReplica) for action in actions)
    assert any(isinstance(action, StopReplica) for action in actions)


# -- whatever is committed, and however quickly -----------------------------------------------------------------------

NAMES = ("a", "b", "c")


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)), st.booleans(), st.booleans(), st.integers(1, 8)
        ),
        min_size=2,
        max_size=6,
    )
)
def test_a_served_route_that_an_app_asks_for_is_served_by_exactly_one(
    commits: list[tuple[str, set[str], bool, bool, int]],
) -> None:
    """Of each commit: who is to have the route, who else is there, whether it is a new image that is slow, whether slow
    ones get ready, and for how long nothing else happens."""
    stage = serving(on("a", "/x"))
    for number, (owner, others, slow, quick, ticks) in enumerate(commits):
        image = f"slow:{number}" if slow else "demo:1"
        stage.broken = ({*stage.broken} if not quick else set()) | {image} - {"demo:1"}
        rest = [on(name, f"/{name}") for name in sorted(others - {owner})]
        commit(stage, on(owner, "/x", image=image), *rest)
        for _ in range(ticks):
            stage.tick()
            holders = [part for part in stage.state.published.table.apps if any(r.path == "/x" for r in part.routes)]
            assert [bool(part.live) for part in holders] == [True]
    stage.broken.clear()
    stage.until(lambda: all(status.converged for status in stage.statuses.values()))
    assert {name[0] for name in served(stage, "/x")} == {commits[-1][0]}

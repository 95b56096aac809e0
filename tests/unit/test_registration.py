"""Which apps there are, and which may go: bad input is never a deletion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.questions import last_desired
from reconciler.decide.state.apps import MOST_PROBLEMS_TOLD, register
from reconciler.model.desired import Desired, Problem
from reconciler.model.observed import Container, ContainerState, Inventory, Observed, Outage
from reconciler.model.plan import DecisionSettings
from reconciler.model.state import State
from tests.support.apps import desired, version
from tests.support.records import NOW, app_state
from tests.support.stage import NETWORK


def remembered(*names: str) -> State:
    return State({name: app_state(name, version=version(name)) for name in names}, revision="r1")


def asked(*names: str, revision: str = "r2", problems: tuple[Problem, ...] = ()) -> Desired:
    return desired(*(version(name, revision=revision) for name in names), revision=revision, problems=problems)


def observed(wanted: Desired, *containers: Container) -> Observed:
    return Observed(NOW, wanted, Inventory(containers, NETWORK))


SETTINGS = DecisionSettings()


def leaving(
    wanted: Desired, state: State, settings: DecisionSettings = SETTINGS, orphans: str = ""
) -> tuple[set[str], str]:
    containers = tuple(
        Container(f"id-{name}", f"{name}-1", name, 1, "abc", "r1", ContainerState.RUNNING) for name in orphans.split()
    )
    registration = register(observed(wanted, *containers), state, settings)
    return set(registration.leaving), registration.held_back


@pytest.mark.parametrize(
    ("there", "wanted", "going"),
    [
        ("a b", "a", "b"),
        ("a b c", "a", "b c"),
        ("a b c d", "a b", "c d"),
        ("a b c d", "a", ""),
        ("a", "", ""),
        ("a b", "", ""),
        ("a b", "c", "a b"),
        ("a b c d e", "a b c", "d e"),
        ("a b c d e", "a b", ""),
        ("", "", ""),
    ],
)
def test_more_absent_apps_than_the_deletion_budget_allows_wait_for_people(there: str, wanted: str, going: str) -> None:
    found, held_back = leaving(asked(*wanted.split()), remembered(*there.split()))
    assert found == set(going.split())
    assert bool(held_back) == (bool(set(there.split()) - set(wanted.split())) and not going)


@pytest.mark.parametrize(
    ("confirmed", "revision", "confirms"),
    [
        ("0123456789ab", "0123456789abcdef", True),
        ("0123456", "0123456789abcdef", True),
        ("012345", "0123456789abcdef", False),
        ("r2", "r2", True),
        ("other00", "0123456789abcdef", False),
        ("", "r2", False),
        (None, "r2", False),
    ],
)
def test_people_confirm_the_deletions_of_one_revision(confirmed: str | None, revision: str, confirms: bool) -> None:
    found, held_back = leaving(
        asked(revision=revision), remembered("a", "b"), DecisionSettings(confirmed_revision=confirmed)
    )
    assert (found == {"a", "b"}, held_back == "") == (confirms, confirms)


def test_a_broken_spec_file_takes_none_of_its_apps_away() -> None:
    by_name = Problem("elsewhere.yaml", 1, "spec", "a mess", "a spec", "a")
    by_file = Problem("b.yaml", 1, "", "a mess", "YAML")
    found, _ = leaving(asked("d", problems=(by_name, by_file)), remembered("a", "b", "c", "d"))
    assert found == {"c"}


def test_an_unknown_app_is_left_over_unless_its_file_may_be_the_broken_one() -> None:
    state = remembered("a", "b")
    assert leaving(asked("a", "b"), state, orphans="ghost")[0] == {"ghost"}
    problem = Problem("ghost.yaml", 1, "", "a mess", "YAML")
    assert leaving(asked("a", "b", problems=(problem,)), state, orphans="ghost")[0] == set()


def test_a_lost_database_and_an_empty_directory_take_nothing_away() -> None:
    found, held_back = leaving(asked(), State(), orphans="a b c")
    assert found == set()
    assert "3 of 3 apps are absent from revision r2 (a, b, c)" in held_back


def test_a_long_list_of_held_back_deletions_names_the_first_ten() -> None:
    names = [f"app-{number:02}" for number in range(1, 12)]
    _, of_ten = leaving(asked(), remembered(*names[:10]))
    _, of_eleven = leaving(asked(), remembered(*names))
    assert f"({', '.join(names[:10])})" in of_ten
    assert f"({', '.join(names[:10])}, …)" in of_eleven


def test_the_last_desired_state_leaves_out_apps_that_were_on_their_way_out() -> None:
    registration = register(observed(asked("a", "b")), remembered("a", "b", "c"), SETTINGS)
    again = last_desired(registration.state)
    assert again.apps.keys() == {"a", "b"}
    assert leaving(again, registration.state) == ({"c"}, "")


def test_another_commit_that_changes_no_spec_tells_nothing_of_the_apps() -> None:
    registration = register(observed(asked("a")), remembered("a"), SETTINGS)
    assert [event.message for event in registration.events] == ["revision r2 applied"]
    assert registration.state.apps["a"].version.revision == "r2"


def test_a_revision_that_was_applied_is_told_once() -> None:
    registration = register(observed(asked("a")), remembered("a"), SETTINGS)
    assert register(observed(asked("a")), registration.state, SETTINGS).events == ()


def test_more_of_an_app_that_is_scaled_by_load_may_have_been_there_before_us() -> None:
    auto = version("web", replicas=None, scaling={"minReplicas": 1, "maxReplicas": 3})
    seen = tuple(
        Container(f"id{slot}", f"web-{slot}", "web", slot, auto.spec_hash, "r1", ContainerState.RUNNING)
        for slot in range(1, 6)
    )
    for there, kept in ((0, 1), (2, 2), (5, 3)):
        registration = register(observed(desired(auto), *seen[:there]), State(), SETTINGS)
        assert registration.state.apps["web"].count == kept


def test_containers_of_unknown_apps_stay_while_the_source_cannot_be_read() -> None:
    seen = observed(last_desired(State()), Container("id-1", "web-1", "web", 1, "abc", "r1", ContainerState.RUNNING))
    unread = replace(seen, outages=(Outage("source", "the host is down"),))
    known = remembered("api", "shop", "jobs")
    unread = replace(unread, desired=last_desired(known))
    assert register(unread, known, SETTINGS).leaving == frozenset()
    for outages in ((), (Outage("edge", "nginx does not answer"),)):
        assert register(replace(unread, outages=outages), known, SETTINGS).leaving == {"web"}


def test_an_app_that_comes_back_broken_is_not_absent_any_more() -> None:
    gone = register(observed(asked("b", "c")), remembered("a", "b", "c"), SETTINGS).state
    assert gone.apps["a"].missing_since is not None
    problem = Problem("a.yaml", 1, "spec", "a mess", "a spec", "a")
    broken = register(observed(asked("b", "c", revision="r3", problems=(problem,))), gone, SETTINGS).state
    assert broken.apps["a"].missing_since is None
    assert "a" in last_desired(broken).apps, "it is asked for also when the source can't be read"


def test_an_app_that_is_found_running_goes_on_with_the_defaults_of_containers_of_its_own_spec_hash() -> None:
    web = version("web")
    hashes = (web.spec_hash, "000000000000", "ffffffffffff", web.spec_hash)
    seen = tuple(
        Container(f"id{slot}", f"web-{slot}", "web", slot, spec_hash, "r1", ContainerState.RUNNING, defaults=10 - slot)
        for slot, spec_hash in enumerate(hashes)
    )
    registration = register(observed(desired(web), *seen), State(), SETTINGS)
    assert registration.state.apps["web"].version.defaults == 7
    registration = register(observed(desired(web), *seen[1:3]), State(), SETTINGS)
    assert registration.state.apps["web"].version.defaults == web.defaults


def test_a_broken_spec_is_told_when_it_breaks_and_when_it_is_mended() -> None:
    problem = Problem("a.yaml", 1, "spec", "a mess", "a spec", "a")
    broken = register(observed(asked("b", "c", problems=(problem,))), remembered("a", "b", "c"), SETTINGS)
    told = [(event.type, event.app_name, event.message) for event in broken.events]
    assert ("source", "a", "problem: a.yaml:1: spec: found a mess; expected a spec") in told
    again = register(observed(asked("b", "c", problems=(problem,))), broken.state, SETTINGS)
    assert again.events == ()
    unread = replace(observed(last_desired(broken.state)), outages=(Outage("source", "the host is down"),))
    assert register(unread, broken.state, SETTINGS).events == ()
    mended = register(observed(asked("a", "b", "c")), broken.state, SETTINGS)
    assert [event.message for event in mended.events] == ["mended: a.yaml:1: spec: found a mess; expected a spec"]


def test_of_many_problems_the_first_are_told_and_how_many_there_are_besides() -> None:
    problems = tuple(Problem("a.yaml", line, "spec", "a mess", "a spec") for line in range(1, MOST_PROBLEMS_TOLD + 3))
    events = register(observed(asked("a", problems=problems)), remembered("a"), SETTINGS).events
    assert sum(event.message.startswith("problem: ") for event in events) == MOST_PROBLEMS_TOLD
    assert events[-1].message == "and 2 more problems, new or mended: see status"


def test_a_deletion_that_is_held_back_is_told_once_and_again_when_it_is_off() -> None:
    names = ("a", "b", "c", "d")
    held = register(observed(asked("a")), remembered(*names), SETTINGS)
    assert [event.message for event in held.events if "--confirm-deletions" in event.message] == [held.held_back]
    assert register(observed(asked("a")), held.state, SETTINGS).events == ()
    back = register(observed(asked(*names)), held.state, SETTINGS)
    assert [(event.app_name, event.message) for event in back.events] == [
        (name, "its spec is in the source again") for name in names[1:]
    ]


def test_a_rewritten_branch_is_told_once() -> None:
    wanted = replace(asked("a"), rewritten="branch main was rewritten")
    told = register(observed(wanted), remembered("a"), SETTINGS)
    assert "branch main was rewritten" in [event.message for event in told.events]
    assert register(observed(wanted), told.state, SETTINGS).events == ()


def test_a_problem_that_only_moved_to_another_line_is_no_news() -> None:
    problem = Problem("a.yaml", 1, "spec", "a mess", "a spec", "a")
    broken = register(observed(asked("b", "c", problems=(problem,))), remembered("a", "b", "c"), SETTINGS).state
    moved = replace(problem, line=9)
    assert register(observed(asked("b", "c", problems=(moved,))), broken, SETTINGS).events == ()

"""Whose turn it is: which of the actions that wait begins next."""

from __future__ import annotations

import pytest

from reconciler.model.actions import EnsureImage, RemoveReplica, StartReplica
from reconciler.model.image import registry_of
from reconciler.turns import Turns
from tests.support.apps import version


def start(app_name: str, slot: int = 1) -> StartReplica:
    return StartReplica(app_name, f"{app_name}-{slot}", f"id of {app_name}-{slot}", "test")


def removal(app_name: str, slot: int = 1) -> RemoveReplica:
    return RemoveReplica(app_name, f"{app_name}-{slot}", f"id of {app_name}-{slot}", "test")


def pull(app_name: str, image: str) -> EnsureImage:
    return EnsureImage(app_name, version(app_name, image=image), "test")


def begun(turns: Turns) -> list[str]:
    """All that may begin now, in the order in which they do."""
    keys = []
    while action := turns.next():
        keys.append(action.key)
    return keys


def turns_of(*actions: StartReplica | RemoveReplica | EnsureImage, places: int = 4) -> Turns:
    turns = Turns(places)
    for action in actions:
        turns.add(action)
    return turns


def test_no_app_takes_the_last_place_so_that_another_need_not_wait_for_it() -> None:
    turns = turns_of(*(start("slow", slot) for slot in range(1, 9)))
    assert begun(turns) == ["slow-1", "slow-2", "slow-3"]
    turns.add(start("web"))
    assert begun(turns) == ["web-1"]


def test_where_there_is_one_place_an_app_may_take_it() -> None:
    first = start("a")
    turns = turns_of(first, start("b"), places=1)
    assert begun(turns) == ["a-1"]
    turns.ended(first)
    assert begun(turns) == ["b-1"]


def test_turns_go_round_by_app() -> None:
    turns = turns_of(*(start("a", slot) for slot in (1, 2, 3)), start("b"), start("c"), places=3)
    assert begun(turns) == ["a-1", "b-1", "c-1"]


def test_an_app_that_has_lost_replicas_comes_first() -> None:
    turns = turns_of(start("a"), start("b"), start("c"), start("d"), places=2)
    turns.urgent = {"d"}
    assert begun(turns) == ["d-1", "a-1"]


def test_removals_take_no_place_of_what_starts() -> None:
    turns = turns_of(removal("a"), removal("b"), start("c"), places=2)
    assert begun(turns) == ["a-1", "b-1", "c-1"]


def test_a_registry_that_hangs_holds_up_its_own_images_alone() -> None:
    slow = [pull(name, f"slow.example/{name}:1") for name in "abcde"]
    turns = turns_of(*slow, pull("web", "registry.example:5000/web:1"), pull("hub", "hub/image:1"))
    assert begun(turns) == [
        *(f"image slow.example/{name}:1 of {name}" for name in "abc"),
        "image registry.example:5000/web:1 of web",
        "image hub/image:1 of hub",
    ]
    assert turns.queue() == {"image slow.example/d:1 of d": 3, "image slow.example/e:1 of e": 4}


def test_it_is_known_how_many_come_before_an_action_that_waits() -> None:
    first = start("a")
    turns = turns_of(first, start("b"), start("c"), start("c", 2), removal("d"), places=2)
    begun(turns)
    assert turns.queue() == {"c-1": 2, "c-2": 3}
    turns.ended(first)
    begun(turns)
    assert turns.queue() == {"c-2": 2}


def test_an_end_that_is_told_late_takes_no_place_from_the_next_action_of_its_key() -> None:
    """An outcome may be collected, and followed by another action on the same replica, before the thread has told."""
    first, next_one = start("a"), start("a")
    turns = turns_of(first, places=3)
    begun(turns)
    turns.add(next_one)
    assert begun(turns) == ["a-1"]
    turns.ended(first)
    assert turns.in_flight == (next_one,)
    turns.ended(next_one)
    assert turns.in_flight == ()


def test_nothing_begins_once_the_end_is_near() -> None:
    turns = turns_of(start("a"))
    turns.close()
    assert (begun(turns), turns.in_flight) == ([], ())


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("demo:1", "docker.io"),
        ("hub/demo:1", "docker.io"),
        ("docker.io/library/demo", "docker.io"),
        ("127.0.0.1:5000/demo:1", "127.0.0.1:5000"),
        ("registry.example/a/b@sha256:00", "registry.example"),
        ("localhost/demo", "localhost"),
    ],
)
def test_a_registry_is_known_by_what_a_reference_begins_with(reference: str, registry: str) -> None:
    assert registry_of(reference) == registry

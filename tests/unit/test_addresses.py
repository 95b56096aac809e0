"""Which slot and address a new replica gets."""

from __future__ import annotations

from reconciler.decide.addresses import Addresses, free_slots, next_address
from reconciler.model.desired import Desired
from reconciler.model.observed import Container, ContainerState, Inventory, Network, Observed
from reconciler.model.state import State
from tests.support.records import replica_state

SMALL = Network("orchestry", "10.0.0.2", "10.0.0.5")


def addresses(*used: str, foreign: frozenset[str] = frozenset(), kept: str = "", last: str = "") -> Addresses:
    running = ContainerState.RUNNING
    containers = tuple(
        Container(f"id{n}", f"web-{n}", "web", n, "abc", "r1", running, address) for n, address in enumerate(used, 1)
    )
    replicas = {"web-9": replica_state("web-9", address=kept, container_id="")} if kept else {}
    observed = Observed(0.0, Desired("r1", {}), Inventory(containers, SMALL, foreign_addresses=foreign))
    return Addresses(observed, State(replicas=replicas, last_address=last))


def test_addresses_are_given_one_after_the_other_and_then_from_the_start() -> None:
    assert next_address(SMALL, set(), "") == "10.0.0.2"
    assert next_address(SMALL, set(), "10.0.0.3") == "10.0.0.4"
    assert next_address(SMALL, {"10.0.0.4"}, "10.0.0.3") == "10.0.0.5"
    assert next_address(SMALL, {"10.0.0.4", "10.0.0.5"}, "10.0.0.3") == "10.0.0.2"
    assert next_address(SMALL, set(), "192.168.0.1") == "10.0.0.2", "the network is another one now"
    assert next_address(SMALL, {f"10.0.0.{n}" for n in range(2, 6)}, "") is None


def test_a_slot_gets_back_the_address_it_had() -> None:
    assert addresses("10.0.0.2", kept="10.0.0.4", last="10.0.0.4").take("10.0.0.4") == "10.0.0.4"


def test_an_address_that_somebody_else_took_or_of_another_network_is_given_up() -> None:
    assert addresses(kept="10.0.0.4", foreign=frozenset({"10.0.0.4"})).take("10.0.0.4") == "10.0.0.2"
    assert addresses(kept="172.16.0.9").take("172.16.0.9") == "10.0.0.2"


def test_no_two_replicas_get_the_same_address_and_empty_slots_keep_theirs() -> None:
    given = addresses("10.0.0.2", kept="10.0.0.3")
    assert [given.take(""), given.take(""), given.take("")] == ["10.0.0.4", "10.0.0.5", None]
    assert given.last == "10.0.0.5"


def test_new_replicas_get_the_lowest_free_slots_whose_names_are_free() -> None:
    name_of = "test-web-{}".format
    assert free_slots(3, {1, 4}, name_of, {"test-web-2", "web-3"}) == [3, 5, 6]


def test_a_network_without_an_address_left_is_told_with_what_takes_them_and_what_helps() -> None:
    told = addresses("10.0.0.2", foreign=frozenset({"10.0.0.3", "172.16.0.9"})).none_left
    assert told.startswith(
        "no address is left on network orchestry: the 4 that replicas may have (10.0.0.2 to 10.0.0.5)"
    )
    assert "1 of them by containers that are not ours" in told
    assert "--network" in told

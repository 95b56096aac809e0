"""Which addresses of a network are ours to give."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.runtime.network import fixed_addresses


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        # Ours: the gateway first, the last quarter for others.
        (
            {"Subnet": "172.18.0.0/16", "IPRange": "172.18.192.0/18", "Gateway": "172.18.0.1"},
            ("172.18.0.2", "172.18.191.255"),
        ),
        ({"Subnet": "10.1.2.0/28", "IPRange": "10.1.2.12/30", "Gateway": "10.1.2.1"}, ("10.1.2.2", "10.1.2.11")),
        # People's own.
        ({"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.1"}, ("10.1.0.128", "10.1.0.254")),
        ({"Subnet": "10.1.0.0/24"}, ("10.1.0.128", "10.1.0.254")),
        ({"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.254"}, ("10.1.0.128", "10.1.0.253")),
        ({"Subnet": "10.1.0.0/24", "IPRange": "10.1.0.0/25"}, ("10.1.0.128", "10.1.0.254")),
        ({"Subnet": "10.1.0.0/24", "IPRange": "10.1.0.64/26"}, ("10.1.0.128", "10.1.0.254")),
        (
            {"Subnet": "10.1.0.0/24", "IPRange": "10.1.0.0/26", "AuxiliaryAddresses": {"router": "10.1.0.250"}},
            ("10.1.0.64", "10.1.0.249"),
        ),
        ({"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.1/24"}, ("10.1.0.128", "10.1.0.254")),
    ],
)
def test_our_addresses_are_the_longest_run_that_nobody_else_gives_away(
    pool: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert fixed_addresses([pool]) == expected


def test_an_ipv6_pool_of_a_network_is_passed_over() -> None:
    pools = [{"Subnet": "fd00::/64"}, {"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.1"}]
    assert fixed_addresses(pools) == ("10.1.0.128", "10.1.0.254")


@pytest.mark.parametrize("pools", [[], [{}], [{"Subnet": "fd00::/64"}]])
def test_a_network_without_an_ipv4_subnet_has_no_address_to_give(pools: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="has no IPv4 subnet"):
        fixed_addresses(pools)


@pytest.mark.parametrize("pool", [{"Subnet": "10.1.0.0/32"}, {"Subnet": "10.1.0.0/24", "IPRange": "10.1.0.0/24"}])
def test_a_full_subnet_is_said_to_be_one(pool: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="leaves no address"):
        fixed_addresses([pool])


@given(st.integers(0, 2**32 - 1), st.integers(8, 30), st.data())
def test_no_address_of_a_network_is_ours_and_somebody_elses(number: int, prefix: int, data: st.DataObject) -> None:
    subnet = ipaddress.IPv4Network((number, prefix), strict=False)
    inside = st.integers(int(subnet.network_address), int(subnet.broadcast_address)).map(ipaddress.IPv4Address)
    gateway = data.draw(inside)
    quarter = data.draw(st.sampled_from(list(subnet.subnets(prefixlen_diff=2))))
    auxiliary = data.draw(inside)
    pool = {
        "Subnet": str(subnet),
        "Gateway": str(gateway),
        "IPRange": str(quarter),
        "AuxiliaryAddresses": {"a": str(auxiliary)},
    }
    try:
        first, last = map(ipaddress.IPv4Address, fixed_addresses([pool]))
    except ValueError:
        assert subnet.num_addresses <= 8
        return
    assert subnet.network_address < first <= last < subnet.broadcast_address
    for taken in (gateway, auxiliary, quarter.network_address, quarter.broadcast_address):
        assert not first <= taken <= last

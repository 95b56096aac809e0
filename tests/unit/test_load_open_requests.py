"""Requests in flight, as the edge counts them."""

from __future__ import annotations

from reconciler.load.open_requests import OpenRequests

_ADDRESSES = {"web": ["10.0.0.1", "10.0.0.2"], "shop": ["10.0.0.3"]}
_SPANS = {"web": 60.0, "shop": 60.0}


def test_the_requests_in_flight_of_an_app_are_the_mean_of_its_counts() -> None:
    counts = iter([{"10.0.0.1": 4, "10.0.0.2:8080": 0}, {"10.0.0.1": 8, "10.0.0.2:8080": 2}])
    open_requests = OpenRequests(lambda: next(counts))
    open_requests.look(_ADDRESSES, _SPANS)
    open_requests.look(_ADDRESSES, _SPANS)
    assert open_requests.of_app("web") == 7


def test_requests_in_flight_that_the_edge_cannot_tell_are_unknown_and_not_zero() -> None:
    open_requests = OpenRequests(lambda: {"10.0.0.1": 4})
    open_requests.look(_ADDRESSES, _SPANS)
    assert open_requests.of_app("shop") is None
    assert open_requests.of_app("web") == 4  # its other replica gets no requests yet


def test_requests_in_flight_are_unknown_where_the_edge_counts_none() -> None:
    for open_requests in (OpenRequests(None), OpenRequests(dict)):
        open_requests.look(_ADDRESSES, _SPANS)
        assert open_requests.of_app("web") is None


def test_only_counts_of_requests_in_flight_within_the_span_matter() -> None:
    counts = iter([{"10.0.0.1": 100}, {"10.0.0.1": 2}])
    open_requests = OpenRequests(lambda: next(counts))
    open_requests.look(_ADDRESSES, _SPANS)
    open_requests.look(_ADDRESSES, {"web": 0.0, "shop": 0.0})
    assert open_requests.of_app("web") == 2

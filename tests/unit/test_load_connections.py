"""Requests in flight, as the edge counts them."""

from __future__ import annotations

from reconciler.load.connections import Connections

_ADDRESSES = {"web": ["10.0.0.1", "10.0.0.2"], "shop": ["10.0.0.3"]}
_SPANS = {"web": 60.0, "shop": 60.0}


def test_the_mean_of_an_app() -> None:
    counts = iter([{"10.0.0.1": 4, "10.0.0.2:8080": 0}, {"10.0.0.1": 8, "10.0.0.2:8080": 2}])
    connections = Connections(lambda: next(counts))
    connections.look(_ADDRESSES, _SPANS)
    connections.look(_ADDRESSES, _SPANS)
    assert connections.of_app("web") == 7


def test_what_the_edge_cannot_tell_is_unknown_and_not_zero() -> None:
    connections = Connections(lambda: {"10.0.0.1": 4})
    connections.look(_ADDRESSES, _SPANS)
    assert connections.of_app("shop") is None
    assert connections.of_app("web") == 4  # its other replica gets no requests yet


def test_an_edge_that_counts_nothing() -> None:
    for connections in (Connections(None), Connections(dict)):
        connections.look(_ADDRESSES, _SPANS)
        assert connections.of_app("web") is None


def test_only_the_span_counts() -> None:
    counts = iter([{"10.0.0.1": 100}, {"10.0.0.1": 2}])
    connections = Connections(lambda: next(counts))
    connections.look(_ADDRESSES, _SPANS)
    connections.look(_ADDRESSES, {"web": 0.0, "shop": 0.0})
    assert connections.of_app("web") == 2

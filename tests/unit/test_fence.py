"""The door to the Engine, which nothing that changes anything passes unasked."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests

from reconciler.runtime.client import BoundedClient
from tests.support.tcp import unused_port


class Asked(Exception):
    """The fence was asked."""


def refuse() -> None:
    raise Asked


@pytest.fixture
def engine() -> Iterator[socket.socket]:
    """What takes connections, and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def client_of(engine: socket.socket) -> BoundedClient:
    return BoundedClient(base_url=f"http://127.0.0.1:{engine.getsockname()[1]}", version="1.43", fence=refuse)


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
@pytest.mark.parametrize("body", [None, b"x" * 100_000])
def test_of_a_request_that_changes_something_nothing_is_sent_unasked(
    engine: socket.socket, method: str, body: bytes | None
) -> None:
    with closing(client_of(engine)) as client, pytest.raises(Asked):
        getattr(client, method)(f"{client.base_url}/containers/web-1", data=body)
    connection, _ = engine.accept()
    with connection:
        assert connection.recv(1) == b"", "it was made, and nothing was written"


def test_whatever_call_it_is_that_changes_something_the_fence_is_asked(engine: socket.socket) -> None:
    with closing(client_of(engine)) as client:
        for call in (client.kill, client.stop, client.remove_container, client.remove_network):
            with pytest.raises(Asked):
                call("web-1")
        with pytest.raises(Asked):
            client.put_archive("web-1", "/", b"x")


def test_a_request_that_only_looks_asks_nobody() -> None:
    address = f"http://127.0.0.1:{unused_port()}"
    client = BoundedClient(base_url=address, version="1.43", fence=refuse)
    with closing(client), pytest.raises(requests.ConnectionError):
        client.containers()

"""The door to the Engine, which nothing that changes anything passes unasked."""

from __future__ import annotations

from contextlib import closing

import pytest
import requests

from reconciler.runtime.client import BoundedClient
from tests.support.tcp import unused_port


class Asked(Exception):
    """The fence was asked."""


def refuse() -> None:
    raise Asked


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_a_request_that_changes_something_is_not_sent_unasked(method: str) -> None:
    address = f"http://127.0.0.1:{unused_port()}"
    with closing(BoundedClient(base_url=address, version="1.43", fence=refuse)) as client, pytest.raises(Asked):
        getattr(client, method)(f"{address}/containers/web-1")


def test_a_request_that_only_looks_asks_nobody() -> None:
    address = f"http://127.0.0.1:{unused_port()}"
    with closing(BoundedClient(base_url=address, version="1.43", fence=refuse)) as client:
        with pytest.raises(requests.ConnectionError):
            client.containers()
        with pytest.raises(Asked):
            client.kill("web-1")

"""One HTTP request to a container, over a connection of its own."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]


def serves(address: str | None) -> bool:
    """Whether it answers already."""
    try:
        return fetch(address, "/").status == 200
    except OSError:
        return False


def fetch(address: str | None, target: str, *, body: bytes | None = None, port: int = 8080) -> Answer:
    """The answer. Raises OSError or HTTPException where there is none."""
    assert address is not None
    connection = http.client.HTTPConnection(address, port, timeout=20)
    try:
        connection.request("GET" if body is None else "POST", target, body=body)
        response = connection.getresponse()
        return Answer(response.status, response.read(), dict(response.getheaders()))
    finally:
        connection.close()

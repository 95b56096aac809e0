"""One front for each way to run nginx, with Lua and without; the suite runs on every one.

Containers are slow to start, so theirs are shared by all tests of a run. Nothing else depends on what a test left:
each publishes a table of its own, and leaves no request in flight.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.nginx import Front, front
from tests.support.replicas import Replica, replicas

_ENGINE = pytest.mark.engine
WAYS = [
    pytest.param(("process", "auto"), id="process-lua"),
    pytest.param(("process", "off"), id="process-stock"),
    pytest.param(("external", "auto"), id="external-lua"),
    pytest.param(("external", "off"), id="external-stock"),
    pytest.param(("container", "auto"), id="container-lua", marks=_ENGINE),
    pytest.param(("container", "off"), id="container-stock", marks=_ENGINE),
]


@pytest.fixture(scope="session")
def _containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with ExitStack() as stack:
        made: dict[str, Front] = {}

        def container(lua: Any) -> Front:
            if lua not in made:
                directory = tmp_path_factory.mktemp(f"container-{lua}")
                settings = {"lua": lua, "secrets_dir": directory / "secrets"}
                made[lua] = stack.enter_context(front("container", directory, **settings))
            return made[lua]

        yield container


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    """An nginx in each way."""
    mode, lua = request.param
    if mode == "container":
        shared = request.getfixturevalue("_containers")(lua)
        yield shared
        shared.settle()
        return
    with front(mode, tmp_path, lua=lua, secrets_dir=tmp_path / "secrets") as made:
        yield made


@pytest.fixture
def two(way: Front) -> Iterator[list[Replica]]:
    """Two replicas, where this nginx reaches them."""
    with replicas("web-1", "web-2", addresses=way.replica_addresses) as running:
        yield running


@pytest.fixture
def three(way: Front) -> Iterator[list[Replica]]:
    """Three replicas, where this nginx reaches them."""
    addresses = (*way.replica_addresses, *way.replica_addresses[:1])
    with replicas("web-1", "web-2", "web-3", addresses=addresses) as running:
        yield running

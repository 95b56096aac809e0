"""Engine, nginx and git are real in end-to-end tests, and so is the controller process.

``site`` is a test's own, with nothing running; ``shared`` is a module's, with its controller running: tests that don't
disturb each other take it, each with apps of names of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import demo_image
from tests.support.site import Site
from tests.support.site import site as make_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with make_site(tmp_path) as here:
        yield here


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    demo_image("2")
    with make_site(tmp_path_factory.mktemp("site")) as here:
        here.start()
        yield here

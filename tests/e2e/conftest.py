"""Every end-to-end test gets a site of its own: Engine, nginx and git are real, and so is the controller process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.site import Site
from tests.support.site import site as make_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with make_site(tmp_path) as here:
        yield here

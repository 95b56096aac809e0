"""What a newcomer does first: `deploy/quickstart`, on a machine where nothing is missing any more."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import playground
from tests.support.site import ORCHESTRY
from tests.support.tcp import unused_port

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

_TOP = Path(__file__).parents[2]
_TIMEOUT_SECONDS = 150


@pytest.fixture
def options(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Options that keep the run apart from everything else on this machine; afterwards nothing of it is left."""
    with playground() as place:
        given = (f"--instance={place.instance}", "--state-dir", str(tmp_path))
        yield (*given, "--edge-port", str(unused_port()))
        subprocess.run([ORCHESTRY, "teardown", "--yes", *given], check=True, timeout=_TIMEOUT_SECONDS)


def test_the_quickstart_leaves_once_everything_serves_and_may_be_repeated(options: tuple[str, ...]) -> None:
    first, second = _quickstart(options), _quickstart(options)
    for said in (first, second):
        assert re.search(r"^web +2/2 +2 ", said, re.MULTILINE)
        assert re.search(r"^GET http://127\.0\.0\.1:\d+/web\norchestry-demo 1 from [0-9a-f]{12}", said, re.MULTILINE)


def _quickstart(options: tuple[str, ...]) -> str:
    command = [_TOP / "deploy" / "quickstart", "--until-converged", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout

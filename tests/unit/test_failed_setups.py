"""A set-up that fails: told once, not tried again, and in nobody's way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TREE = """
    import pytest

    tries = []

    @pytest.fixture(scope="session")
    def server():
        tries.append("server")
        raise OSError("the server is down")

    @pytest.fixture
    def database(server):
        pass

    @pytest.fixture(params=["well", "ill"])
    def engine(request):
        tries.append(request.param)
        if request.param == "ill":
            raise OSError("the engine is ill")

    def test_needs_the_server(server):
        pass

    def test_needs_it_through_another_fixture(database):
        pass

    def test_needs_it_only_then(request):
        with pytest.raises(pytest.fail.Exception, match="server could not be set up"):
            request.getfixturevalue("server")

    def test_needs_an_engine(engine):
        pass

    def test_needs_an_engine_too(engine):
        pass

    def test_needs_nothing():
        assert tries == ["server", "well", "ill", "well"]
"""


def test_a_setup_that_fails_is_told_once_and_hides_no_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makepyfile(TREE)
    plugins = ("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "tests.support.failed_setups")
    run = pytester.runpytest_subprocess(*plugins, timeout=60)
    run.assert_outcomes(passed=4, errors=4)
    said = run.stdout.str().partition("short test summary")[0]
    assert re.findall("^E +(.+)", said, re.MULTILINE) == ["OSError: the server is down", "OSError: the engine is ill"]
    assert re.findall("^(.+) could not be set up, as .+::(.+) tells", said, re.MULTILINE) == [
        ("server", "test_needs_the_server"),
        ("engine", "test_needs_an_engine[ill]"),
    ]

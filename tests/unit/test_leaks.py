"""The guard against leaks: whatever a test leaves behind is told of that test, and its neighbours pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TREE = """
    import socket, subprocess, threading, pytest

    never = threading.Event()

    class Cycle:
        def __init__(self):
            self.itself, self.socket = self, socket.socket()

    @pytest.fixture
    def forgotten():
        return socket.socket()

    @pytest.fixture
    def left_in_teardown():
        yield
        left = socket.socket()
        raise ValueError("the teardown failed")

    def test_fails_with_a_socket_open():
        left = socket.socket()
        assert left is None

    def test_leaves_a_socket_in_a_cycle():
        Cycle()

    def test_leaves_its_fixtures_socket(forgotten):
        pass

    def test_fails_in_teardown_with_a_socket_open(left_in_teardown):
        pass

    def test_leaves_a_process():
        subprocess.Popen(["sleep", "0.01"])

    def test_leaves_a_thread():
        threading.Thread(target=never.wait, name="lingering", daemon=True).start()

    def test_is_innocent():
        never.set()
"""


def test_a_leak_is_an_error_of_the_test_that_leaked(guarded: Guarded) -> None:
    run = guarded(TREE, "from tests.support import leaks; leaks._PATIENCE_SECONDS = 0.0")
    run.assert_outcomes(passed=5, failed=2, errors=5)
    said = run.stdout.str()
    assert said.count("this test left behind: ResourceWarning: unclosed <socket.socket") == 4
    assert "subprocess" in said
    assert "this test left a thread running: lingering" in said
    assert "the teardown failed" in said
    assert "at teardown of test_is_innocent" not in said


def test_a_thread_that_is_about_to_end_is_no_leak(guarded: Guarded) -> None:
    tree = """
        import threading, time

        def test_ends_soon():
            threading.Thread(target=time.sleep, args=(0.1,)).start()
    """
    guarded(tree).assert_outcomes(passed=1)


Guarded = Callable[..., pytest.RunResult]


@pytest.fixture
def guarded(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Guarded:
    """Runs tests in a process of their own, since pytest's own record of a run within this one keeps what leaked."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    def run(tree: str, conftest: str = "") -> pytest.RunResult:
        pytester.makepyfile(tree)
        pytester.makeconftest(conftest)
        plugins = ("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "tests.support.leaks")
        arguments = ("-W", "error", "-rN", *plugins)  # no summary: where CI is set it says every error once more
        return pytester.runpytest_subprocess(*arguments, timeout=60)

    return run

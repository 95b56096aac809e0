"""A pytest plugin: what a test leaves open or running is an error of that test, and of no other.

Python warns of a forgotten socket, file or process only when it collects it. That may be many tests later, and of a
failing test never before the next one begins, since the last traceback is kept with all its locals. So at the end of
each test that traceback is forgotten, the test's threads are waited for, and everything is collected. What survives is
set aside for good: the next collection then looks through nothing but what the next test made, and takes a fifth of a
millisecond instead of a hundred.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

_PATIENCE_SECONDS = 20.0  # which only a leak ever reaches
_EARLIER_THREADS = pytest.StashKey[frozenset[threading.Thread]]()


def pytest_collection_finish() -> None:
    """Whatever was imported is nobody's leak."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[_EARLIER_THREADS] = frozenset(threading.enumerate())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        for leak in _leaks(item, error):
            error.add_note(leak)
        raise
    if leaks := _leaks(item):
        pytest.fail("\n".join(leaks), pytrace=False)


def pytest_sessionfinish() -> None:
    """What was set aside counts again: nothing may be left at the end."""
    gc.unfreeze()


def _leaks(item: pytest.Item, error: BaseException | None = None) -> list[str]:
    """What this test, whose tear-down may have failed, has left: a sentence each."""
    leaks: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda args: leaks.append(_sentence(args)))
        patch.setattr(threading, "excepthook", lambda args: leaks.append(_sentence(args)))
        leaks += _running_threads(item.stash[_EARLIER_THREADS])
        _forget(item)
        traceback.clear_frames(error.__traceback__ if error else None)
        gc.collect()
    gc.freeze()
    return leaks


def _running_threads(earlier: frozenset[threading.Thread]) -> list[str]:
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    started = [thread for thread in threading.enumerate() if thread not in earlier]
    for thread in started:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return [f"this test left a thread running: {thread.name}" for thread in started if thread.is_alive()]


def _forget(item: pytest.Item) -> None:
    """Drop what pytest holds of a test until the next one begins: its last traceback, and what its fixtures gave it."""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    getattr(item, "funcargs", {}).clear()


def _sentence(args: Any) -> str:
    """Of what ``sys.unraisablehook`` or ``threading.excepthook`` is given."""
    return f"this test left behind: {args.exc_type.__name__}: {args.exc_value}"

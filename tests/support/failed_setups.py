"""A pytest plugin: a set-up that fails is told once, and hides no test that can do without it.

What fails is mostly a server that can't be had, and waiting for it again would take every test that needs it a minute.
So a fixture that failed is not tried again: the tests that need it fail at once, and name the one that tells why. All
others run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

_FAILED_FOR = pytest.StashKey[dict[tuple[Any, str], str]]()  # fixture and parameter -> the test that tells why


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Iterator[None]:
    failed_for = request.config.stash.setdefault(_FAILED_FOR, {})
    fixture = fixturedef, repr(getattr(request, "param", None))
    if fixture in failed_for:
        raise _short_failure(fixturedef, request, failed_for[fixture])
    try:
        return (yield)
    except (Exception, pytest.fail.Exception):
        failed_for[fixture] = request._pyfuncitem.nodeid
        _short_failure(fixturedef, request, failed_for[fixture])
        raise


def _short_failure(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest, node: str) -> BaseException:
    """What every further test gets, also from pytest's own cache, which else tells the first failure at full length."""
    failure = pytest.fail.Exception(f"{fixturedef.argname} could not be set up, as {node} tells", pytrace=False)
    fixturedef.cached_result = (None, fixturedef.cache_key(request), (failure, None))
    return failure

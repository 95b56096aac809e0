"""What every test stands on: a clean environment, a hypothesis profile, and neighbours that don't disturb it.

The fixtures here are glue; whatever starts or speaks to a real server lives in ``tests/support``. Nothing is skipped
because a server is missing: a test that needs one fails, and says which.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import failed_setups, leaks

_LEAKING_PREFIXES = ("ORCHESTRY_", "GIT_", "PG")
_LEAKING_NAMES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "COLUMNS", "XDG_CONFIG_HOME"})

# New examples on every run, with what it takes to run a failing one again; slow machines are no failure.
settings.register_profile(
    "orchestry",
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("orchestry")


def pytest_configure(config: pytest.Config) -> None:
    """Before anything of ours is imported: nothing of the caller's environment may reach a test."""
    for name in list(os.environ):
        if name.startswith(_LEAKING_PREFIXES) or name.upper() in _LEAKING_NAMES:
            del os.environ[name]
    for plugin in (failed_setups, leaks):
        config.pluginmanager.register(plugin)


@pytest.fixture(scope="session", autouse=True)
def _home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """git, docker and everything else that reads a home directory finds an empty one, and a name to commit under."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        _write_git_identity(home)
        yield


def _write_git_identity(home: Path) -> None:
    identity = "[user]\n\tname = Test\n\temail = test@example.invalid\n[init]\n\tdefaultBranch = main\n"
    (home / ".gitconfig").write_text(identity, encoding="utf-8")

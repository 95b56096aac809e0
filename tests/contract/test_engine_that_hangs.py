"""An Engine that accepts and doesn't answer: all that a tick asks of it is over within seconds."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from reconciler.collect import Observers, collect
from reconciler.model.desired import Desired
from reconciler.model.observed import Blind
from reconciler.model.state import State
from reconciler.ports import Unavailable
from tests.support.relay import relay
from tests.support.runtimes import docker_world

pytestmark = pytest.mark.engine

# The product promises 5; the rest is for a loaded machine.
PATIENCE_SECONDS = 9.0


def test_all_looks_of_a_tick_at_an_engine_that_hangs_take_five_seconds_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with relay(str(tmp_path / "docker.sock"), "/var/run/docker.sock") as line, docker_world() as world:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
        source = SimpleNamespace(read=lambda: Desired("r1", {}))
        runtime = world.another()
        runtime.prepare()
        observers = Observers(source, runtime, runtime.prepare)  # type: ignore[arg-type]
        assert not isinstance(collect(observers, State(), time.time()), Blind)
        line.flowing.clear()
        began = time.monotonic()
        blind = collect(observers, State(), time.time())
        assert isinstance(blind, Blind)
        assert "did not answer in time" in blind.outages[-1].error
        assert time.monotonic() - began < PATIENCE_SECONDS
        began = time.monotonic()
        with contextlib.suppress(Unavailable):
            runtime.redactor_of("c0ffee")
        assert time.monotonic() - began < PATIENCE_SECONDS
        line.flowing.set()
        assert not isinstance(collect(observers, State(), time.time()), Blind)

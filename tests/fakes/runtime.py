"""The product's own Docker runtime on an Engine in memory.

Only the Engine is a fake, so every line between `ports.Runtime` and the Engine's API is the real one. Events arrive at
once and in the thread that causes them: nothing here runs by itself, and a run repeats exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from reconciler.runtime.client import BoundedClient
from reconciler.runtime.docker import DockerRuntime
from reconciler.runtime.engine import Engine
from reconciler.runtime.events import EventWatch
from reconciler.runtime.host_paths import AllowedPath
from tests.fakes.engine import FakeEngine


class _Connection(Engine):
    """Reaches the Engine in memory; what its errors become is the real connection's doing."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(concurrency=1)
        self.fake = engine

    def _client(self) -> BoundedClient:
        return cast(BoundedClient, self.fake)


class _Events(EventWatch):
    """Reads the same events, without a thread."""

    def start(self) -> None:
        assert isinstance(self._engine, _Connection)
        if not self._following:
            self._engine.fake.subscribe(self.tell)
            self._images.follow(True)
            self._following = True

    def close(self) -> None:
        assert isinstance(self._engine, _Connection)
        if self._following:
            self._engine.fake.unsubscribe(self.tell)
            self._images.follow(False)
            self._following = False

    _following = False


class FakeRuntime(DockerRuntime):
    """A `ports.Runtime` on ``engine``. Observing at a moment advances the Engine to it."""

    def __init__(
        self,
        engine: FakeEngine,
        *,
        instance: str = "default",
        network: str = "orchestry",
        secrets_dir: Path | None = None,
        allow_host_paths: Sequence[AllowedPath] = (),
        allow_volumes: Sequence[str] = (),
        volume_record: Path | None = None,
        secrets_key: Path | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.engine = engine
        super().__init__(
            instance=instance,
            network=network,
            secrets_dir=secrets_dir,
            allow_host_paths=allow_host_paths,
            allow_volumes=allow_volumes,
            volume_record=volume_record,
            secrets_key=secrets_key,
            wake=wake,
            concurrency=1,
        )

    def _connection(self, concurrency: int) -> Engine:
        return _Connection(self.engine)

    def _monotonic(self) -> float:
        return self.engine.now

    def _sleep(self, seconds: float) -> None:
        self.engine.advance(seconds)

    def _event_watch(self, wake: Callable[[], None]) -> EventWatch:
        return _Events(self._engine, self._instance, self._deaths, self._images, self._network_destroyed, wake)

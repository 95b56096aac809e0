"""The product's own Docker runtime on an Engine in memory.

Only the Engine is a fake, so every line between `ports.Runtime` and the Engine's API is the real one. Events arrive at
once and in the thread that causes them: nothing here runs by itself, and a run repeats exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from reconciler.ports import Fence, no_fence
from reconciler.runtime.client import BoundedClient
from reconciler.runtime.docker import DockerRuntime
from reconciler.runtime.engine import Engine
from reconciler.runtime.events import EventWatch
from reconciler.runtime.host_paths import AllowedPath
from tests.fakes.engine import FakeEngine

# What a real Engine is asked by GET, or not at all.
_LOOKS = frozenset(
    ("containers", "has_image", "image_list", "info", "inspect_container", "inspect_network", "inspect_volume", "logs")
    + ("networks", "reload_config", "volumes")
)


class _Fenced:
    """The Engine in memory as one controller has it: its fence is asked before each call that changes something."""

    def __init__(self, engine: FakeEngine, fence: Fence) -> None:
        self._engine = engine
        self._fence = fence

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._engine, name)
        if name in _LOOKS:
            return call

        def fenced(*arguments: Any, **options: Any) -> Any:
            self._fence()
            return call(*arguments, **options)

        return fenced


class _Connection(Engine):
    """Reaches the Engine in memory; what its errors become is the real connection's doing."""

    def __init__(self, engine: FakeEngine, fence: Fence) -> None:
        super().__init__(1, fence)
        self.fake = engine
        self._fenced = _Fenced(engine, fence)

    def _client(self) -> BoundedClient:
        return cast(BoundedClient, self._fenced)


class _Events(EventWatch):
    """Reads the same events, without a thread."""

    def start(self) -> None:
        assert isinstance(self._engine, _Connection)
        if not self._following:
            self._engine.fake.subscribe(self.tell)
            self._images.follow(True)
            self._begun()
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
        fence: Fence = no_fence,
        on_death_of: Mapping[str, Callable[[], None]] | None = None,
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
            fence=fence,
            on_death_of=on_death_of,
        )

    _watch = _Events

    def _connection(self, concurrency: int, fence: Fence) -> Engine:
        return _Connection(self.engine, fence)

    def _monotonic(self) -> float:
        return self.engine.now

    def _sleep(self, seconds: float) -> None:
        self.engine.advance(seconds)

    def another_engine(self) -> None:
        """Events break off and begin anew, as when the Engine was started again."""
        self._events.close()
        self._events.start()

"""A tick with nothing to do, beside the one list call it needs.

Run it as ``.venv/bin/python -m tests.bench.idle [--json] [--containers 300]``. Real containers, nginx and database; the
statements written and the reloads are counted as well, and both have to be none.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import docker
from sqlalchemy import event
from sqlalchemy.engine import Engine

from reconciler.loop import Stop, Until, Waker, run
from reconciler.settings import Settings
from reconciler.teardown import tear_down
from reconciler.tick import TickResult, World, tick
from reconciler.wiring import open_world
from tests.bench.table import print_table
from tests.support.dockerd import PrivateEngine, private_engine
from tests.support.site import DEFAULT_CHECK, web
from tests.support.tcp import unused_port

ROUNDS = 40


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--containers", type=int, default=300)
    given = options.parse_args()
    with private_engine() as engine, tempfile.TemporaryDirectory() as root:
        engine.build_demo("1")
        figures = measure(engine, Path(root), given.containers)
    if given.json:
        print(json.dumps(figures))
        return
    print_table(
        ("", "list call", "tick", "ratio", "writes", "reloads"),
        [
            (
                f"{given.containers} containers",
                f"{figures['list_ms']:.1f} ms",
                f"{figures['tick_ms']:.1f} ms",
                f"{figures['ratio']:.2f}",
                str(figures["writes"]),
                str(figures["reloads"]),
            )
        ],
    )


def measure(engine: PrivateEngine, root: Path, containers: int) -> dict[str, float]:
    """Medians in milliseconds, their ratio, and what idle ticks wrote and reloaded."""
    (root / "specs").mkdir()
    apps = max(1, containers // 10)
    for number in range(apps):
        spec = web(f"app{number}", replicas=containers // apps, grace=0, check=DEFAULT_CHECK)
        (root / "specs" / f"app{number}.yaml").write_text(spec)
    settings = Settings(
        source=str(root / "specs"), state_dir=root / "state", instance="idle", edge_port=unused_port(), tick=1
    )
    with engine.as_default():
        waker = Waker()
        with open_world(settings, waker) as world:
            assert run(world, waker, Stop(waker.wake), 1.0, Until(converged=True, timeout_seconds=600)) == 0
        with open_world(settings, waker) as world:
            figures = _compare(world, engine.client())
        list(tear_down(settings))
    return figures


def _compare(world: World, api: docker.APIClient) -> dict[str, float]:
    last = TickResult(world.store.load())
    for _ in range(5):
        last = tick(world, last)
    generation = last.state.published.generation
    writes: list[str] = []
    event.listen(Engine, "before_cursor_execute", lambda *a: writes.append(a[2]))
    lists, ticks = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        api.containers(all=True)
        listed = time.perf_counter()
        last = tick(world, last)
        ticks.append(time.perf_counter() - listed)
        lists.append(listed - began)
        time.sleep(0.05)
    changing = [text for text in writes if text.split()[0].upper() in ("INSERT", "UPDATE", "DELETE")]
    list_ms, tick_ms = statistics.median(lists) * 1000, statistics.median(ticks) * 1000
    return {
        "list_ms": list_ms,
        "tick_ms": tick_ms,
        "ratio": tick_ms / list_ms,
        "writes": len(changing),
        "reloads": int(last.state.published.generation != generation),
    }


if __name__ == "__main__":
    main()

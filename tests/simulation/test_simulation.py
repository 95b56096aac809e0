"""Seeded lives in a world where everything fails: no promise is broken meanwhile, and all is well in the end.

``SEED=4711 pytest tests/simulation`` tells one life again, ``LIVES=5000`` lives more of them.
"""

from __future__ import annotations

import os
import random
import sys

from tests.simulation.life import Life


def test_faults_on_then_off_then_all_is_well() -> None:
    if "SEED" in os.environ:
        seeds = range(int(os.environ["SEED"]), int(os.environ["SEED"]) + 1)
    else:
        first = random.SystemRandom().randrange(10**9)
        seeds = range(first, first + int(os.environ.get("LIVES", "150")))
    for seed in seeds:
        live(seed)


def live(seed: int) -> None:
    life = Life(seed)
    try:
        life.with_faults(steps=30)
        life.until_well()
    except BaseException:
        print(f"SEED={seed}", *life.fate.journal[-80:], sep="\n", file=sys.stderr)
        raise
    finally:
        life.runtime.close()

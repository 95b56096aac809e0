"""Golden texts: what people read is what tests compare, and what reviewers see change.

``UPDATE_GOLDEN=1 pytest …`` rewrites them; the diff is then the thing to review.
"""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"


def assert_golden(name: str, text: str) -> None:
    """``name``: the file's path under ``tests/golden``."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no golden text {name}; UPDATE_GOLDEN=1 writes it"
    assert text == path.read_text(encoding="utf-8")

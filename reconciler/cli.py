"""Commands; no logic of their own."""

from __future__ import annotations


def main() -> None:
    raise SystemExit("orchestry: no command is built yet")

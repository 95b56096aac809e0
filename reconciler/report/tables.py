"""Tables and text for people: aligned columns without lines, to be read, grepped and pasted alike.

On a terminal they are as wide as it is; in a pipe nothing is cut off. What containers wrote is shown, never obeyed:
control characters don't reach the terminal.
"""

from __future__ import annotations

import io
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence

_PIPE_WIDTH = 10_000


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The rows under their headings; the last column wraps on a terminal that is too narrow for it."""
    from rich.console import Console
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for heading in headings[:-1]:
        made.add_column(heading, no_wrap=True, overflow="fold")
    made.add_column(headings[-1], overflow="fold")
    for row in rows:
        made.add_row(*(_cell(value, "-" if heading else "") for heading, value in zip(headings, row, strict=True)))
    buffer = io.StringIO()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_WIDTH
    Console(file=buffer, width=width, color_system=None, markup=False, highlight=False, emoji=False).print(made)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def indented(text: str, by: str = "  ") -> str:
    return "\n".join(by + line if line else line for line in text.splitlines())


def printable(text: str) -> str:
    """The text without anything that a terminal would take as a command."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf") else "\ufffd" for c in text)


def _cell(value: object, blank: str) -> str:
    """The text of a cell, ``blank`` where it has no value: a column without a heading needs nothing there."""
    if value is None or value == "":
        return blank
    return printable(str(value))

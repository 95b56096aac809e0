"""Tables and text for people: aligned columns without lines, to be read, grepped and pasted alike.

A row is one line, at any width. Names, images, addresses and ports are never cut: the line is rather longer than the
terminal. Only a message may be shortened, with an ellipsis, and then all of it stands below; in a pipe it never is.
What containers wrote is shown, never obeyed: control characters don't reach the terminal.
"""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len, set_cell_size

_GAP = "  "
_MORE = "…"


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, has_message: bool = True, margin: int = 0
) -> str:
    """The rows under their headings. ``has_message``: the last column holds text, which is shortened to what the
    terminal leaves it beside a ``margin``; all of it then stands below the table, after the row's first cell."""
    laid = _laid_out(headings, rows, margin if has_message else None)
    lines = [laid.line(headings, headings[-1])]
    below: list[str] = []
    for row in laid.rows:
        first, *further = row[-1].split("\n")
        shown = shortened(f"{first} {_MORE}" if further else first, laid.room)
        lines.append(laid.line(row, shown))
        below += [f"{row[0]}: {first}", *(indented(line) for line in further)] if shown != first else []
    return "\n".join([*lines, *([""] if below else []), *below])


def listing(headings: Sequence[str], rows: Iterable[Sequence[object]], *, margin: int = 0) -> str:
    """The rows of a long list under their headings. What the message in the last column has no room for, or has of
    further lines, stands beneath its row."""
    laid = _laid_out(headings, rows, margin)
    lines = [laid.line(headings, headings[-1])]
    for row in laid.rows:
        first, *further = texts = row[-1].split("\n")
        lines.append(laid.line(row, shortened(first, laid.room)))
        if all(shortened(text, laid.room) == text for text in texts):
            lines += [indented(line, " " * laid.begin) for line in further]
        else:
            lines += [indented(line) for line in texts]
    return "\n".join(lines)


def shortened(text: str, room: int | None) -> str:
    """The text, in so many columns at most: with an ellipsis in place of what there is no room for. None: all of it."""
    if room is None or cell_len(text) <= room:
        return text
    return set_cell_size(text, max(0, room - 1)).rstrip() + _MORE


def indented(text: str, by: str = "  ") -> str:
    return "\n".join(by + line if line else line for line in text.splitlines())


def printable(text: str) -> str:
    """The text without anything that a terminal would take as a command."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf") else "\ufffd" for c in text)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Cells as text, and the width of each column but the last, which begins at ``begin`` and has ``room`` columns: as
    many as it likes where that is None."""

    rows: Sequence[Sequence[str]]
    widths: Sequence[int]
    room: int | None

    @property
    def begin(self) -> int:
        return sum(self.widths) + len(_GAP) * len(self.widths)

    def line(self, row: Sequence[str], last: str) -> str:
        """A row with this in the last column."""
        padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row[:-1], self.widths, strict=True)]
        return _GAP.join([*padded, last]).rstrip()


def _laid_out(headings: Sequence[str], rows: Iterable[Sequence[object]], margin: int | None) -> _Layout:
    """``margin``: what the terminal loses to an indentation; None where nothing may be shortened."""
    cells = [_cells(headings, row) for row in rows]
    widths = [max(map(cell_len, column)) for column in list(zip(headings, *cells, strict=True))[:-1]]
    laid = _Layout(cells, widths, None)
    if margin is None or not sys.stdout.isatty():
        return laid
    left = shutil.get_terminal_size().columns - margin - laid.begin
    return replace(laid, room=max(left, cell_len(headings[-1])))


def _cells(headings: Sequence[str], row: Sequence[object]) -> Sequence[str]:
    """A row as text; only its last cell may have several lines. A cell without a value is marked as such, unless its
    column needs nothing there, and so has no heading."""
    marks = ("-" if heading else "" for heading in headings)
    texts = [mark if value in (None, "") else str(value) for value, mark in zip(row, marks, strict=True)]
    return [*(printable(text).replace("\n", " ").replace("\t", " ") for text in texts[:-1]), printable(texts[-1])]

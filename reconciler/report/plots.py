"""Series over time as pictures made of text, one below the other over the same stretch of time.

It draws what it is given: what is worth showing is for the report to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.report.times import clock

Points = Sequence[tuple[float, float]]

_ROWS = 10
_TICKS = 3
# More points than a terminal has columns cost time and show nothing.
_MAX_POINTS = 400


@dataclass(frozen=True, slots=True)
class Series:
    """A value over time. ``points`` are (epoch seconds, value), oldest first."""

    title: str
    points: Points


def plot(series: Sequence[Series], *, width: int) -> str:
    """A picture of the series that have at least two points; "" where none has. ``width`` in columns, at most the
    terminal's."""
    lines = [line for line in series if len(line.points) > 1]
    if not lines:
        return ""
    first = min(line.points[0][0] for line in lines)
    last = max(line.points[-1][0] for line in lines)
    return "\n".join(_panel(line, first, last, width) for line in lines)


def _panel(series: Series, first: float, last: float, width: int) -> str:
    import plotext

    points = thinned(series.points, _MAX_POINTS)
    ticks = [(last - first) * step / (_TICKS - 1) for step in range(_TICKS)]
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, _ROWS)
    figure.title(series.title)
    line = figure.signal([at - first for at, _ in points], [value for _, value in points], marker="braille")
    figure.draw(line.lines())
    figure.ruler("y").lim(0, max(1.0, *(value for _, value in points)))
    figure.ruler("x").lim(0, last - first)
    figure.ruler("x").ticks(ticks, [clock(first + tick) for tick in ticks])
    picture: str = plotext.uncolorize(figure.build())
    return "\n".join(line.rstrip() for line in picture.splitlines())


def thinned(points: Points, max_points: int) -> Points:
    """The points thinned to at most ``max_points``: of each stretch its highest, since peaks are what people look
    for."""
    stride = -(-len(points) // max_points)
    if stride <= 1:
        return points
    stretches = (points[start : start + stride] for start in range(0, len(points), stride))
    return [max(stretch, key=lambda point: point[1]) for stretch in stretches]

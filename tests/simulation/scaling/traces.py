"""Load over time, in requests per second offered: the shapes that autoscalers are judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

MINUTE = 60.0
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Trace:
    """``rate`` gives requests per second at a number of seconds from the start."""

    name: str
    seconds: float
    rate: Callable[[float], float]


def square(low: float, high: float, half_period: float) -> Callable[[float], float]:
    return lambda at: high if at % (2 * half_period) < half_period else low


def ramp(low: float, high: float, up: float, hold: float, down: float) -> Callable[[float], float]:
    def rate(at: float) -> float:
        if at < up:
            return low + (high - low) * at / up
        if at < up + hold:
            return high
        return max(low, high - (high - low) * (at - up - hold) / down)

    return rate


def spikes(low: float, high: float, lasting: float, every: float) -> Callable[[float], float]:
    return lambda at: high if at % every >= every - lasting else low


def day(low: float, high: float) -> Callable[[float], float]:
    """Least at midnight, most at noon."""
    return lambda at: low + (high - low) * (1 - cos(2 * pi * at / (24 * HOUR))) / 2


TRACES = (
    Trace("ramp up and down", 45 * MINUTE, ramp(10, 200, 10 * MINUTE, 10 * MINUTE, 10 * MINUTE)),
    Trace("steep ramp", 30 * MINUTE, ramp(10, 240, 1 * MINUTE, 10 * MINUTE, 1 * MINUTE)),
    Trace("spikes of a minute", 60 * MINUTE, spikes(20, 200, 1 * MINUTE, 10 * MINUTE)),
    Trace("spikes of five minutes", 120 * MINUTE, spikes(20, 200, 5 * MINUTE, 20 * MINUTE)),
    Trace("square at scale-out", 60 * MINUTE, square(36, 44, 2 * MINUTE)),
    Trace("square at scale-in", 60 * MINUTE, square(26, 44, 2 * MINUTE)),
    Trace("square at target", 60 * MINUTE, square(45, 60, 2 * MINUTE)),
    Trace("slow day", 24 * HOUR, day(10, 200)),
)

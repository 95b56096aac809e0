"""HTTP, gRPC and TCP health samples, gathered in the background.

It asks and reports; whether a replica is healthy is decided in `decide`. It asks containers at their own address and
nothing else, and never holds up a tick.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from pathlib import Path

from reconciler.ports import Prober
from reconciler.probe.checks import RedactorOf
from reconciler.probe.prober import BackgroundProber


def is_ipv4(address: str) -> bool:
    """Whether it is an IPv4 address written out, so that no name is ever resolved."""
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True


def open_prober(
    *,
    wake: Callable[[], None],
    redactor_of: RedactorOf,
    concurrency: int = 16,
    allowed: Callable[[str], bool] = is_ipv4,
    clock: Callable[[], float] = time.time,
    secrets_dir: Path | None = None,
) -> Prober:
    """A prober with an empty schedule, making at most ``concurrency`` checks at a time.

    ``wake`` is called from its threads when a sample may change a verdict, and ``redactor_of``, by a container's id,
    when something that it said is to be shown. Addresses that are not ``allowed`` are never asked and fail their
    checks. ``clock`` gives epoch seconds for the samples. ``secrets_dir`` holds the CAs that replicas are known by, as
    ``NAME/ca.crt``.
    """
    return BackgroundProber(wake, concurrency, allowed, clock, redactor_of, secrets_dir)


__all__ = ["is_ipv4", "open_prober"]

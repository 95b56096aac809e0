"""The promise of every planned operation, as a block of a test: nobody notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.support.load import Load, forgiving, load
from tests.support.site import Site


@contextmanager
def everybody(site: Site, *names: str) -> Iterator[Load]:
    """Clients of these apps ask all the time."""
    streams = [
        replace(stream, name=f"{stream.name} of {name}")
        for name in names
        for stream in forgiving(f"/{name}", per_second=20.0)
    ]
    with load(site.port, streams) as running:
        yield running
    assert all(tally.sent for tally in running.tallies.values())


@contextmanager
def undisturbed(site: Site, *names: str) -> Iterator[None]:
    """The same, and at the end every single request was answered well."""
    with everybody(site, *names) as running:
        yield
    assert running.failed == {}

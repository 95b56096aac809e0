"""What the next tick would do, by the loop's own code and without touching anything.

It never takes the instance's lock or lease, so it works beside a controller that runs, and it keeps no state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from reconciler.collect import Observers, collect
from reconciler.decide.plan import decide
from reconciler.loop import Waker
from reconciler.model.desired import Problem
from reconciler.model.observed import Blind
from reconciler.model.plan import Plan
from reconciler.model.routes import RouteTable
from reconciler.model.state import State
from reconciler.ports import NothingRecorded, Source, Unavailable
from reconciler.settings import Settings
from reconciler.store import open_reader
from reconciler.wiring import SystemClock, decision_settings, open_runtime, open_spec_source


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan that nobody will perform, for this revision; the routes served now, and the source's problems."""

    revision: str
    plan: Plan
    served: RouteTable
    problems: tuple[Problem, ...]


def preview(settings: Settings) -> Preview:
    """Read the source, look at the host, and decide. Raises Unavailable or Rejected where one of them can't be read."""
    state = _state(settings)
    with _source(settings) as source:
        runtime = open_runtime(settings, Waker())
        try:
            observed = collect(Observers(source, runtime, recover=runtime.survey), state, SystemClock().now())
        finally:
            runtime.close()
    if isinstance(observed, Blind) or observed.outages:
        raise Unavailable(observed.outages[0].error)
    decision = decide(observed, state, decision_settings(settings))
    return Preview(observed.desired.revision, decision.plan, state.published.table, observed.desired.problems)


@contextmanager
def _source(settings: Settings) -> Iterator[Source]:
    """The source as it is now. A git URL is mirrored for the moment only, however long it takes: the
    controller's own mirror isn't ours."""
    with TemporaryDirectory(prefix="orchestry-plan-", ignore_cleanup_errors=True) as mirrors:
        source = open_spec_source(settings, Waker(), Path(mirrors), first_fetch_seconds=None)
        try:
            yield source
        finally:
            source.close()


def _state(settings: Settings) -> State:
    """What the controller has on record; an empty state before its first run."""
    try:
        reader = open_reader(settings.database, state_dir=settings.directory, instance=settings.instance)
    except NothingRecorded:
        return State()
    try:
        return reader.state()
    except NothingRecorded:
        return State()
    finally:
        reader.close()

"""What the next tick would do, by the loop's own code and without touching anything."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.decide.plan import decide
from reconciler.loop import Waker
from reconciler.model.desired import Problem
from reconciler.model.memory import Memory
from reconciler.model.plan import Plan
from reconciler.ports import NothingRecorded
from reconciler.settings import Settings
from reconciler.store import open_reader
from reconciler.wiring import SystemClock, open_runtime, open_spec_source, policy_of


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan that nobody will perform, for this revision, and the source's problems."""

    revision: str
    plan: Plan
    problems: tuple[Problem, ...]


def preview(settings: Settings) -> Preview:
    """Read the source, look at the host, and decide. Raises Unavailable where one of them can't be read."""
    waker = Waker()
    memory = _memory(settings)
    source, runtime = open_spec_source(settings, waker), open_runtime(settings, waker)
    try:
        desired = source.read()
        runtime.survey()
        now = SystemClock().now()
        observed = runtime.observe(now)
        decision = decide(desired, observed, memory, now, policy_of(settings))
    finally:
        runtime.close()
        source.close()
    return Preview(desired.revision, decision.plan, desired.problems)


def _memory(settings: Settings) -> Memory:
    """What the controller has on record; an empty memory before its first run."""
    try:
        reader = open_reader(settings.database, state_dir=settings.directory, instance=settings.instance)
    except NothingRecorded:
        return Memory()
    try:
        return reader.memory()
    except NothingRecorded:
        return Memory()
    finally:
        reader.close()

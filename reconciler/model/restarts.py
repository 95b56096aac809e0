"""How a replica's program has ended, and who starts it again, how soon and how often.

Values that `replica_state` is made of; what is to be done about them is for `decide` to say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.model.backoff import Backoff
from reconciler.model.moments import Moment

# So many exits within this time are a crash loop; no more of them are kept.
CRASH_LOOP_EXITS = 3
CRASH_WINDOW_SECONDS = 60.0
# A list of containers tells that a program runs, not since when: it was begun at most so long after we began to ask.
LIST_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Exits:
    """How a replica's program has ended: ``recent`` times of it, and of the last one its exit code and last lines.

    ``ended_at`` is when it was last seen to have ended, None while it runs. ``out_of_memory`` says how it came that the
    kernel ended it for want of memory, "" where it did not.
    """

    recent: tuple[Moment, ...] = ()
    ended_at: Moment | None = None
    code: int | None = None
    log: str = ""
    out_of_memory: str = ""

    @property
    def looping(self) -> bool:
        """Whether it ended so often of late that it is in a crash loop."""
        return len(self.recent) >= CRASH_LOOP_EXITS


@dataclass(frozen=True, slots=True)
class Restarts:
    """Who starts a replica again, and how soon: the Engine at once or, ``by_controller``, we after a back-off; and how
    often it was started again since its version was applied.

    ``by_engine`` is how often the Engine did so to the container that is there, as it counts: anew whenever somebody
    else starts it. ``earlier`` are all the others, whoever started it, a new container in its place included, and
    ``last_at`` is when it was last. By ``ran_by``, as the Engine's clock has it, the program that runs now had been
    started; None where that is not known, or another was started since that is counted already.
    """

    by_controller: bool = False
    by_engine: int = 0
    backoff: Backoff | None = None
    earlier: int = 0
    last_at: Moment | None = None
    ran_by: float | None = None

    @property
    def total(self) -> int:
        """How often it was started again since its version was applied, whoever did so."""
        return self.earlier + self.by_engine

    def counted(self, by_engine: int, started_at: float | None, now: float, *, running: bool) -> Restarts:
        """The Engine counts so many restarts of its own, the last start having been at ``started_at``, as far as it
        says so."""
        if started_at is not None and started_at > now:  # the clock was set back since
            started_at = None
        anew = started_at is not None and self.ran_by is not None and started_at > self.ran_by
        earlier = self.earlier + (self.by_engine if by_engine < self.by_engine else 0)
        if anew and by_engine <= self.by_engine:
            earlier += 1  # by somebody else, and not by us: what we start is counted when it is done
        restarted = earlier + by_engine > self.total
        ran_by = self.ran_by
        if running:
            ran_by = started_at if started_at is not None else now + LIST_SECONDS if ran_by is None else ran_by
        elif restarted:
            ran_by = None  # what is about to be started is counted already
        last_at = (started_at if running and started_at is not None else now) if restarted else self.last_at
        return replace(self, by_engine=by_engine, earlier=earlier, last_at=last_at, ran_by=ran_by)

    def by_us(self, at: float) -> Restarts:
        """We started it."""
        return replace(self, earlier=self.earlier + 1, last_at=at, ran_by=None)

    def container_gone(self, *, had_run: bool) -> Restarts:
        """The container is gone: another one in its place is one more start of the program, if this one ever ran."""
        return replace(self, by_engine=0, earlier=self.total + had_run, ran_by=None)

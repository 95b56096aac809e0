"""What is remembered of one replica, and what may happen to it.

A value; each transition has a name here, and leaves a state that can be (`tests.support.consistency` says which can't).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from reconciler.model.backoff import Backoff
from reconciler.model.health import CheckKind, Health, Verdict
from reconciler.model.moments import Moment
from reconciler.model.restarts import CRASH_LOOP_EXITS, CRASH_WINDOW_SECONDS, Exits, Restarts


@dataclass(frozen=True, slots=True)
class Traffic:
    """Whether requests reach a replica: never so far, now, or no longer.

    ``entered`` is true from the moment a route table with it may have been served; ``left_at`` is when a successfully
    published table first lacked it, None while it is in one or never was. ``closing_since`` is since when a replica is
    to go that no route leads to, but connections may; None while it is to stay.
    """

    entered: bool = False
    left_at: Moment | None = None
    closing_since: Moment | None = None

    @property
    def routed(self) -> bool:
        return self.entered and self.left_at is None


@dataclass(frozen=True, slots=True)
class BlindHealth:
    """The standing of a replica by its answers while the Engine can't be seen, kept apart from its health: so little is
    known then that only its requests depend on it.

    ``withheld_at`` is when it was taken out of the route table for them; None where it was not.
    """

    health: Health
    readiness: Health
    withheld_at: Moment | None = None

    @property
    def is_well(self) -> bool:
        return Verdict.UNHEALTHY not in (self.health.verdict, self.readiness.verdict)

    @property
    def detail(self) -> str:
        """The last failed answer."""
        return self.health.detail or self.readiness.detail


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a replica, once its program is asked for it: from there on there is no way back.

    ``asked_at`` is when its stop signal was sent, None as long as nobody knows that it was; from then on it has
    ``grace_seconds``. ``log`` are its last lines before that, where they are to be kept (``keeps_log``).
    """

    cause: str
    grace_seconds: float
    keeps_log: bool = False
    asked_at: Moment | None = None
    log: str = ""

    @property
    def grace_until(self) -> float | None:
        """Until when the program may take its time; None before it was asked."""
        return None if self.asked_at is None else self.asked_at + self.grace_seconds


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """What is remembered of one replica, by its name. A new container in the same slot starts anew, but for its
    back-off.

    ``container_id`` is "" while there is no container. ``ready_at`` is when it last became fit for traffic, None while
    it is not; ``disturbed_at`` when it last ended or vanished, None once it is ready again. ``ending`` is the end of
    its container, None as long as that is to run; ``removal`` paces attempts to stop and to remove it. ``blind`` is
    what it has answered while the Engine can't be seen, None where that was well.
    """

    name: str
    app_name: str
    slot: int
    container_id: str
    address: str
    spec_hash: str
    created_at: Moment
    health: Health = Health()
    readiness: Health = Health()
    ready_at: Moment | None = None
    disturbed_at: Moment | None = None
    traffic: Traffic = Traffic()
    exits: Exits = Exits()
    restarts: Restarts = Restarts()
    removal: Backoff | None = None
    ending: Ending | None = None
    blind: BlindHealth | None = None

    @property
    def withheld(self) -> bool:
        """Whether it gets no requests for what it answered while the Engine couldn't be seen."""
        return self.blind is not None and self.blind.withheld_at is not None

    @property
    def in_service(self) -> bool:
        """Whether it takes its share of the load: fit for traffic, and not taken out of it."""
        return self.ready_at is not None and self.traffic.left_at is None

    def successor(self, container_id: str, address: str, spec_hash: str, at: float) -> ReplicaState:
        """A new container in its slot: requests still reach it where they reached the old one and, unless its spec
        differs, it takes over how its predecessor crashed."""
        same_spec = self.spec_hash == spec_hash
        return ReplicaState(
            name=self.name,
            app_name=self.app_name,
            slot=self.slot,
            container_id=container_id,
            address=address,
            spec_hash=spec_hash,
            created_at=at,
            traffic=self.traffic,
            disturbed_at=self.disturbed_at,
            exits=Exits(self.exits.recent) if same_spec else Exits(),
            restarts=self._restarts_of_successor(container_id, at) if same_spec else Restarts(),
        )

    def _restarts_of_successor(self, container_id: str, at: float) -> Restarts:
        before = self._without_container() if self.container_id else self.restarts
        last_at = at if container_id and before.earlier else before.last_at
        return Restarts(backoff=before.backoff, earlier=before.earlier, last_at=last_at)

    def _without_container(self) -> Restarts:
        restarts = self.restarts
        had_run = restarts.ran_by is not None or restarts.by_engine > 0 or self.exits.ended_at is not None
        return restarts.container_gone(had_run=had_run)

    def at(self, address: str) -> ReplicaState:
        """Its container has this address."""
        return self if address == self.address else replace(self, address=address)

    def health_by(self, check: CheckKind) -> Health:
        """What a check says of it."""
        return self.health if check == "health" else self.readiness

    @property
    def last_failed_answer(self) -> str:
        """The last failed answer that it gave; "" where there was none."""
        return self.health.detail or self.readiness.detail

    @property
    def unreached(self) -> bool:
        """Whether all that is known against it is that the network doesn't reach it."""
        failing = [health for health in (self.health, self.readiness) if health.consecutive_failures]
        return bool(failing) and all(health.unreached for health in failing)

    def checked(self, check: CheckKind, health: Health) -> ReplicaState:
        """A check says this of it."""
        return replace(self, health=health) if check == "health" else replace(self, readiness=health)

    def answering_blindly(self, blind: BlindHealth | None) -> ReplicaState:
        """It has answered so while the Engine can't be seen; None: well, or it is judged by its health again."""
        return self if blind == self.blind else replace(self, blind=blind)

    def withheld_since(self, at: float) -> ReplicaState:
        """It gets no requests for what it answers while the Engine can't be seen."""
        if self.blind is None or self.withheld:
            return self
        return replace(self, blind=replace(self.blind, withheld_at=at))

    def crashed(self, at: float, *, ended: bool, code: int | None, log: str, out_of_memory: str = "") -> ReplicaState:
        """Its program ended, and may have been ``ended`` or started again since; None is what the Engine didn't say."""
        recent = (*(exit_at for exit_at in self.exits.recent if at - exit_at < CRASH_WINDOW_SECONDS), at)
        exits = Exits(
            recent=recent[-CRASH_LOOP_EXITS:],
            ended_at=at if ended else None,
            code=self.exits.code if code is None else code,
            log=log or self.exits.log,
            out_of_memory=out_of_memory,
        )
        return self._disturbed_anew(at, exits)

    def found_out_of_memory(self, words: str, log: str) -> ReplicaState:
        """It is told only now that the kernel ended it, the last time, for want of memory."""
        return replace(self, exits=replace(self.exits, out_of_memory=words, log=log or self.exits.log))

    def runs_again(self) -> ReplicaState:
        """Its program was started: found ended at the next look, it has ended once more."""
        return self if self.exits.ended_at is None else replace(self, exits=replace(self.exits, ended_at=None))

    def restarts_counted(
        self, by_engine: int | None, started_at: float | None, now: float, *, running: bool
    ) -> ReplicaState:
        """The Engine tells how often it restarted it, and when it was started last; None is what it didn't say."""
        before = self.restarts
        count = before.by_engine if by_engine is None else by_engine
        if running and count == before.by_engine and before.ran_by is not None and started_at in (None, before.ran_by):
            return self
        restarts = before.counted(count, started_at, now, running=running)
        return self if restarts == before else replace(self, restarts=restarts)

    def started(self, at: float) -> ReplicaState:
        """We started its program again."""
        return replace(self.runs_again(), restarts=self.restarts.by_us(at))

    def disturbed(self, at: float) -> ReplicaState:
        """Somebody began to remove it."""
        return self if self.disturbed_at is not None else replace(self, disturbed_at=at)

    def vanished(self, at: float) -> ReplicaState:
        """Its container is gone, and not by our doing."""
        exits, restarts = replace(self.exits, ended_at=at), self._without_container()
        gone = replace(self, container_id="", ready_at=None, removal=None, ending=None)
        return replace(gone, disturbed_at=at, exits=exits, restarts=restarts).answering_blindly(None)

    def to_end(self, ending: Ending) -> ReplicaState:
        """Its program is about to be asked to end."""
        return self if self.ending else replace(self, ending=ending)

    def asked_to_end(self, at: float, log: str) -> ReplicaState:
        """Its program was sent its stop signal."""
        if self.ending is None:
            return self
        return replace(self, ending=replace(self.ending, asked_at=at, log=log), removal=None)

    def removed(self) -> ReplicaState:
        """Its container is gone, as we wanted it."""
        gone = replace(self, container_id="", ready_at=None, removal=None, ending=None)
        return replace(gone, restarts=self._without_container())

    def not_removed(self, removal: Backoff) -> ReplicaState:
        """An attempt to stop or to remove its container failed."""
        return replace(self, removal=removal)

    def held_back(self, backoff: Backoff) -> ReplicaState:
        """It keeps crashing, or could not be started: the next start has to wait."""
        return replace(self, restarts=replace(self.restarts, backoff=backoff))

    def restarts_taken_over(self, by_controller: bool) -> ReplicaState:
        """From now on the controller starts it again, or else the Engine."""
        return replace(self, restarts=replace(self.restarts, by_controller=by_controller))

    def pardoned(self, explained: Callable[[float], bool], until: float) -> ReplicaState:
        """The ends of its program that something else explains are no crashes, and no start, stop or removal counts
        that failed up to ``until``; what fails after it is paced as ever."""

        def left_of(backoff: Backoff | None) -> Backoff | None:
            is_explained = backoff is not None and backoff.failed_at <= until and explained(backoff.failed_at)
            return None if is_explained else backoff

        recent = tuple(exit_at for exit_at in self.exits.recent if not explained(exit_at))
        backoff, removal = left_of(self.restarts.backoff), left_of(self.removal)
        if recent == self.exits.recent and backoff is self.restarts.backoff and removal is self.removal:
            return self
        exits, restarts = replace(self.exits, recent=recent), replace(self.restarts, backoff=backoff)
        return replace(self, exits=exits, restarts=restarts, removal=removal)

    def started_anew(self, at: float) -> ReplicaState:
        """Its program was ended and started again by something outside: what the one before answered is not its own."""
        return self._disturbed_anew(at, replace(self.exits, ended_at=None))

    def _disturbed_anew(self, at: float, exits: Exits) -> ReplicaState:
        """Its program began anew, or will: nothing counts that it has answered."""
        return replace(
            self,
            health=_begun_anew(self.health),
            readiness=_begun_anew(self.readiness),
            ready_at=None,
            disturbed_at=at,
            exits=exits,
            blind=None,
        )

    def crash_loop_over(self) -> ReplicaState:
        """It has been well for so long that its crashes are forgotten."""
        exits, restarts = replace(self.exits, recent=()), replace(self.restarts, backoff=None)
        return replace(self, exits=exits, restarts=restarts)

    def became_ready(self, at: float) -> ReplicaState:
        """It is fit for traffic, so it runs."""
        return self if self.ready_at is not None else replace(self.runs_again(), ready_at=at, disturbed_at=None)

    def became_unready(self) -> ReplicaState:
        """It is fit for traffic no longer."""
        return self if self.ready_at is None else replace(self, ready_at=None)

    def entered_traffic(self) -> ReplicaState:
        """A route table with it may be served from now on."""
        return self if self.traffic.routed else replace(self, traffic=Traffic(entered=True))

    def closing(self, at: float) -> ReplicaState:
        """It is to go, and no route leads to it: it drains from here."""
        if self.traffic.closing_since is not None:
            return self
        return replace(self, traffic=replace(self.traffic, closing_since=at))

    def staying(self) -> ReplicaState:
        """It is not to go, or not any more."""
        if self.traffic.closing_since is None:
            return self
        return replace(self, traffic=replace(self.traffic, closing_since=None))

    def left_traffic(self, at: float) -> ReplicaState:
        """A route table without it is served: it drains from here."""
        return replace(self, traffic=replace(self.traffic, left_at=at)) if self.traffic.routed else self


def _begun_anew(health: Health) -> Health:
    """The health of a program that was started again: only its totals are what they were."""
    return Health(tally=replace(health.tally, consecutive_successes=0))

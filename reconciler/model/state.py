"""The state: everything a decision needs that cannot be seen in the world, and so must survive a restart.

It is a value. A tick takes one and makes the next; the store only keeps it. What happens to an app or a replica has a
name here, and each such transition leaves a state that can be (`tests.support.consistency` says which can't). Whatever
can be derived from what is observed does not belong here. No moment lies in the future.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.model.backoff import Backoff
from reconciler.model.health import CheckKind, Health
from reconciler.model.image import ResolvedImage
from reconciler.model.moments import Moment
from reconciler.model.reasons import NO_IMAGE, OUTSIDE, Reason
from reconciler.model.routes import Refusal, RouteTable
from reconciler.model.scaling import ScalingDecision, ScalingState
from reconciler.model.status import Condition
from reconciler.model.version import Version

# So many exits within this time are a crash loop; no more of them are kept.
CRASH_LOOP_EXITS = 3
CRASH_WINDOW_SECONDS = 60.0
KEPT_FORMER_VERSIONS = 5
# How long it is believed that the Engine would create a replica, once it was found out.
CHECK_HOLDS_SECONDS = 60.0


# -- replicas -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Traffic:
    """Whether requests reach a replica: never so far, now, or no longer.

    ``entered`` is true from the moment a route table with it may have been served; ``left_at`` is when a successfully
    published table first lacked it, None while it is in one or never was.
    """

    entered: bool = False
    left_at: Moment | None = None

    @property
    def routed(self) -> bool:
        return self.entered and self.left_at is None


@dataclass(frozen=True, slots=True)
class Exits:
    """How a replica's program has ended: ``recent`` times of it, and of the last one its exit code and last lines.

    ``ended_at`` is when it was last seen to have ended, None while it runs.
    """

    recent: tuple[Moment, ...] = ()
    ended_at: Moment | None = None
    code: int | None = None
    log: str = ""

    @property
    def looping(self) -> bool:
        """Whether it ended so often of late that it is in a crash loop."""
        return len(self.recent) >= CRASH_LOOP_EXITS


@dataclass(frozen=True, slots=True)
class Restarts:
    """Who starts a replica again, and how soon: the Engine at once or, ``by_controller``, we after a back-off.

    ``by_engine`` is how often the Engine did so, as it counts.
    """

    by_controller: bool = False
    by_engine: int = 0
    backoff: Backoff | None = None


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """What is remembered of one replica, by its name. A new container in the same slot starts anew, but for its
    back-off.

    ``container_id`` is "" while there is no container. ``ready_at`` is when it last became fit for traffic, None while
    it is not; ``disturbed_at`` when it last ended or vanished, None once it is ready again. ``removal`` paces attempts
    to remove it.
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
            restarts=Restarts(backoff=self.restarts.backoff) if same_spec else Restarts(),
        )

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

    def checked(self, check: CheckKind, health: Health) -> ReplicaState:
        """A check says this of it."""
        return replace(self, health=health) if check == "health" else replace(self, readiness=health)

    def crashed(self, at: float, *, ended: bool, code: int | None, log: str, restarts: int | None) -> ReplicaState:
        """Its program ended, and may have been ``ended`` or started again since; None is what the Engine didn't say."""
        recent = (*(exit_at for exit_at in self.exits.recent if at - exit_at < CRASH_WINDOW_SECONDS), at)
        exits = Exits(
            recent=recent[-CRASH_LOOP_EXITS:],
            ended_at=at if ended else None,
            code=self.exits.code if code is None else code,
            log=log or self.exits.log,
        )
        return replace(
            self,
            health=_begun_anew(self.health),
            readiness=_begun_anew(self.readiness),
            ready_at=None,
            disturbed_at=at,
            exits=exits,
            restarts=self.restarts if restarts is None else replace(self.restarts, by_engine=restarts),
        )

    def runs_again(self) -> ReplicaState:
        """Its program was started: found ended at the next look, it has ended once more."""
        return self if self.exits.ended_at is None else replace(self, exits=replace(self.exits, ended_at=None))

    def restarted_by_engine(self, count: int) -> ReplicaState:
        """The Engine counts so many restarts of its own."""
        restarts = self.restarts
        return self if count == restarts.by_engine else replace(self, restarts=replace(restarts, by_engine=count))

    def disturbed(self, at: float) -> ReplicaState:
        """Somebody began to remove it."""
        return self if self.disturbed_at is not None else replace(self, disturbed_at=at)

    def vanished(self, at: float) -> ReplicaState:
        """Its container is gone, and not by our doing."""
        exits = replace(self.exits, ended_at=at)
        return replace(self, container_id="", ready_at=None, disturbed_at=at, exits=exits)

    def removed(self) -> ReplicaState:
        """We removed its container."""
        return replace(self, container_id="", ready_at=None, removal=None)

    def not_removed(self, removal: Backoff) -> ReplicaState:
        """An attempt to remove its container failed."""
        return replace(self, removal=removal)

    def held_back(self, backoff: Backoff) -> ReplicaState:
        """It keeps crashing, or could not be started: the next start has to wait."""
        return replace(self, restarts=replace(self.restarts, backoff=backoff))

    def restarts_taken_over(self, by_controller: bool) -> ReplicaState:
        """From now on the controller starts it again, or else the Engine."""
        return replace(self, restarts=replace(self.restarts, by_controller=by_controller))

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

    def left_traffic(self, at: float) -> ReplicaState:
        """A route table without it is served: it drains from here."""
        return replace(self, traffic=replace(self.traffic, left_at=at)) if self.traffic.routed else self


def _begun_anew(health: Health) -> Health:
    """The health of a program that was started again: only its totals are what they were."""
    return Health(tally=replace(health.tally, consecutive_successes=0))


# -- apps -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rollout:
    """A change of version under way. ``max_available`` is how many new replicas could be relied on at once so far, and
    ``progressed_at`` when there last were more than ever before.

    ``canary_at`` is when the canary began to get its share of the traffic, None before; ``promoted`` says that its
    analysis came out well.
    """

    from_hash: str | None
    to_hash: str
    started_at: Moment
    progressed_at: Moment
    canary_at: Moment | None = None
    promoted: bool = False
    max_available: int = 0

    @property
    def analysis_since(self) -> float | None:
        """Since when its canary is analysed; None while there is nothing to wait for."""
        return None if self.promoted else self.canary_at

    def progressed(self, available: int, at: float) -> Rollout:
        """More new replicas can be relied on than ever before."""
        return replace(self, progressed_at=at, max_available=available)

    def resumed(self, to_hash: str, at: float) -> Rollout:
        """What held up a rollout to this version from outside is over: it has its time from here."""
        return replace(self, progressed_at=at) if to_hash == self.to_hash else self

    def canary_entered_traffic(self, at: float) -> Rollout:
        return replace(self, canary_at=at)

    def canary_called_off(self, at: float) -> Rollout:
        """The spec asks for no canary any more: the rollout goes on from here."""
        return replace(self, canary_at=None, progressed_at=at)

    def canary_promoted(self, at: float) -> Rollout:
        return replace(self, promoted=True, progressed_at=at)


@dataclass(frozen=True, slots=True)
class FailedVersion:
    """A version that is not tried again until the spec changes.

    ``replica`` is the one that failed, "" where it wasn't one: with its last failed probe ``answer``, its exit code,
    and the last lines of its ``log``.
    """

    spec_hash: str
    revision: str
    at: Moment
    reason: Reason
    message: str
    replica: str = ""
    answer: str = ""
    exit_code: int | None = None
    log: str = ""


@dataclass(frozen=True, slots=True)
class Repetition:
    """How often one action succeeded since its app was last complete, and when it did so last."""

    action: str
    times: int
    at: Moment


@dataclass(frozen=True, slots=True)
class Pacing:
    """What slows an app down: failed creations, unhealthy replicas replaced lately, actions that lead nowhere."""

    creation: Backoff | None = None
    replacement: Backoff | None = None
    repetitions: tuple[Repetition, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """When the Engine was last found willing to create replicas of this version."""

    spec_hash: str
    at: Moment

    def holds_for(self, spec_hash: str, now: float) -> bool:
        """Whether it is still believed of this version."""
        return spec_hash == self.spec_hash and now - self.at < CHECK_HOLDS_SECONDS


@dataclass(frozen=True, slots=True)
class AppState:
    """What is remembered of one app.

    ``version`` is its last good spec; ``stable`` the last version all of whose replicas were ready, to return to;
    ``former`` are further versions that some replica still runs; ``failed`` says that ``version`` is not tried (again).
    ``scaling`` holds the number of replicas decided last, ``decision`` how it came about; ``image_ready`` is the spec
    hash whose image is known to be on the host, ``checked`` that of which replicas can be created. ``missing_since`` is
    when the app was first absent from the source.
    """

    name: str
    version: Version
    registered_at: Moment
    updated_at: Moment
    scaling: ScalingState
    stable: Version | None = None
    former: tuple[Version, ...] = ()
    rollout: Rollout | None = None
    failed: FailedVersion | None = None
    decision: ScalingDecision | None = None
    image_ready: str | None = None
    checked: Checked | None = None
    pacing: Pacing = Pacing()
    missing_since: Moment | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def count(self) -> int:
        """The number of replicas decided last."""
        return self.scaling.count

    @property
    def scaled_at(self) -> float | None:
        """When that number last changed."""
        return self.scaling.scaled_at

    @property
    def versions(self) -> tuple[Version, ...]:
        """Every version that is known of it, the newest first."""
        return (self.version, *((self.stable,) if self.stable else ()), *self.former)

    def read_again(self, version: Version) -> AppState:
        """The source has it, as it was: at most at another revision."""
        return replace(self, version=version, missing_since=None)

    def changed(self, version: Version, at: float) -> AppState:
        """The source has another spec of it."""
        former = self.former
        if version.spec_hash != self.version.spec_hash:
            former = (*former, self.version)[-KEPT_FORMER_VERSIONS:]
        return replace(self, version=version, former=former, missing_since=None, updated_at=at)

    def secrets_recorded(self, digests: Mapping[str, str]) -> AppState:
        """What its newest version's containers are created with, is known from now on."""
        return replace(self, version=replace(self.version, secrets=digests))

    def given_a_new_chance(self) -> AppState:
        """What only another spec could mend may be mended."""
        return replace(self, failed=None, pacing=Pacing())

    def absent(self, at: float) -> AppState:
        """The source lacks it."""
        return self if self.missing_since is not None else replace(self, missing_since=at)

    def found_broken(self) -> AppState:
        """The source has it, and can't be understood: its last good spec holds, also when no source can be read."""
        return self if self.missing_since is None else replace(self, missing_since=None)

    def scaled(self, scaling: ScalingState, decision: ScalingDecision | None) -> AppState:
        """A count was decided, for the reasons in ``decision``."""
        return replace(self, scaling=scaling, decision=decision)

    def keeping_writers(self, count: int) -> AppState:
        """So many of its replicas may go on writing to a volume together, as they did before one was the rule."""
        if count == self.scaling.kept_writers:
            return self
        return replace(self, scaling=replace(self.scaling, kept_writers=count))

    def image_resolved(self, spec_hash: str, image: ResolvedImage) -> AppState:
        """What the image of this version is, is known from now on."""

        def resolved(version: Version) -> Version:
            unknown = version.spec_hash == spec_hash and version.image is None
            return replace(version, image=image) if unknown else version

        stable = resolved(self.stable) if self.stable else None
        return replace(self, version=resolved(self.version), stable=stable, former=tuple(map(resolved, self.former)))

    def image_found(self, spec_hash: str, at: float) -> AppState:
        """The image of this version is on the host: from here a rollout to it has to make progress."""
        backoff = self.pacing.creation
        app = self.creation_recovered(at) if backoff and backoff.reason in NO_IMAGE else self
        return replace(app, image_ready=spec_hash, rollout=app.rollout and app.rollout.resumed(spec_hash, at))

    def image_lost(self) -> AppState:
        """The image that was on the host is there no more."""
        return replace(self, image_ready=None)

    def creation_checked(self, spec_hash: str, at: float) -> AppState:
        """Replicas of this version can be created."""
        return replace(self.creation_recovered(at), checked=Checked(spec_hash, at))

    def not_created(self, backoff: Backoff, *, image_missing: bool) -> AppState:
        """Replicas could not be created, or their image not be had."""
        pacing = replace(self.pacing, creation=backoff)
        return replace(self, pacing=pacing, checked=None, image_ready=None if image_missing else self.image_ready)

    def creation_recovered(self, at: float) -> AppState:
        """Replicas can be created again. What came from outside the spec has cost a rollout no time."""
        backoff, rollout = self.pacing.creation, self.rollout
        if backoff is None:
            return self
        if rollout and backoff.reason in OUTSIDE:
            rollout = rollout.resumed(rollout.to_hash, at)
        return replace(self, pacing=replace(self.pacing, creation=None), rollout=rollout)

    def replacement_paced(self, backoff: Backoff | None) -> AppState:
        """An unhealthy replica was replaced, which slows the next one down; None: that is long ago."""
        return replace(self, pacing=replace(self.pacing, replacement=backoff))

    def repeated(self, repetitions: tuple[Repetition, ...]) -> AppState:
        """Actions succeeded once more."""
        return replace(self, pacing=replace(self.pacing, repetitions=repetitions))

    def settled(self) -> AppState:
        """It is complete, and no rollout is under way: nothing that was tried before matters."""
        if not (self.pacing.repetitions or self.pacing.creation or self.former):
            return self
        return replace(self, former=(), pacing=Pacing(replacement=self.pacing.replacement))

    def stable_at(self, version: Version) -> AppState:
        """What runs is this version, as the newest spec has it."""
        return self if self.stable is version else replace(self, stable=version)

    def told(self, conditions: tuple[Condition, ...]) -> AppState:
        """These are its conditions."""
        return replace(self, conditions=conditions)

    def rollout_started(self, to: Version, at: float) -> AppState:
        rollout = Rollout(self.stable.spec_hash if self.stable else None, to.spec_hash, at, at)
        return replace(self, rollout=rollout)

    def rollout_advanced(self, rollout: Rollout) -> AppState:
        return replace(self, rollout=rollout)

    def rollout_completed(self, to: Version) -> AppState:
        """Every replica is of this version and ready; that another one had failed is remembered where it is newer."""
        failed = self.failed if self.version is not to else None
        return replace(self.settled(), stable=to, failed=failed, rollout=None)

    def rollout_failed(self, failed: FailedVersion) -> AppState:
        """The version is not tried any more."""
        return replace(self, failed=failed, pacing=Pacing(replacement=self.pacing.replacement))


# -- all of it ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Published:
    """The last route table that was successfully published, since when, and what the edge would not take of it."""

    table: RouteTable = RouteTable()
    generation: str = ""
    at: Moment = 0.0
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is remembered, ``as_of`` the moment at which it was so. ``revision`` is the last one applied;
    ``last_address`` the last one given to a replica, so that addresses are not reused while an old nginx worker may
    still know them."""

    apps: Mapping[str, AppState] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaState] = field(default_factory=dict)
    published: Published = Published()
    revision: str = ""
    last_address: str = ""
    as_of: Moment = field(default=0.0, compare=False)

"""What is remembered of one app, its rollouts and its failures, and what may happen to it.

A value; each transition has a name here, and leaves a state that can be (`tests.support.consistency` says which can't).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.model.backoff import Backoff
from reconciler.model.image import ResolvedImage
from reconciler.model.moments import Moment
from reconciler.model.reasons import NO_IMAGE, OUTSIDE, Reason
from reconciler.model.scaling import ScalingDecision, ScalingState
from reconciler.model.status import Condition
from reconciler.model.unrest import Unrest
from reconciler.model.version import Version

KEPT_FORMER_VERSIONS = 5
# Once the Engine is seen again, replicas have at least so long to be heard of anew.
HEARD_ANEW_SECONDS = 10.0
# How long it is believed that the Engine would create a replica, once it was found out.
CHECK_HOLDS_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Rollout:
    """A change of version under way. ``max_available`` is how many new replicas could be relied on at once so far, and
    ``progressed_at`` when there last were more than ever before; ``max_made`` is how many were there at once.

    ``canary_at`` is when the canary began to get its share of the traffic, None before; ``promoted`` says that its
    analysis came out well. Of the time since then ``lost_seconds`` don't count, in which nobody could see how it goes;
    ``seen_again_at`` is when the last such time was over. None is what there was none of.
    """

    from_hash: str | None
    to_hash: str
    started_at: Moment
    progressed_at: Moment
    canary_at: Moment | None = None
    promoted: bool = False
    max_available: int = 0
    max_made: int | None = None
    lost_seconds: float | None = None
    seen_again_at: Moment | None = None

    def expires_at(self, since: float, seconds: float) -> float:
        """When so many seconds since then are over, those lost not counted."""
        own = since + (self.lost_seconds or 0.0) + seconds
        if self.seen_again_at is None:
            return own
        return max(own, self.seen_again_at + min(seconds, HEARD_ANEW_SECONDS))

    def joined(self, made: int, at: float) -> Rollout:
        """So many of its replicas are there, more than ever before. One that came late, since others had to drain or to
        end first, has its time from then."""
        joined = replace(self, max_made=made)
        late = self.analysis_since is None and at - self.progressed_at - (self.lost_seconds or 0.0) > HEARD_ANEW_SECONDS
        return joined.begun_anew(at) if late else joined

    def unseen_for(self, seconds: float, at: float) -> Rollout:
        """So long, until now, nobody could see how it goes."""
        return replace(self, lost_seconds=(self.lost_seconds or 0.0) + seconds, seen_again_at=at)

    def begun_anew(self, at: float) -> Rollout:
        """Programs of its replicas were ended by something outside, and start anew: none of its time is spent."""
        since = self.analysis_since or self.progressed_at
        return replace(self, lost_seconds=max(self.lost_seconds or 0.0, at - since))

    @property
    def analysis_since(self) -> float | None:
        """Since when its canary is analysed; None while there is nothing to wait for."""
        return None if self.promoted else self.canary_at

    def progressed(self, available: int, at: float) -> Rollout:
        """More new replicas can be relied on than ever before."""
        return replace(self, progressed_at=at, max_available=available, lost_seconds=None)

    def resumed(self, to_hash: str, at: float) -> Rollout:
        """What held up a rollout to this version from outside is over: it has its time from here."""
        return replace(self, progressed_at=at, lost_seconds=None) if to_hash == self.to_hash else self

    def canary_entered_traffic(self, at: float) -> Rollout:
        return replace(self, canary_at=at, lost_seconds=None)

    def canary_called_off(self, at: float) -> Rollout:
        """The spec asks for no canary any more: the rollout goes on from here."""
        return replace(self, canary_at=None, progressed_at=at, lost_seconds=None)

    def canary_promoted(self, at: float) -> Rollout:
        return replace(self, promoted=True, progressed_at=at, lost_seconds=None)


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
    when the app was first absent from the source; ``unrest`` what keeps happening to replicas of this version.
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
    unrest: Unrest = Unrest()

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

    def has_given_up(self, spec_hash: str) -> bool:
        """Whether replicas of this hash are of a version that was given up, and of no other: a version may fail by its
        checks alone, and have the containers of the one that serves."""
        stable = self.stable.spec_hash if self.stable else ""
        return self.failed is not None and spec_hash == self.failed.spec_hash != stable

    def read_again(self, version: Version) -> AppState:
        """The source has it, as it was: at most at another revision."""
        return replace(self, version=version, missing_since=None)

    def changed(self, version: Version, at: float) -> AppState:
        """The source has another spec of it."""
        former, unrest = self.former, self.unrest
        if version.spec_hash != self.version.spec_hash:
            former, unrest = (*former, self.version)[-KEPT_FORMER_VERSIONS:], Unrest()
        return replace(self, version=version, former=former, unrest=unrest, missing_since=None, updated_at=at)

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

    def restless(self, at: float, *, replaced: int = 0, restarted: int = 0) -> AppState:
        """So many of its replicas were replaced as unhealthy, or started again."""
        return replace(self, unrest=self.unrest.once_more(at, replaced=replaced, restarted=restarted))

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
        return replace(self, failed=failed, pacing=Pacing(replacement=self.pacing.replacement), unrest=Unrest())

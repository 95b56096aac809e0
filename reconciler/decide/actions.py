"""The actions one app needs now: what reconciling asks for, held to the gates that keep requests from being dropped.

Images, new replicas and those that are to run again, each once it may be tried; how one that is to go does so stands in
`retiring`. What can't be done yet becomes a wait with its reason, so that nothing is ever merely silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from reconciler.decide.addresses import Addresses, NameOf, free_slots
from reconciler.decide.app_view import AppView
from reconciler.decide.differences import changed_checks
from reconciler.decide.phases import Phase, Replica
from reconciler.decide.reconcile import Reconciliation, creation_backoff
from reconciler.decide.retiring import VANISHING_POLL_SECONDS, Drain, in_flight, retire
from reconciler.decide.state.checks import on_trial
from reconciler.decide.state.repetition import pause
from reconciler.decide.words import exit_words, queued_words
from reconciler.model.actions import (
    Action,
    CheckCreation,
    CreateReplica,
    EnsureImage,
    GiveBackRestarts,
    StartReplica,
    TakeOverRestarts,
)
from reconciler.model.observed import Observed
from reconciler.model.plan import Wait
from reconciler.model.reasons import Reason
from reconciler.model.replica_state import ReplicaState, Traffic


@dataclass(frozen=True, slots=True)
class AppActions:
    """The next actions of an app. ``created`` is what is remembered from now on of replicas that are being made."""

    actions: tuple[Action, ...] = ()
    waits: tuple[Wait, ...] = ()
    created: Mapping[str, ReplicaState] = field(default_factory=dict)

    @classmethod
    def of(cls, steps: Iterable[Action | Wait | None], created: Mapping[str, ReplicaState] | None = None) -> AppActions:
        taken = [step for step in steps if step is not None]
        return cls(
            tuple(step for step in taken if not isinstance(step, Wait)),
            tuple(step for step in taken if isinstance(step, Wait)),
            created or {},
        )

    @classmethod
    def together(cls, several: Sequence[AppActions]) -> AppActions:
        """Those of several apps as one."""
        return cls(
            tuple(chain.from_iterable(own.actions for own in several)),
            tuple(chain.from_iterable(own.waits for own in several)),
            {name: replica for own in several for name, replica in own.created.items()},
        )


def actions_of(
    view: AppView, reconciliation: Reconciliation, observed: Observed, addresses: Addresses, name_of: NameOf
) -> AppActions:
    """The next actions of one app, and what it waits for."""
    at_rest = len(view.existing) == len(view.in_slots)
    if view.complete and at_rest and not any(replica.state.restarts.by_controller for replica in view.existing):
        return AppActions(waits=reconciliation.waits)
    steps: list[Action | Wait | None] = list(reconciliation.waits)
    created: dict[str, ReplicaState] = {}
    for replica in _in_turn(view):
        cause = reconciliation.retire.get(replica.name)
        if cause or (replica.is_going and not view.suspended):
            unwell = replica.unwell or view.app.has_given_up(replica.spec_hash)
            steps.append(retire(replica, cause or "", Drain.of(view, replica), observed, keeps_log=unwell))
        elif not view.suspended:
            steps.append(_recover(view, replica))
    if reconciliation.pull:
        steps.append(_pull(view, observed))
    if reconciliation.check:
        steps.append(_check(view, reconciliation, observed, name_of))
    for slot in _new_slots(view, reconciliation, observed, name_of):
        step = _create(view, reconciliation, slot, name_of, addresses, observed)
        steps.append(step)
        if isinstance(step, CreateReplica):
            created[step.name] = _remembered(view, step)
    return AppActions.of(steps, created)


def _in_turn(view: AppView) -> list[Replica]:
    """The replicas that are there, those of a version that is set aside last."""
    return sorted(view.in_slots, key=lambda replica: replica.spec_hash == view.composition.set_aside)


def _recover(view: AppView, replica: Replica) -> Action | Wait | None:
    """Bring a replica that should run back to running, in place; or hand its crash loop to the back-off."""
    state, container, restarts = replica.state, replica.container, replica.state.restarts
    backoff = restarts.backoff
    if replica.busy or container is None:
        return in_flight(replica)
    if replica.phase is Phase.VANISHING:
        message = f"{state.name} is being removed from outside; it is created anew once it is gone"
        return Wait(view.name, message, view.now + VANISHING_POLL_SECONDS)
    if backoff and backoff.reason is Reason.CRASH_LOOP and not restarts.by_controller:
        cause = f"{backoff.message}; the controller paces its restarts from here"
        return TakeOverRestarts(view.name, state.name, container.id, cause)
    if replica.phase is Phase.PAUSED:
        return Wait(view.name, f"{state.name} was paused from outside; `docker unpause {state.name}` lets it go on")
    if restarts.by_controller and backoff is None and replica.ready:
        return GiveBackRestarts(view.name, state.name, container.id, "well for so long that its crash loop is over")
    if replica.phase not in (Phase.CRASHED, Phase.CREATED):
        return _unready(view, replica)
    if backoff and backoff.blocks(view.now):
        message = f"{state.name} {backoff.message}; next start is attempt {backoff.attempts + 1}"
        return Wait(view.name, message, backoff.next_at)
    if replica.phase is Phase.CREATED:
        return _finish_creating(view, replica)
    return StartReplica(view.name, state.name, container.id, exit_words(state.exits.code, state.exits.out_of_memory))


def _unready(view: AppView, replica: Replica) -> Wait | None:
    """What a replica that runs still lacks."""
    state, leading = replica.state, view.composition.leading
    min_seconds = leading.app.spec.strategy.min_ready_seconds
    if not replica.fits(leading.spec_hash, view.now) or replica.available(min_seconds, view.now):
        return None
    changed = changed_checks(view.app.stable, view.app.version) if on_trial(view.app) else ""
    if state.ready_at is None:
        why = "; ".join(filter(None, (state.last_failed_answer, changed)))
        return Wait(view.name, f"waiting for {state.name} to become ready" + (f": {why}" if why else ""))
    if view.now < state.ready_at + min_seconds:
        message = f"waiting for {state.name} to have been ready for {min_seconds:g} s (minReadySeconds)"
        return Wait(view.name, message, state.ready_at + min_seconds)
    why = f": {changed}" if changed else ""
    return Wait(view.name, f"waiting for {state.name} to answer its check for the first time{why}")


def _finish_creating(view: AppView, replica: Replica) -> Action | Wait | None:
    """Creating was cut off, so its files may be missing: the same action again does what is left of it."""
    state, leading = replica.state, view.composition.leading
    if not replica.fits(leading.spec_hash, view.now):
        return None
    if wait := creation_backoff(view):
        return replace(wait, message=f"{state.name} was never started: {wait.message}")
    if view.app.image_ready != leading.spec_hash:
        return Wait(view.name, f"{state.name} was never started: waiting for image {leading.app.spec.image}")
    cause = "created, but never started"
    action = CreateReplica(view.name, view.version_to_create, state.slot, state.name, state.address, view.count, cause)
    return pause(view.app, action, "it still does not run", view.now) or action


def _pull(view: AppView, observed: Observed) -> Action | Wait:
    leading = view.composition.leading
    cause = f"needed before creating replicas (imagePullPolicy {leading.app.spec.image_pull_policy})"
    action = EnsureImage(view.name, leading, cause)
    if any(busy.key == action.key for busy in observed.in_flight):
        queued = queued_words(observed.queued.get(action.key), "pull")
        return Wait(view.name, f"waiting for image {leading.app.spec.image}{queued}")
    return pause(view.app, action, "it is still missing", view.now) or action


def _check(view: AppView, reconciliation: Reconciliation, observed: Observed, name_of: NameOf) -> Action | Wait:
    cause = "known before a replica ends for it"
    (slot,) = free_slots(1, {replica.slot for replica in view.in_slots}, name_of, observed.inventory.foreign_names)
    replica = CreateReplica(
        view.name, view.version_to_create, slot, name_of(slot), "", view.count, reconciliation.create_cause
    )
    action = CheckCreation(view.name, replica, cause)
    if any(busy.key == action.key for busy in observed.in_flight):
        queued = queued_words(observed.queued.get(action.key))
        return Wait(view.name, f"waiting to hear whether a replica could be created{queued}")
    return action


def _new_slots(view: AppView, reconciliation: Reconciliation, observed: Observed, name_of: NameOf) -> list[int]:
    if not reconciliation.create:
        return []
    used = {replica.slot for replica in view.in_slots}
    return free_slots(reconciliation.create, used, name_of, observed.inventory.foreign_names)


def _create(
    view: AppView,
    reconciliation: Reconciliation,
    slot: int,
    name_of: NameOf,
    addresses: Addresses,
    observed: Observed,
) -> Action | Wait:
    before = _predecessor(view, name_of(slot))
    address = addresses.take(before.address if before else "")
    if address is None:
        return Wait(view.name, addresses.none_left)
    cause = reconciliation.create_cause + _displaced(view, slot, name_of, observed.inventory.foreign_names)
    action = CreateReplica(view.name, view.version_to_create, slot, name_of(slot), address, view.count, cause)
    return pause(view.app, action, _differing(before, action.version.spec_hash), view.now) or action


def _differing(before: ReplicaState | None, spec_hash: str) -> str:
    """What became of the replica the last time it was created."""
    if before is not None and before.spec_hash != spec_hash:
        return f"its label orchestry.spec-hash is {before.spec_hash} instead of {spec_hash}"
    return "its container is gone again"


def _remembered(view: AppView, action: CreateReplica) -> ReplicaState:
    """What is known of a replica from the moment it is asked for."""
    spec_hash = action.version.spec_hash
    if before := _predecessor(view, action.name):
        return before.successor("", action.address, spec_hash, view.now)
    # The served table may still route to the name: its last replica is forgotten once the app can do without it.
    traffic = Traffic(entered=action.name in view.routed)
    return ReplicaState(action.name, view.name, action.slot, "", action.address, spec_hash, view.now, traffic=traffic)


def _predecessor(view: AppView, name: str) -> ReplicaState | None:
    return next((replica.state for replica in view.replicas if replica.name == name), None)


def _displaced(view: AppView, slot: int, name_of: NameOf, foreign_names: frozenset[str]) -> str:
    """Which lower slots were passed over, since somebody else's container has their name."""
    used = {replica.slot for replica in view.in_slots}
    names = [name_of(lower) for lower in range(1, slot) if lower not in used and name_of(lower) in foreign_names]
    return f" ({', '.join(names)} is the name of a container that is not ours)" if names else ""

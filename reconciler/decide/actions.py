"""The actions one app needs now: what reconciling asks for, held to the gates that keep requests from being dropped.

A replica is asked to end only when the last successfully published route table has lacked it for its drain time (or no
request is left in it) or, where its name alone leads to it, when nobody has a connection to it. It is removed only when
it has ended or had its grace. What can't be done yet becomes a wait with its reason, so that nothing is ever merely
silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from reconciler.decide.addresses import Addresses, NameOf, free_slots
from reconciler.decide.app_view import AppView
from reconciler.decide.differences import changed_checks
from reconciler.decide.phases import ENDING, RUNNING, Phase, Replica
from reconciler.decide.reconcile import Reconciliation, creation_backoff
from reconciler.decide.state.checks import on_trial
from reconciler.decide.state.repetition import pause
from reconciler.decide.words import exit_words, queued_words
from reconciler.model.actions import (
    Action,
    CheckCreation,
    CreateReplica,
    EnsureImage,
    GiveBackRestarts,
    RemoveReplica,
    StartReplica,
    StopReplica,
    TakeOverRestarts,
)
from reconciler.model.observed import Container, Observed
from reconciler.model.plan import Wait
from reconciler.model.reasons import Reason
from reconciler.model.replica_state import Ending, ReplicaState, Traffic

DRAIN_POLL_SECONDS = 0.25
# Until connections are looked for the first time.
LOOK_SECONDS = 0.05
# While somebody removes a container, it is looked at again so often.
VANISHING_POLL_SECONDS = 2.0

_MAY_BE_ANSWERING = RUNNING | {Phase.PAUSED}
_OF_REMAINS = "it runs no more, and only remains of it are left"


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
        is_going = replica.phase in ENDING or replica.phase is Phase.REMAINS
        if cause or (is_going and not view.suspended):
            unwell = replica.unwell or view.app.has_given_up(replica.spec_hash)
            grace_seconds, by_name = view.grace_seconds(replica), view.is_called_by_name(replica)
            step = retire(replica, cause or "", grace_seconds, view.routed, observed, keeps_log=unwell, by_name=by_name)
            steps.append(step)
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


def remove_all(
    replicas: Iterable[Replica],
    cause: str,
    grace_seconds_of: Callable[[Replica], float],
    routed: frozenset[str],
    observed: Observed,
    is_called_by_name: Callable[[Replica], bool] = lambda _: False,
) -> AppActions:
    """Let every one of these go, each as soon as nothing reaches it."""
    return AppActions.of(
        retire(r, cause, grace_seconds_of(r), routed, observed, by_name=is_called_by_name(r)) for r in replicas
    )


def retire(
    replica: Replica,
    cause: str,
    grace_seconds: float,
    routed: frozenset[str],
    observed: Observed,
    *,
    keeps_log: bool = False,
    by_name: bool = False,
) -> Action | Wait:
    """Stop the replica if nothing reaches it any more, and remove it once it has ended; else say what is still to
    happen first. ``keeps_log``: what it said last goes on record. ``by_name``: only its name leads to it."""
    state, removal = replica.state, replica.state.removal
    if replica.phase is Phase.VANISHING:
        return _vanishing(replica, observed.at)
    if replica.phase is Phase.LEAVING:
        return Wait(state.app_name, f"waiting for {state.name} to be gone{_queued(replica)}")
    if replica.container is None or replica.busy:
        return _in_flight(replica)
    if state.name in routed:
        return Wait(state.app_name, f"waiting for nginx to stop routing to {state.name}")
    if removal and removal.blocks(observed.at):
        return Wait(state.app_name, f"{state.name} is not removed: {removal.what_next}", removal.next_at)
    draining = None if state.ending else _draining(replica, grace_seconds, observed, by_name=by_name)
    if draining:
        return draining
    ending = state.ending or Ending(cause or _OF_REMAINS, grace_seconds, keeps_log)
    return _end(replica, ending, replica.container, observed.at)


def _end(replica: Replica, ending: Ending, container: Container, now: float) -> Action | Wait:
    """Ask the program of a replica that nothing reaches to end, and give it its grace; then remove its container."""
    state, until = replica.state, ending.grace_until
    if container.may_run and ending.grace_seconds:
        if until is None:
            return StopReplica(
                state.app_name, state.name, container.id, ending.cause, ending.grace_seconds, ending.keeps_log
            )
        if now < until:
            message = f"waiting for {state.name} to end: it was asked to, and has {ending.grace_seconds:g} s for that"
            return Wait(state.app_name, message, until)
    return RemoveReplica(state.app_name, state.name, container.id, ending.cause, ending.keeps_log)


def _vanishing(replica: Replica, now: float) -> Wait:
    """The wait for a container that somebody removes, and looks at it again meanwhile: it may never be gone."""
    return Wait(replica.state.app_name, f"waiting for {replica.name} to be gone", now + VANISHING_POLL_SECONDS)


def _in_flight(replica: Replica) -> Wait:
    return Wait(replica.state.app_name, f"waiting for the action in flight on {replica.name}{_queued(replica)}")


def _queued(replica: Replica) -> str:
    """What the action in flight waits for itself, if it has not begun."""
    return queued_words(replica.queued_behind)


def _draining(replica: Replica, grace_seconds: float, observed: Observed, *, by_name: bool) -> Wait | None:
    """What a replica that is on its way out still has to run for; None when it may stop."""
    state, traffic, now = replica.state, replica.state.traffic, observed.at
    if not (traffic.entered or by_name):
        return None
    if traffic.routed:
        return Wait(state.app_name, f"waiting for a published route table without {state.name}")
    if replica.phase not in _MAY_BE_ANSWERING:
        return None
    since = traffic.closing_since if by_name else traffic.left_at  # it may have had a route before
    if since is None:
        return Wait(state.app_name, f"looking for connections to {state.name}", now + LOOK_SECONDS)
    end, left = since + grace_seconds, _left(replica, observed, by_name=by_name)
    if left == "" or now >= end:
        return None
    if left is None:
        return Wait(state.app_name, f"draining {state.name} for {grace_seconds:g} s", end)
    message = f"draining {state.name} for at most {grace_seconds:g} s: {left}"
    return Wait(state.app_name, message, min(end, now + DRAIN_POLL_SECONDS))


def _left(replica: Replica, observed: Observed, *, by_name: bool) -> str | None:
    """What still reaches a replica that is on its way out: "" where that is nothing, None where it isn't known."""
    state, container = replica.state, replica.container
    callers = observed.callers.get(container.id) if container else None
    if by_name:
        if callers is None:  # What is not ready gives nobody a reason to call.
            return None if state.ready_at is not None else ""
        return _connections(len(callers))
    requests = observed.open_requests.get(state.address)
    if requests is None:
        return None
    # Others than replicas are nginx, which tells of its requests itself, whoever checks it, and people.
    ours = {other.address for other in observed.containers}
    connections = sum(caller in ours for caller in callers or ())
    return " and ".join(filter(None, (f"{requests} requests in flight" if requests else "", _connections(connections))))


def _connections(number: int) -> str:
    return f"{number} connection{'s' if number > 1 else ''} open" if number else ""


def _in_turn(view: AppView) -> list[Replica]:
    """The replicas that are there, those of a version that is set aside last."""
    return sorted(view.in_slots, key=lambda replica: replica.spec_hash == view.composition.set_aside)


def _recover(view: AppView, replica: Replica) -> Action | Wait | None:
    """Bring a replica that should run back to running, in place; or hand its crash loop to the back-off."""
    state, container, restarts = replica.state, replica.container, replica.state.restarts
    backoff = restarts.backoff
    if replica.busy or container is None:
        return _in_flight(replica)
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

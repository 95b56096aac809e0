"""The actions one app needs now: what was chosen, held to the gates that keep requests from being dropped.

A replica is stopped only when the last successfully published route table has lacked it for its drain time (or no
request is left in it). What can't be done yet becomes a wait with its reason, so that nothing is ever merely silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.decide.addresses import NameOf, free_slots, next_address
from reconciler.decide.backoff import blocks
from reconciler.decide.replicas import Phase, Replica
from reconciler.decide.rollout import AppView, Choice
from reconciler.model.actions import (
    Action,
    CreateReplica,
    EnsureImage,
    RemoveReplica,
    StartReplica,
    TakeOverRestarts,
)
from reconciler.model.memory import ReplicaMemory
from reconciler.model.observed import Observed
from reconciler.model.plan import Wait

DRAIN_POLL_SECONDS = 0.25


@dataclass(slots=True)
class Addresses:
    """The addresses still to be given in this tick. Mutable on purpose: two apps must not get the same one."""

    observed: Observed
    taken: set[str]
    last: str

    def take(self, preferred: str) -> str | None:
        """The preferred address where it is ours to give, else the next free one; None when the network is full."""
        if preferred:
            return preferred
        address = next_address(self.observed.network, self.taken, self.last)
        if address is not None:
            self.taken.add(address)
            self.last = address
        return address


@dataclass(frozen=True, slots=True)
class Steps:
    actions: tuple[Action, ...] = ()
    waits: tuple[Wait, ...] = ()
    created: Mapping[str, ReplicaMemory] = field(default_factory=dict)


def steps(view: AppView, choice: Choice, observed: Observed, addresses: Addresses, name_of: NameOf) -> Steps:
    """The next actions of one app, and what it waits for."""
    grace_seconds = view.target.app.spec.termination_grace_period_seconds
    found: list[Action | Wait | None] = []
    for replica in view.replicas:
        if replica.busy or not replica.exists:
            continue
        if cause := choice.retire.get(replica.name):
            found.append(retire(replica, cause, grace_seconds, view.routed, observed))
        else:
            found.append(_recover(view, replica))
    actions = tuple(step for step in found if step is not None and not isinstance(step, Wait))
    waits = (*choice.waits, *(step for step in found if isinstance(step, Wait)))
    if not choice.create:
        return Steps(actions, waits)
    made = _create(view, choice, observed, addresses, name_of)
    return Steps((*actions, *made.actions), (*waits, *made.waits), made.created)


def remove_all(
    replicas: Iterable[Replica], cause: str, grace_seconds: float, routed: frozenset[str], observed: Observed
) -> Steps:
    """Let every one of these go, each as soon as nothing reaches it."""
    found = [retire(r, cause, grace_seconds, routed, observed) for r in replicas if r.exists and not r.busy]
    actions = tuple(step for step in found if not isinstance(step, Wait))
    return Steps(actions, tuple(step for step in found if isinstance(step, Wait)))


def retire(
    replica: Replica, cause: str, grace_seconds: float, routed: frozenset[str], observed: Observed
) -> Action | Wait:
    """Remove the replica if nothing reaches it any more; else say what is still to happen first."""
    memory = replica.memory
    if replica.container is None or replica.phase is Phase.LEAVING:
        return Wait(memory.app_name, f"waiting for {memory.name} to be gone")
    if memory.name in routed:
        return Wait(memory.app_name, f"waiting for nginx to stop routing to {memory.name}")
    if left := _drain_left(replica, grace_seconds, observed):
        until, message = left
        return Wait(memory.app_name, f"draining {memory.name}: {message}", until)
    return RemoveReplica(memory.app_name, memory.name, replica.container.id, grace_seconds, cause)


def _drain_left(replica: Replica, grace_seconds: float, observed: Observed) -> tuple[float, str] | None:
    """Until when, and for what, a replica that left the route table still has to run; None when it may stop."""
    memory, now = replica.memory, observed.at
    serving = replica.phase in (Phase.READY, Phase.UNREADY, Phase.UNHEALTHY, Phase.STARTING)
    if not memory.ever_routed or not serving:
        return None
    if memory.unrouted_at is None:
        return now, "waiting for a published route table without it"
    open_requests = observed.open_requests.get(memory.address)
    end = memory.unrouted_at + grace_seconds
    if open_requests == 0 or not now < end <= now + grace_seconds:
        return None
    if open_requests is None:
        return end, f"{end - now:.1f} s left for requests in flight"
    return min(end, now + DRAIN_POLL_SECONDS), f"{open_requests} requests in flight, {end - now:.1f} s left"


def _recover(view: AppView, replica: Replica) -> Action | Wait | None:
    """Bring a replica that should run back to running, in place; or hand its crash loop to the back-off."""
    memory, container, app_name = replica.memory, replica.container, view.app.name
    if container is None or view.app.version.app.spec.suspend:
        return None
    looping = memory.backoff is not None and memory.backoff.reason == "CrashLoopBackOff"
    if looping and not memory.taken_over and replica.phase in (Phase.RESTARTING, Phase.CRASHED, Phase.STARTING):
        cause = f"{memory.backoff.message}: the controller paces its restarts from here" if memory.backoff else ""
        return TakeOverRestarts(app_name, memory.name, container.id, cause)
    if replica.phase is Phase.PAUSED:
        return Wait(app_name, f"{memory.name} was paused from outside; `docker unpause {memory.name}` lets it go on")
    if replica.phase not in (Phase.CRASHED, Phase.CREATED):
        return None
    if memory.backoff and blocks(memory.backoff, view.now):
        attempt = f"next start is attempt {memory.backoff.attempts + 1}"
        return Wait(app_name, f"{memory.name} {memory.backoff.message}; {attempt}", memory.backoff.next_at)
    cause = "created, but never started"
    if replica.phase is Phase.CRASHED:
        cause = f"exited with code {memory.exit_code}" if memory.exit_code is not None else "not running"
    return StartReplica(app_name, memory.name, container.id, cause)


def _create(view: AppView, choice: Choice, observed: Observed, addresses: Addresses, name_of: NameOf) -> Steps:
    app = view.app
    if app.image_ready != view.target.spec_hash:
        return _ensure_image(view, observed)
    used = {r.slot for r in view.replicas if r.exists}
    remembered = {r.slot: r.memory for r in view.replicas if not r.exists}
    actions: list[Action] = []
    created: dict[str, ReplicaMemory] = {}
    for slot in free_slots(choice.create, used, name_of, observed.foreign_names):
        name, previous = name_of(slot), remembered.get(slot)
        address = addresses.take(previous.address if previous else "")
        if address is None:
            message = f"no address is left on network {observed.network.name}; remove replicas, or use another"
            return Steps(tuple(actions), (Wait(app.name, message),), created)
        cause = choice.create_cause + _displaced(slot, used, name_of, observed.foreign_names)
        actions.append(CreateReplica(app.name, view.target, slot, name, address, view.count, cause))
        created[name] = previous or ReplicaMemory(name, app.name, slot, "", address, view.target.spec_hash, view.now)
    return Steps(tuple(actions), (), created)


def _displaced(slot: int, used: Iterable[int], name_of: NameOf, foreign_names: frozenset[str]) -> str:
    names = [name_of(lower) for lower in range(1, slot) if lower not in used and name_of(lower) in foreign_names]
    return f" ({', '.join(names)} is the name of a container that is not ours)" if names else ""


def _ensure_image(view: AppView, observed: Observed) -> Steps:
    image = view.target.app.spec.image
    policy = view.target.app.spec.image_pull_policy
    action = EnsureImage(view.app.name, view.target, f"needed before creating replicas (imagePullPolicy {policy})")
    if any(busy.key == action.key for busy in observed.in_flight):
        return Steps(waits=(Wait(view.app.name, f"waiting for image {image}"),))
    return Steps((action,))

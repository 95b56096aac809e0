"""What must hold of every plan, checked before any of it is done.

Written against the plan's result and not its reasoning: a mistake in `reconcile` or `actions` must not be able to hide
here. A violation is a bug of ours; the app concerned is left alone, and the others go on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf

from reconciler.decide.app_view import AppView
from reconciler.decide.volumes import shared_by
from reconciler.model.actions import (
    Action,
    CheckCreation,
    CreateReplica,
    EnsureImage,
    Preparation,
    RemoveReplica,
    StopReplica,
)
from reconciler.model.observed import ContainerState, Observed

_FOREIGN = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that an action would break."""

    app_name: str
    message: str


def violations(
    actions: tuple[Action, ...], views: Mapping[str, AppView], observed: Observed, routed: frozenset[str]
) -> tuple[Violation, ...]:
    """Everything these actions would break. ``views`` are of apps that stay; ``routed`` the names in the table that
    is being served."""
    if not actions:
        return ()
    broken = [*_ours_only(actions, observed), *_unique(actions, observed), *_nothing_routed(actions, routed)]
    by_app: defaultdict[str, list[Action]] = defaultdict(list)
    for action in actions:
        by_app[action.app_name].append(action)
    for name, own in by_app.items():
        if name in views:
            broken += [*_counts(views[name], own), *_one_writer(views[name], own), *_asked_first(views[name], own)]
    return tuple(broken)


def _ours_only(actions: tuple[Action, ...], observed: Observed) -> Iterable[Violation]:
    ours = {(container.id, container.name) for container in observed.containers}
    for action in actions:
        if isinstance(action, CreateReplica) and action.name in observed.inventory.foreign_names:
            yield Violation(action.app_name, f"would create {action.name}, the name of a container that is not ours")
        if isinstance(action, Preparation):
            continue
        if (action.container_id, action.name) not in ours:
            yield Violation(action.app_name, f"would {action.verb} {action.name}, which was not seen as ours")


def _unique(actions: tuple[Action, ...], observed: Observed) -> Iterable[Violation]:
    """One action on a replica at a time, nothing created that is there, and no address for two."""
    started = {container.name for container in observed.containers if container.state is not ContainerState.CREATED}
    on_replicas = [a for a in (*actions, *observed.in_flight) if not isinstance(a, EnsureImage | CheckCreation)]
    keys = Counter(action.key for action in on_replicas)
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for container in observed.containers:
        owners[container.address or ""].add(container.name)
    for create in on_replicas:
        if isinstance(create, CreateReplica):
            owners[create.address].add(create.name)
    for address in observed.inventory.foreign_addresses:
        owners[address].add(_FOREIGN)
    for action in actions:
        if keys[action.key] > 1:
            yield Violation(action.app_name, f"would act twice on {action.key}")
        if isinstance(action, CreateReplica) and action.name in started:
            yield Violation(action.app_name, f"would create {action.name}, which is there already")
        if isinstance(action, CreateReplica) and owners[action.address] != {action.name}:
            yield Violation(action.app_name, f"would give {action.address} to {action.name}, and it is taken")


def _nothing_routed(actions: tuple[Action, ...], routed: frozenset[str]) -> Iterable[Violation]:
    for action in actions:
        if isinstance(action, StopReplica | RemoveReplica) and action.name in routed:
            message = f"would {action.verb} {action.name}, which the published table routes to"
            yield Violation(action.app_name, message)


def _counts(view: AppView, actions: list[Action]) -> Iterable[Violation]:
    existing = {replica.name for replica in view.existing}
    created = {action.name for action in actions if isinstance(action, CreateReplica)} - existing
    if created and len(existing) + len(created) > view.count + view.surge:
        message = f"would have {len(existing) + len(created)} replicas, {view.count} + {view.surge} allowed"
        yield Violation(view.name, message)
    removed = {action.name for action in actions if isinstance(action, StopReplica | RemoveReplica)}
    ready = {replica.name for replica in view.existing if replica.ready}
    if removed & ready and len(ready - removed) < view.min_available:
        message = f"would leave {len(ready - removed)} ready replicas, at least {view.min_available} are promised"
        yield Violation(view.name, message)


def _asked_first(view: AppView, actions: list[Action]) -> Iterable[Violation]:
    """Nobody is killed who wasn't asked to end, and given the grace of its version."""
    removed = {action.name for action in actions if isinstance(action, RemoveReplica)}
    for replica in view.in_slots:
        if replica.name not in removed or not (replica.container and replica.container.may_run):
            continue
        ending = replica.state.ending
        if view.grace_seconds(replica) and (ending is None or view.now < (ending.grace_until or inf)):
            yield Violation(view.name, f"would kill {replica.name}, which was not asked to end or has grace left")


def _one_writer(view: AppView, actions: list[Action]) -> Iterable[Violation]:
    """Nobody begins to write to a volume beside whoever is on the way out of it."""
    for action in actions:
        if isinstance(action, CreateReplica) and (writers := view.awaited_writers(action.version)):
            volume = shared_by(writers[0], action.version.app)
            yield Violation(
                view.name, f"would create {action.name} beside {writers[0].name}, and both write to {volume}"
            )

"""What must hold of every plan, checked before any of it is done.

Written against the plan's result and not its reasoning: a mistake in `rollout` or `steps` must not be able to hide
here. A violation is a bug of ours; the app concerned is left alone, and the others go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.decide.rollout import AppView
from reconciler.model.actions import Action, CreateReplica, EnsureImage, RemoveReplica
from reconciler.model.observed import Observed


@dataclass(frozen=True, slots=True)
class Violation:
    app_name: str
    message: str


def violations(
    actions: Iterable[Action],
    views: Mapping[str, AppView],
    leaving: frozenset[str],
    observed: Observed,
    routed: frozenset[str],
) -> tuple[Violation, ...]:
    """Everything these actions would break."""
    actions = tuple(actions)
    found = [*_ours_only(actions, observed), *_unique(actions, observed), *_nothing_routed(actions, routed)]
    for name, view in views.items():
        if name not in leaving:
            found += _counts(name, view, [a for a in actions if a.app_name == name])
    return tuple(found)


def _ours_only(actions: tuple[Action, ...], observed: Observed) -> Iterable[Violation]:
    ours = {(c.id, c.name) for c in observed.containers}
    for action in actions:
        if isinstance(action, EnsureImage):
            continue
        if isinstance(action, CreateReplica):
            if action.name in observed.foreign_names:
                yield Violation(
                    action.app_name, f"would create {action.name}, the name of a container that is not ours"
                )
        elif (action.container_id, action.name) not in ours:
            yield Violation(action.app_name, f"would {action.verb} {action.name}, which was not seen as ours")


def _unique(actions: tuple[Action, ...], observed: Observed) -> Iterable[Violation]:
    names = Counter(action.key for action in actions if not isinstance(action, EnsureImage))
    in_flight = {action.key for action in observed.in_flight}
    taken = Counter(c.address for c in observed.containers if c.address) | Counter(observed.foreign_addresses)
    taken += Counter(a.address for a in (*actions, *observed.in_flight) if isinstance(a, CreateReplica))
    for action in actions:
        if isinstance(action, EnsureImage):
            continue
        if names[action.key] > 1 or action.key in in_flight:
            yield Violation(action.app_name, f"would act twice on {action.key}")
        if isinstance(action, CreateReplica) and taken[action.address] > 1:
            yield Violation(action.app_name, f"would give {action.address} to {action.name}, and it is taken")


def _nothing_routed(actions: tuple[Action, ...], routed: frozenset[str]) -> Iterable[Violation]:
    for action in actions:
        if isinstance(action, RemoveReplica) and action.name in routed:
            yield Violation(action.app_name, f"would remove {action.name}, which the published table routes to")


def _counts(name: str, view: AppView, actions: list[Action]) -> Iterable[Violation]:
    created = sum(isinstance(action, CreateReplica) for action in actions)
    if created and len(view.existing) + created > view.count + view.surge:
        yield Violation(
            name, f"would have {len(view.existing) + created} replicas, {view.count} + {view.surge} allowed"
        )
    removed = {action.name for action in actions if isinstance(action, RemoveReplica)}
    ready = {r.name for r in view.existing if r.ready}
    least = view.count - view.unavailable
    if removed & ready and len(ready - removed) < min(least, len(ready)):
        yield Violation(name, f"would leave {len(ready - removed)} ready replicas, at least {least} are promised")

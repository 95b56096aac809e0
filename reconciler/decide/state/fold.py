"""One observation folded into the state: what we did, what the source asks for, and what became of replicas.

It takes note, and decides one thing only, on which all else depends: which apps there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.decide.state import apps, images, outcomes, replicas
from reconciler.decide.state.clock import without_future
from reconciler.model.events import Event
from reconciler.model.observed import Observed
from reconciler.model.plan import DecisionSettings
from reconciler.model.state import State


@dataclass(frozen=True, slots=True)
class Folded:
    """A state that an observation was folded into. ``leaving`` are apps to be removed; ``held_back`` says why others
    are not, for people."""

    state: State
    events: tuple[Event, ...]
    leaving: frozenset[str]
    held_back: str


def fold(observed: Observed, state: State, settings: DecisionSettings) -> Folded:
    """The state after this observation, and all that happened since the last one."""
    state, finished = outcomes.absorb(without_future(state, observed.at), observed.outcomes, observed.at)
    registration = apps.register(observed, state, settings)
    state, happened = replicas.follow(registration.state, observed)
    if observed.images:
        state = replace(state, apps=images.noted(state.apps, observed.images))
    events = (*finished, *registration.events, *happened)
    return Folded(state, events, registration.leaving, registration.held_back)

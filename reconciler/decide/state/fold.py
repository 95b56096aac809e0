"""One observation folded into the state: what we did, what the source asks for, and what became of replicas.

It takes note, and decides one thing only, on which all else depends: which apps there are.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.state import absence, checks, images, outcomes, replicas, secrets, unrest
from reconciler.decide.state.apps import Registration, register
from reconciler.decide.state.clock import without_future
from reconciler.model.observed import Observed
from reconciler.model.plan import DecisionSettings
from reconciler.model.state import State


def fold(observed: Observed, state: State, settings: DecisionSettings) -> Registration:
    """The state after this observation, which apps are to leave, and all that happened since the last one."""
    earlier = absence.noted(without_future(state, observed.at), observed.at)
    state, finished = outcomes.absorb(earlier, observed.outcomes, observed.at)
    state = absence.without_failures_of_then(state, observed.at)
    registration = register(observed, state, settings)
    before, events = state.apps, (*finished, *registration.events)
    state, happened = replicas.follow(registration.state, observed)
    state = replace(state, apps=absence.rollouts_begun_anew(state, earlier.replicas, observed.at))
    state, failed = checks.tried(before, state, observed.at)
    apps = unrest.noted(state, earlier, observed.at)
    apps, changes = secrets.noticed(images.noted(apps, observed), observed)
    state = replace(state, apps=apps)
    return replace(registration, state=state, events=(*events, *happened, *failed, *changes))

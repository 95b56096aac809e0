"""Retiring: how a replica that is to go does so, held to the gates that keep requests from being dropped.

It is asked to end only when the last successfully published route table has lacked it for its drain time (or no request
is left in it) or, where its name alone leads to it, when nobody has a connection to it. It is removed only when it has
ended or had its grace. Which replicas are to go is `reconcile`'s to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.decide.app_view import AppView
from reconciler.decide.phases import RUNNING, Phase, Replica
from reconciler.decide.words import queued_words
from reconciler.model.actions import RemoveReplica, StopReplica
from reconciler.model.observed import Container, Observed
from reconciler.model.plan import Wait
from reconciler.model.replica_state import Ending

# While somebody removes a container, it is looked at again so often.
VANISHING_POLL_SECONDS = 2.0
_DRAIN_POLL_SECONDS = 0.25
# Until connections are looked for the first time.
_FIRST_LOOK_SECONDS = 0.05

_MAY_BE_ANSWERING = RUNNING | {Phase.PAUSED}
_OF_REMAINS = "it runs no more, and only remains of it are left"


@dataclass(frozen=True, slots=True)
class Drain:
    """What a replica's drain goes by: ``routed`` are those that the table may still lead to; ``by_name`` says that its
    name alone leads to it. It lasts for ``grace_seconds`` at most, and its program then has as long to end."""

    grace_seconds: float
    routed: frozenset[str] = frozenset()
    by_name: bool = False

    @classmethod
    def of(cls, view: AppView, replica: Replica) -> Drain:
        return cls(view.grace_seconds(replica), view.routed, view.is_called_by_name(replica))


def retire(
    replica: Replica, cause: str, drain: Drain, observed: Observed, *, keeps_log: bool = False
) -> StopReplica | RemoveReplica | Wait:
    """Stop the replica if nothing reaches it any more, and remove it once it has ended; else say what is still to
    happen first. ``keeps_log``: what it said last goes on record."""
    state, removal = replica.state, replica.state.removal
    if replica.phase is Phase.VANISHING:
        return _vanishing(replica, observed.at)
    if replica.phase is Phase.LEAVING:
        return Wait(state.app_name, f"waiting for {state.name} to be gone{_queued(replica)}")
    if replica.container is None or replica.busy:
        return in_flight(replica)
    if state.name in drain.routed:
        return Wait(state.app_name, f"waiting for nginx to stop routing to {state.name}")
    if removal and removal.blocks(observed.at):
        return Wait(state.app_name, f"{state.name} is not removed: {removal.what_next}", removal.next_at)
    draining = None if state.ending else _draining(replica, drain, observed)
    if draining:
        return draining
    ending = state.ending or Ending(cause or _OF_REMAINS, drain.grace_seconds, keeps_log)
    return _end(replica, ending, replica.container, observed.at)


def _end(replica: Replica, ending: Ending, container: Container, now: float) -> StopReplica | RemoveReplica | Wait:
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


def in_flight(replica: Replica) -> Wait:
    """The wait for what is being done to a replica already."""
    return Wait(replica.state.app_name, f"waiting for the action in flight on {replica.name}{_queued(replica)}")


def _queued(replica: Replica) -> str:
    """What the action in flight waits for itself, if it has not begun."""
    return queued_words(replica.queued_behind)


def _draining(replica: Replica, drain: Drain, observed: Observed) -> Wait | None:
    """What a replica that is on its way out still has to run for; None when it may stop."""
    state, traffic, now = replica.state, replica.state.traffic, observed.at
    if not (traffic.entered or drain.by_name):
        return None
    if traffic.routed:
        return Wait(state.app_name, f"waiting for a published route table without {state.name}")
    if replica.phase not in _MAY_BE_ANSWERING:
        return None
    since = traffic.closing_since if drain.by_name else traffic.left_at  # it may have had a route before
    if since is None:
        return Wait(state.app_name, f"looking for connections to {state.name}", now + _FIRST_LOOK_SECONDS)
    end, left = since + drain.grace_seconds, _left(replica, observed, by_name=drain.by_name)
    if left == "" or now >= end:
        return None
    if left is None:
        return Wait(state.app_name, f"draining {state.name} for {drain.grace_seconds:g} s", end)
    message = f"draining {state.name} for at most {drain.grace_seconds:g} s: {left}"
    return Wait(state.app_name, message, min(end, now + _DRAIN_POLL_SECONDS))


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

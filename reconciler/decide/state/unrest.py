"""Whose replicas are started again and again: what the restarts of replicas are to their apps.

It counts. What is told of it is the status's to say, and nothing follows from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from reconciler.model.app_state import AppState
from reconciler.model.restarts import Restarts
from reconciler.model.state import State
from reconciler.model.unrest import UNREST_SECONDS


def noted(state: State, before: State, now: float) -> Mapping[str, AppState]:
    """The apps with the restarts that were counted since ``before``. Those of a version that was given up are no
    trouble of what serves."""
    restarts: Counter[str] = Counter()
    for name, replica in state.replicas.items():
        old, app = before.replicas.get(name), state.apps.get(replica.app_name)
        if old is None or replica is old or replica.container_id != old.container_id or app is None:
            continue
        if not app.has_given_up(replica.spec_hash):
            restarts[app.name] += _restarts_of_late(replica.restarts, old.restarts, before.as_of, now)
    restless = {name: state.apps[name].restless(now, restarted=count) for name, count in restarts.items() if count}
    return {**state.apps, **restless} if restless else state.apps


def _restarts_of_late(restarts: Restarts, before: Restarts, as_of: float, now: float) -> int:
    """How many of the restarts since ``as_of`` were in the time that unrest is told for. Of those that were counted
    after the controller was away for longer, only of the last one it is known when that was."""
    times = restarts.total - before.total
    if times <= 0 or restarts.last_at is None or now - restarts.last_at >= UNREST_SECONDS:
        return 0
    return times if now - as_of < UNREST_SECONDS else 1

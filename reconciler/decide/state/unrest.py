"""Whose replicas are started again and again: what the restarts of replicas are to their apps.

It counts. What is told of it is the status's to say, and nothing follows from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from reconciler.model.app_state import AppState
from reconciler.model.replica_state import ReplicaState


def noted(
    apps: Mapping[str, AppState], before: Mapping[str, ReplicaState], replicas: Mapping[str, ReplicaState], now: float
) -> Mapping[str, AppState]:
    """The apps with the restarts that were counted since ``before``. Those of a version that was given up are no
    trouble of what serves."""
    restarts: Counter[str] = Counter()
    for name, replica in replicas.items():
        old = before.get(name)
        if old is None or replica is old or replica.container_id != old.container_id:
            continue
        app = apps.get(replica.app_name)
        if app is not None and not (app.failed and app.failed.spec_hash == replica.spec_hash):
            restarts[replica.app_name] += max(0, replica.restarts.total - old.restarts.total)
    restless = {name: apps[name].restless(now, restarted=count) for name, count in restarts.items() if count}
    return {**apps, **restless} if restless else apps

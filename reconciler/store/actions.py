"""The record of actions: an intent before each, and what came of it after, in the row that is still open."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from reconciler.model.actions import Action, Outcome
from reconciler.model.recorded import ActionRecord
from reconciler.store.rows import Row, row_of
from reconciler.store.statements import Writes
from reconciler.store.tables import actions


def intend(writes: Writes, intents: Iterable[Action], at: float) -> None:
    """Open a row for each action that is to come."""
    planned = (ActionRecord(action.app_name, action.verb, action.key, action.cause, at) for action in intents)
    writes.put(actions, map(row_of, planned))


def withdraw(writes: Writes, intents: Iterable[Action], at: float) -> None:
    """Take back the intents of a record whose writer didn't know that it arrived, and so began none of them."""
    own = (actions.c.target == sa.bindparam("key"), actions.c.verb == sa.bindparam("kind"), actions.c.planned_at == at)
    if keys := [{"key": action.key, "kind": action.verb} for action in intents]:
        mine = actions.c.instance == writes.instance
        writes.connection.execute(actions.delete().where(mine, *own), keys)


def conclude(writes: Writes, outcomes: Iterable[Outcome]) -> None:
    """Close the rows of actions that ended."""
    own = (actions.c.target == sa.bindparam("key"), actions.c.verb == sa.bindparam("kind"))
    if ends := [_end(outcome) for outcome in outcomes]:
        writes.connection.execute(_open(writes).where(*own), ends)


def interrupt(writes: Writes, at: float) -> None:
    """Close the rows that a controller which is gone left open: nobody will ever report how those actions ended."""
    writes.connection.execute(_open(writes).values(outcome="interrupted", finished_at=at))


def _open(writes: Writes) -> sa.Update:
    return actions.update().where(actions.c.instance == writes.instance, actions.c.outcome == "pending")


def _end(outcome: Outcome) -> Row:
    action, failure = outcome.action, outcome.failure
    return {
        "key": action.key,
        "kind": action.verb,
        "finished_at": outcome.finished_at,
        "outcome": "failed" if failure else "done",
        "reason": failure.reason if failure else "",
        "message": failure.message if failure else "",
    }

"""Model values as rows of the tables, and the rows of lists as values again. Pure; one function a direction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from reconciler.model.actions import Action, Outcome
from reconciler.model.desired import Problem
from reconciler.model.events import Event
from reconciler.model.load import LoadSample
from reconciler.model.recorded import ActionRecord, Controller, RevisionRecord
from reconciler.model.scaling import ScalingDecision
from reconciler.model.state import Published
from reconciler.store import codec
from reconciler.store.changes import AppRow, Header, ReplicaRow

Row = dict[str, Any]

_SAMPLE_COLUMNS = tuple(one.name for one in fields(LoadSample) if one.name not in ("app_name", "custom"))


def app_row(instance: str, name: str, app: AppRow) -> Row:
    state, status = app
    return {
        "instance": instance,
        "name": name,
        "status": status and codec.APP_STATUS.encode(status),
        "state": state and codec.APP_STATE.encode(state),
    }


def replica_row(instance: str, name: str, replica: ReplicaRow) -> Row:
    app_name, state, status = replica
    known = status or state
    assert known is not None, "a row has at least one of its halves"
    return {
        "instance": instance,
        "name": name,
        "app": app_name,
        "slot": known.slot,
        "status": status and codec.REPLICA_STATUS.encode(status),
        "state": state and codec.REPLICA_STATE.encode(state),
    }


def controller_row(instance: str, header: Header, *, version: str, host: str, pid: int, since: float, at: float) -> Row:
    return {
        "instance": instance,
        "version": version,
        "host": host,
        "pid": pid,
        "started_at": since,
        "seen_at": at,
        "source": header.source,
        "edge": header.edge,
        "revision": header.revision,
        "last_address": header.last_address,
        "notices": codec.NOTICES.encode(header.notices),
        "problems": codec.PROBLEMS.encode(header.problems),
    }


def controller(row: sa.RowMapping) -> Controller:
    return Controller(
        instance=row["instance"],
        version=row["version"],
        host=row["host"],
        pid=row["pid"],
        started_at=row["started_at"],
        seen_at=row["seen_at"],
        source=row["source"],
        edge=row["edge"],
        revision=row["revision"],
        notices=codec.NOTICES.decode(row["notices"]),
        problems=codec.PROBLEMS.decode(row["problems"]),
    )


def header(row: sa.RowMapping, problems: tuple[Problem, ...]) -> Header:
    return Header(
        revision=row["revision"],
        last_address=row["last_address"],
        source=row["source"],
        edge=row["edge"],
        notices=codec.NOTICES.decode(row["notices"]),
        problems=problems,
    )


def event_row(instance: str, event: Event) -> Row:
    return {
        "instance": instance,
        "at": event.at,
        "type": event.type,
        "app": event.app_name,
        "message": event.message,
        "details": codec.DETAILS.encode(event.details),
    }


def event(row: sa.RowMapping) -> Event:
    return Event(row["at"], row["type"], row["message"], row["app"], codec.DETAILS.decode(row["details"]))


def intent_row(instance: str, action: Action, planned_at: float) -> Row:
    return {
        "instance": instance,
        "target": action.key,
        "verb": action.verb,
        "planned_at": planned_at,
        "app": action.app_name,
        "cause": action.cause,
        "finished_at": None,
        "outcome": "pending",
        "reason": "",
        "message": "",
    }


def outcome_row(instance: str, outcome: Outcome, planned_at: float) -> Row:
    failure = outcome.failure
    return intent_row(instance, outcome.action, planned_at) | {
        "finished_at": outcome.finished_at,
        "outcome": "failed" if failure else "done",
        "reason": failure.reason if failure else "",
        "message": failure.message if failure else "",
    }


def action(row: sa.RowMapping) -> ActionRecord:
    names = ("verb", "target", "cause", "planned_at", "finished_at", "outcome", "reason", "message")
    return ActionRecord(row["app"], *(row[name] for name in names))


def revision_row(instance: str, header: Header, at: float) -> Row:
    return {
        "instance": instance,
        "revision": header.revision,
        "applied_at": at,
        "notices": codec.NOTICES.encode(header.notices),
        "problems": codec.PROBLEMS.encode(header.problems),
    }


def revision(row: sa.RowMapping) -> RevisionRecord:
    return RevisionRecord(
        row["revision"],
        row["applied_at"],
        codec.NOTICES.decode(row["notices"]),
        codec.PROBLEMS.decode(row["problems"]),
    )


def published_row(instance: str, published: Published) -> Row:
    return {
        "instance": instance,
        "generation": published.generation,
        "at": published.at,
        "published": codec.PUBLISHED.encode(published),
    }


def decision_row(instance: str, app_name: str, decision: ScalingDecision) -> Row:
    return {
        "instance": instance,
        "app": app_name,
        "at": decision.at,
        "current": decision.current,
        "target": decision.target,
        "decision": codec.DECISION.encode(decision),
    }


def sample_rows(instance: str, samples: Iterable[LoadSample]) -> list[Row]:
    return [
        {
            "instance": instance,
            "app": sample.app_name,
            **{name: getattr(sample, name) for name in _SAMPLE_COLUMNS},
            "custom": codec.CUSTOM.encode(sample.custom),
        }
        for sample in samples
    ]


def sample(row: sa.RowMapping) -> LoadSample:
    measured = {name: row[name] for name in _SAMPLE_COLUMNS}
    return LoadSample(app_name=row["app"], **measured, custom=codec.CUSTOM.decode(row["custom"]))

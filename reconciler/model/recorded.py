"""What the store has on record, as reports read it: values about the past, never an input to a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from reconciler.model.app_state import AppState
from reconciler.model.desired import Problem
from reconciler.model.replica_state import ReplicaState
from reconciler.model.state import Published
from reconciler.model.status import AppStatus


@dataclass(frozen=True, slots=True)
class Followed:
    """What a controller reads specs from, as it may be shown: the source, its branch where that is known, and the
    directory inside where it was told one."""

    source: str = ""
    branch: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Controller:
    """The controller that wrote the record, last at ``seen_at``; times in epoch seconds."""

    instance: str
    version: str
    host: str
    pid: int
    started_at: float
    seen_at: float
    source: str = ""
    edge: str = ""
    revision: str = ""
    notices: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """What a controller said of itself ``at`` a moment. ``trouble`` keeps it from its work since ``trouble_since``, ""
    where nothing does. ``ended`` tells how it ended, "" as long as it runs; of one that failed ``trouble`` is why."""

    at: float
    host: str
    pid: int
    started_at: float
    trouble: str = ""
    trouble_since: float = 0.0
    ended: Literal["", "stopped", "failed", "removed"] = ""


@dataclass(frozen=True, slots=True)
class AppRecord:
    """What is on record of one app: its status as planned last, and what is remembered of it and of its replicas (by
    replica name).

    ``status`` is None where none was planned yet, ``state`` None for an app that never had a good spec.
    """

    name: str
    status: AppStatus | None = None
    state: AppState | None = None
    replicas: Mapping[str, ReplicaState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Everything `orchestry status` and `explain` show, read in one transaction. ``apps`` by name, in order; ``sign``
    is the last sign of life, None where there is none to be found."""

    controller: Controller
    apps: Mapping[str, AppRecord] = field(default_factory=dict)
    published: Published = Published()
    followed: Followed = Followed()
    sign: SignOfLife | None = None


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """An action as it was intended, and what came of it. Times in epoch seconds.

    ``interrupted``: the controller stopped before it learned the outcome.
    """

    app_name: str
    verb: str
    target: str
    cause: str
    planned_at: float
    finished_at: float | None = None
    outcome: Literal["pending", "done", "failed", "interrupted"] = "pending"
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RevisionRecord:
    """A revision of the source that was applied, with what was wrong with it at that moment."""

    revision: str
    applied_at: float
    notices: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

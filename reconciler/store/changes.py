"""What of a tick's record differs from what the tables hold: pure, and nearly free where nothing does.

It decides which rows are worth a write. Three kinds of change are not, until a checkpoint asks for everything: the
tallies of probes, the vitals of replicas, and a scaling decision that was made anew and came out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from reconciler.model.desired import Problem
from reconciler.model.health import Health
from reconciler.model.scaling import ScalingDecision
from reconciler.model.state import AppState, Published, ReplicaState
from reconciler.model.status import AppStatus, ReplicaStatus
from reconciler.ports import Record

T = TypeVar("T")


class AppRow(NamedTuple):
    """What is remembered of an app and what was planned for it; either may lack. Replicas are rows of their own."""

    state: AppState | None
    status: AppStatus | None


class ReplicaRow(NamedTuple):
    """The same of a replica."""

    app_name: str
    state: ReplicaState | None
    status: ReplicaStatus | None


@dataclass(frozen=True, slots=True)
class Header:
    """What is kept of the instance as a whole."""

    revision: str = ""
    last_address: str = ""
    source: str = ""
    edge: str = ""
    notices: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Present:
    """The present as the tables hold it, or as they are to hold it."""

    apps: Mapping[str, AppRow] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaRow] = field(default_factory=dict)
    published: Published = Published()
    header: Header = Header()

    @classmethod
    def of(cls, record: Record, before: Present) -> Present:
        """What the record wants kept. Where it says nothing (no status of an app that it remembers, no notices, no
        edge) what was kept ``before`` stays."""
        state, statuses = record.state, record.statuses
        replicas = {name: _replica_before(one, before.replicas.get(name)) for name, one in state.replicas.items()}
        for status in statuses.values():
            for one in status.replicas:
                replicas[one.name] = ReplicaRow(status.name, state.replicas.get(one.name), one)
        return cls(
            apps={
                name: AppRow(state.apps.get(name), _status(statuses.get(name), before.apps.get(name)))
                for name in state.apps.keys() | statuses.keys()
            },
            replicas=replicas,
            published=state.published,
            header=_header(record, before.header),
        )


@dataclass(frozen=True, slots=True)
class Difference(Generic[T]):
    """Rows to write and names of rows to delete, of one table."""

    changed: Mapping[str, T]
    gone: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone)

    def applied_to(self, rows: Mapping[str, T]) -> dict[str, T]:
        return {name: row for name, row in rows.items() if name not in self.gone} | dict(self.changed)


@dataclass(frozen=True, slots=True)
class Changes:
    """All that has to be written to turn one image into another."""

    apps: Difference[AppRow]
    replicas: Difference[ReplicaRow]
    published: Published | None
    header: bool
    revision: bool
    decisions: tuple[tuple[str, ScalingDecision], ...]

    def __bool__(self) -> bool:
        return bool(self.apps or self.replicas or self.published or self.header)


def changes(saved: Present, wanted: Present, *, everything: bool) -> Changes:
    """``everything`` also counts differences that alone are no reason to write."""
    return Changes(
        apps=_difference(saved.apps, wanted.apps, None if everything else _settled_app),
        replicas=_difference(saved.replicas, wanted.replicas, None if everything else _settled_replica),
        published=wanted.published if wanted.published != saved.published else None,
        header=wanted.header != saved.header,
        revision=wanted.header.revision not in ("", saved.header.revision),
        decisions=tuple(_new_decisions(saved.apps, wanted.apps)),
    )


def applied(saved: Present, wanted: Present, done: Changes) -> Present:
    """What the tables hold once the changes are committed: rows that were not worth a write are still the old ones."""
    return Present(
        done.apps.applied_to(saved.apps), done.replicas.applied_to(saved.replicas), wanted.published, wanted.header
    )


def _difference(
    saved: Mapping[str, T], wanted: Mapping[str, T], settled: Callable[[T], object] | None
) -> Difference[T]:
    changed = {name: row for name, row in wanted.items() if _differs(saved.get(name), row, settled)}
    return Difference(changed, frozenset(saved.keys() - wanted.keys()))


def _differs(saved: T | None, wanted: T, settled: Callable[[T], object] | None) -> bool:
    if saved == wanted:
        return False
    return saved is None or settled is None or settled(saved) != settled(wanted)


def _new_decisions(saved: Mapping[str, AppRow], wanted: Mapping[str, AppRow]) -> list[tuple[str, ScalingDecision]]:
    found = []
    for name, (state, _) in wanted.items():
        before = saved[name].state if name in saved else None
        if state is before or state is None or state.decision is None:
            continue
        if before is None or _gist(before.decision) != _gist(state.decision):
            found.append((name, state.decision))
    return found


def _status(status: AppStatus | None, before: AppRow | None) -> AppStatus | None:
    if status is not None:
        return replace(status, replicas=())
    return before.status if before else None


def _replica_before(state: ReplicaState, before: ReplicaRow | None) -> ReplicaRow:
    return ReplicaRow(state.app_name, state, before.status if before else None)


def _header(record: Record, before: Header) -> Header:
    return Header(
        revision=record.state.revision,
        last_address=record.state.last_address,
        source=before.source if record.source is None else record.source,
        edge=before.edge if record.edge is None else record.edge,
        notices=before.notices if record.notices is None else record.notices,
        problems=before.problems if record.problems is None else record.problems,
    )


def _all_but(type_: Any, *names: str) -> attrgetter[tuple[Any, ...]]:
    return attrgetter(*(one.name for one in fields(type_) if one.name not in names))


_steady_app = _all_but(AppState, "decision")
_steady_replica = _all_but(ReplicaState, "health", "readiness")
_steady_status = _all_but(ReplicaStatus, "health", "vitals")
_steady_health: Callable[[Health], tuple[Any, ...]] = _all_but(Health, "tally")


def _settled_app(row: AppRow) -> object:
    state, status = row
    return state and (_steady_app(state), _gist(state.decision)), status


def _settled_replica(row: ReplicaRow) -> object:
    _, state, status = row
    return (
        state and (_steady_replica(state), _steady_health(state.health), _steady_health(state.readiness)),
        status and (_steady_status(status), _steady_health(status.health)),
    )


def _gist(decision: ScalingDecision | None) -> object:
    return decision and decision.gist

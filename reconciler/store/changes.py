"""What of a tick's record differs from what the tables hold: pure, and nearly free where nothing does.

It decides which rows are worth a write. Three kinds of change are not, until a checkpoint asks for everything: the
tallies of probes, the vitals of replicas, and a scaling decision that was made anew and came out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from reconciler.model.app_state import AppState
from reconciler.model.desired import Problem
from reconciler.model.health import Health
from reconciler.model.recorded import Followed
from reconciler.model.replica_state import ReplicaState
from reconciler.model.scaling import ScalingDecision
from reconciler.model.state import Published
from reconciler.model.status import AppStatus, ReplicaStatus
from reconciler.ports import Record
from reconciler.store import codec

T = TypeVar("T")


class AppRow(NamedTuple):
    """What is remembered of an app and what is shown of it; either may lack. Its replicas are rows of their own."""

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
    outages: Mapping[str, float] = field(default_factory=dict)


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
        return cls(
            apps=_app_rows(record, before.apps),
            replicas=_replica_rows(record, before.replicas),
            published=record.state.published,
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
        apps=_difference(saved.apps, wanted.apps, None if everything else _lasting_of_app),
        replicas=_difference(saved.replicas, wanted.replicas, None if everything else _lasting_of_replica),
        published=wanted.published if wanted.published != saved.published else None,
        header=wanted.header != saved.header,
        revision=wanted.header.revision not in ("", saved.header.revision),
        decisions=tuple(_new_decisions(saved.apps, wanted.apps)),
    )


def applied(saved: Present, wanted: Present, done: Changes) -> Present:
    """What the tables hold once the changes are committed: rows that were not worth a write are still the old ones."""
    apps, replicas = done.apps.applied_to(saved.apps), done.replicas.applied_to(saved.replicas)
    return replace(wanted, apps=apps, replicas=replicas)


# -- what a record wants kept -----------------------------------------------------------------------------------------


def _app_rows(record: Record, before: Mapping[str, AppRow]) -> dict[str, AppRow]:
    shown_before = {name: row.status for name, row in before.items()}
    shown = shown_before | {name: replace(status, replicas=()) for name, status in record.statuses.items()}
    names = record.state.apps.keys() | record.statuses.keys()
    return {name: AppRow(record.state.apps.get(name), shown.get(name)) for name in names}


def _replica_rows(record: Record, before: Mapping[str, ReplicaRow]) -> dict[str, ReplicaRow]:
    states, apps = record.state.replicas, record.statuses.values()
    remembered = {
        name: ReplicaRow(state.app_name, state, before[name].status if name in before else None)
        for name, state in states.items()
    }
    shown = {
        status.name: ReplicaRow(app.name, states.get(status.name), status) for app in apps for status in app.replicas
    }
    return remembered | shown


def _header(record: Record, before: Header) -> Header:
    given = {name: getattr(record, name) for name in ("edge", "notices")} | {"source": _source(record)}
    news = {name: value for name, value in given.items() if value is not None}
    state = record.state
    before = replace(before, last_address=state.last_address, problems=state.problems, outages=state.outages)
    return replace(before, revision=state.revision, **news)


def _source(record: Record) -> str | None:
    """What is followed, as one text: the name of the source alone where that is all."""
    if record.source is None or (record.branch is None and record.path is None):
        return record.source
    return codec.FOLLOWED.encode(Followed(record.source, record.branch, record.path))


# -- what is worth a write --------------------------------------------------------------------------------------------


def _difference(
    saved: Mapping[str, T], wanted: Mapping[str, T], lasting: Callable[[T], object] | None
) -> Difference[T]:
    changed = {name: row for name, row in wanted.items() if _differs(saved.get(name), row, lasting)}
    return Difference(changed, frozenset(saved.keys() - wanted.keys()))


def _differs(saved: T | None, wanted: T, lasting: Callable[[T], object] | None) -> bool:
    if saved == wanted:
        return False
    return saved is None or lasting is None or lasting(saved) != lasting(wanted)


def _new_decisions(saved: Mapping[str, AppRow], wanted: Mapping[str, AppRow]) -> Iterator[tuple[str, ScalingDecision]]:
    for name, (state, _) in wanted.items():
        before = saved[name].state if name in saved else None
        if state is before or state is None or state.decision is None:
            continue
        if before is None or before.decision is None or before.decision.gist != state.decision.gist:
            yield name, state.decision


def _all_but(type_: Any, *names: str) -> attrgetter[tuple[Any, ...]]:
    return attrgetter(*(declared.name for declared in fields(type_) if declared.name not in names))


_of_app_state = _all_but(AppState, "decision")
_of_app_status = _all_but(AppStatus, "traffic", "warnings")
_of_replica_state = _all_but(ReplicaState, "health", "readiness")
_of_replica_status = _all_but(ReplicaStatus, "health", "vitals")
_of_health: Callable[[Health], tuple[Any, ...]] = _all_but(Health, "tally")


def _lasting_of_app(row: AppRow) -> object:
    state, status = row
    return state and (_of_app_state(state), state.decision and state.decision.gist), status and _of_app_status(status)


def _lasting_of_replica(row: ReplicaRow) -> object:
    _, state, status = row
    return (
        state and (_of_replica_state(state), _of_health(state.health), _of_health(state.readiness)),
        status and (_of_replica_status(status), _of_health(status.health)),
    )

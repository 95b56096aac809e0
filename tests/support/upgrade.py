"""A moment that an earlier version recorded, and what a decision makes of it, in plain values.

``tests/golden/upgrade`` holds the database, the specs and the observation of that moment. Here they become values of
today's classes, and today's decision becomes what can be compared with the recorded one.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from reconciler.decide.plan import conclude, decide
from reconciler.model.actions import Action, StopReplica
from reconciler.model.app_state import AppState, Rollout
from reconciler.model.backoff import Backoff
from reconciler.model.desired import Desired
from reconciler.model.health import Health
from reconciler.model.load import AppLoad, Loads, ReplicaLoad, VersionLoad
from reconciler.model.observed import Capacity, Container, ContainerState, Inventory, Network, Observed, ProbeSample
from reconciler.model.plan import DecisionSettings, Plan
from reconciler.model.replica_state import ReplicaState
from reconciler.model.state import State
from reconciler.model.status import AppStatus
from reconciler.ports import StatusReader
from reconciler.report.explain import explain
from reconciler.source.directory import DirectorySource
from reconciler.store.sqlite import FILE_NAME
from tests.support.golden import GOLDEN

PLACE = GOLDEN / "upgrade"
NAME = "state-0"

Plain = dict[str, Any]

_NEWS = re.compile(r"^(problem|mended): |is in the source again$")
_TO_CONFIRM = re.compile(r"If that is meant, .*?restart the controller")
_FIELDS = re.compile(
    r'((?:spec changed at|changed at revision|rolling out [^"]* of revision) [\w-]+(?: \(spec \w+\))?)(: [^"]*)?'
)


def recorded(suffix: str) -> Path:
    """The file of the record that ends so."""
    return PLACE / f"{NAME}.{suffix}"


def moment() -> Plain:
    """Everything that was recorded of the moment."""
    told: Plain = json.loads(recorded("json").read_text("utf-8"))
    return told


def restore(state_dir: Path) -> None:
    """Put the recorded database into a state directory."""
    state_dir.mkdir(parents=True)
    with closing(sqlite3.connect(state_dir / FILE_NAME)) as database:
        database.executescript(f"BEGIN;\n{recorded('sql').read_text('utf-8')}COMMIT;")


def restore_postgres(url: str) -> None:
    """Make the same of an empty PostgreSQL database: the tables of version 1.0.0 by its migration, the rows as they
    were recorded."""
    _, insert, rows = recorded("sql").read_text("utf-8").partition("INSERT INTO ")
    config = Config()
    config.set_main_option("script_location", "reconciler.store:migrations")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("DELETE FROM alembic_version")  # its row is among those recorded
        with connection.connection.cursor() as cursor:  # for which a percent sign is text
            cursor.execute(insert + rows)
        for table in ("events", "revisions", "route_tables"):
            connection.exec_driver_sql(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
            )


def desired(specs: str) -> Desired:
    """What the loader reads in one of the recorded directories of specs."""
    return DirectorySource(PLACE / specs).read()


def observed(seen: Plain, case: Plain) -> Observed:
    """``seen`` is what was observed at the moment, ``case`` what is different in one look at it."""
    return Observed(
        at=case["now"],
        desired=desired(case["specs"]),
        inventory=Inventory(
            tuple(_container(each) for each in seen["containers"]),
            Network(**seen["network"]),
            frozenset(seen["foreign_names"]),
            frozenset(seen["foreign_addresses"]),
            Capacity(**seen["host"]),
        ),
        samples=tuple(ProbeSample(**sample) for sample in case["samples"]),
        loads=Loads(
            {name: AppLoad(**load) for name, load in seen["loads"].items()},
            {name: ReplicaLoad(**load) for name, load in seen["replica_loads"].items()},
            {(name, spec_hash): VersionLoad(**load) for name, spec_hash, load in seen["version_loads"]},
        ),
    )


def remembered(state: State) -> Plain:
    """What was so, as far as the database alone tells."""
    routed = state.published.table.routed_names()
    return {
        "revision": state.revision,
        "last_address": state.last_address,
        "apps": {name: _app(app) for name, app in sorted(state.apps.items())},
        "replicas": {name: _replica(replica, name in routed) for name, replica in sorted(state.replicas.items())},
        "refused": [refusal.app_name for refusal in state.published.refusals],
    }


def explained(reader: StatusReader, now: float) -> str:
    """What ``orchestry explain`` says of each app on record, without the advice that came later, and with what it said
    before of a first rollout that gets nowhere, which was untrue."""
    text = "".join(f"{explain(reader, name, now=now)}\n\n\n" for name in reader.recorded().apps)
    text = re.sub(r"^  what to do: .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"Degraded (in .*); there is no version to go back to", r"rolled back \1", text)


def decided(state: State, seen: Plain, case: Plain) -> Plain:
    """What is decided of a state in this case, and what is told while the edge does not answer: so all that is told
    of routes comes from the record."""
    decision = decide(observed(seen, case), state, DecisionSettings())
    conclusion = conclude(decision, None, case["now"])
    events = (*decision.plan.events, *conclusion.events)
    return _told(decision.plan, conclusion.statuses) | {"events": [_event(event) for event in events]}


def told_once(decided: Plain) -> list[str]:
    """The apps of which a decision says that the upgrade changes what is to come; what is said is taken from it."""
    news = [event for event in decided["events"] if "from this version of the controller on" in event[3]]
    decided["events"] = [event for event in decided["events"] if event not in news]
    return [app_name for _, _, app_name, _, _ in news]


def comparable(decided: Plain) -> Plain:
    """A decision without what is told otherwise by now: fields that changed, problems, that a spec is back, and how to
    confirm deletions."""
    events = [event for event in decided["events"] if not _NEWS.search(event[3])]
    known = {key: value for key, value in decided.items() if key != "differences"}
    text = json.dumps(known | {"events": events}, ensure_ascii=False)
    plain: Plain = json.loads(_TO_CONFIRM.sub("", _FIELDS.sub(r"\1", text)))
    return plain


def _app(app: AppState) -> Plain:
    told = {
        "path": app.version.path,
        "revision": app.version.revision,
        "image": app.version.app.spec.image,
        "spec_hash": app.version.spec_hash,
        "files": sorted(app.version.files),
        "stable": app.stable and app.stable.spec_hash,
        "former": [version.spec_hash for version in app.former],
        "failed": app.failed and [app.failed.spec_hash, app.failed.reason, app.failed.replica],
        "registered_at": app.registered_at,
        "updated_at": app.updated_at,
        "absent_since": app.missing_since,
        "image_ready": app.image_ready,
        "rollout": app.rollout and _rollout(app.rollout),
        "backoff": _backoff(app.pacing.creation),
        "replacement": _backoff(app.pacing.replacement),
        "repeated": [[it.action, it.times, it.at] for it in app.pacing.repetitions],
        "scaling": _known(asdict(app.scaling)),
        "decision": app.decision and [app.decision.at, app.decision.reason],
    }
    return _known(told)


def _replica(replica: ReplicaState, routed: bool) -> Plain:
    told = {
        "app": replica.app_name,
        "slot": replica.slot,
        "container_id": replica.container_id,
        "address": replica.address,
        "spec_hash": replica.spec_hash,
        "created_at": replica.created_at,
        "ready_at": replica.ready_at,
        "ready": replica.ready_at is not None,
        "routed": routed,
        "unrouted_since": replica.traffic.left_at,
        "health": _health(replica.health),
        "readiness": _health(replica.readiness),
        "restarts": replica.restarts.by_engine,
        "crashes": list(replica.exits.recent),
        "exited_at": replica.exits.ended_at,
        "disturbed_at": replica.disturbed_at,
        "taken_over": replica.restarts.by_controller,
        "exit_code": replica.exits.code,
        "last_log": replica.exits.log,
        "backoff": _backoff(replica.restarts.backoff),
        "removal": _backoff(replica.removal),
    }
    return _known(told)


def _rollout(rollout: Rollout) -> Plain:
    plain = asdict(rollout)
    return _known({"most_available": plain.pop("max_available")} | plain)


def _backoff(backoff: Backoff | None) -> Plain | None:
    if backoff is None:
        return None
    plain = asdict(backoff)
    del plain["failed_at"]
    return _known({"next_at": backoff.next_at} | plain)


def _health(health: Health) -> list[Any]:
    """Version 1.0.0 kept when a replica first answered well: all that matters of it is whether it has."""
    return [str(health.verdict), health.has_answered_well, health.detail]


def _known(fields: Plain) -> Plain:
    """Without what says nothing."""
    nothing = (None, "", [], (), ["unknown", False, ""])
    return {name: value for name, value in fields.items() if value not in nothing}


def _container(plain: Plain) -> Container:
    return Container(**{**plain, "state": ContainerState(plain["state"])})


def _told(plan: Plan, statuses: Mapping[str, AppStatus]) -> Plain:
    return {
        "actions": [_action(action) for action in plan.actions],
        "waits": [[it.app_name, it.message, it.until] for it in plan.waits],
        "wake_at": plan.wake_at,
        "notices": list(plan.notices),
        "differences": {name: list(fields) for name, fields in sorted(plan.differences.items())},
        "routes": {part.app_name: [asdict(server) for server in part.servers] for part in plan.routes.apps},
        "probes": [[it.container_id, it.kind, it.address, it.port, it.quick, it.first_at] for it in plan.probes],
        "statuses": {name: _status(status) for name, status in sorted(statuses.items())},
    }


def _action(action: Action) -> list[str]:
    """Version 1.0.0 asked a program to end and removed its container in one action."""
    verb = "remove" if isinstance(action, StopReplica) else action.verb
    summary = f"{verb} {action.key}" if isinstance(action, StopReplica) else action.summary
    return [verb, action.key, summary, action.cause]


def _event(event: Any) -> list[Any]:
    return [event.at, event.type, event.app_name, event.message, dict(event.details)]


def _status(status: AppStatus) -> Plain:
    return {
        "revision": status.revision,
        "spec_hash": status.spec_hash,
        "mode": status.mode,
        "counts": {name: getattr(status, name) for name in ("desired", "current", "ready", "routed")},
        "conditions": [[it.type, it.status, it.reason, it.message, it.since] for it in status.conditions],
        "instances": {it.name: [it.state, it.phase, it.note, str(it.health.verdict)] for it in status.replicas},
        "error": status.error,
    }

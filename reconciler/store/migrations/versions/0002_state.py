"""The state in its nested form, under its own name, and without the columns that only repeated a text beside them.

The texts that version 1.0.0 could read are converted here, once, so that nothing that reads them has to know two forms:
what an even older one lacks has the meaning it had there. What can't be read is left as it is: the store says so, and
goes on without it.
"""

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Json = dict[str, Any]

_REPEATED = {
    "applications": (
        "condition",
        "revision",
        "spec_hash",
        "mode",
        "desired",
        "current",
        "ready",
        "routed",
        "error",
        "created_at",
        "updated_at",
        "last_scaled_at",
        "spec",
    ),
    "instances": (
        "container_id",
        "address",
        "port",
        "state",
        "phase",
        "health",
        "failures",
        "restarts",
        "cpu_percent",
        "memory_percent",
        "last_seen",
    ),
    "route_tables": ("generation", "at"),
    "scaling_decisions": ("current", "target"),
}
_RENAMED = {
    "memory": ("state", ("applications", "instances")),
    "app": ("app_name", ("instances", "events", "actions", "scaling_decisions", "samples")),
}


def upgrade() -> None:
    for table, columns in _REPEATED.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    for old, (new, tables) in _RENAMED.items():
        for table in tables:
            op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    op.rename_table("instances", "replicas")
    _convert("applications", status=_app_status, state=_app_state)
    _convert("replicas", status=_replica_status, state=_replica_state)


def _convert(table_name: str, **conversions: Callable[[Json], Json]) -> None:
    columns: list[Any] = [sa.column(name) for name in ("instance", "name", *conversions)]
    table, connection = sa.table(table_name, *columns), op.get_bind()
    for row in connection.execute(sa.select(*columns)).mappings().all():
        texts = {name: _converted(row[name], convert) for name, convert in conversions.items()}
        own = (table.c.instance == row["instance"]) & (table.c.name == row["name"])
        connection.execute(table.update().where(own).values(texts))


def _converted(text: str | None, convert: Callable[[Json], Json]) -> str | None:
    try:
        return json.dumps(convert(json.loads(text)), ensure_ascii=False) if text else text
    except ValueError:
        return text
    except (KeyError, TypeError, AttributeError):
        return json.dumps({"as it was": text})  # of which nobody takes the half that fits for the whole


def _app_state(old: Json) -> Json:
    pacing = {
        "creation": _backoff(old.pop("backoff", None)),
        "replacement": _backoff(old.pop("replacement", None)),
        "repetitions": old.pop("repetitions", []),
    }
    if rollout := old.get("rollout"):
        rollout["max_available"] = rollout.pop("most_available", 0)
    return old | {"pacing": pacing}


def _replica_state(old: Json) -> Json:
    return {
        **{name: old[name] for name in ("name", "app_name", "slot", "container_id", "address", "spec_hash")},
        "created_at": old["created_at"],
        "health": _health(old.get("health", {})),
        "readiness": _health(old.get("readiness", {})),
        "ready_at": old.get("ready_at"),
        "disturbed_at": old.get("disturbed_at"),
        "traffic": {"entered": old.get("ever_routed", False), "left_at": old.get("unrouted_at")},
        "exits": {
            "recent": old.get("crashes", []),
            "ended_at": old.get("exited_at"),
            "code": old.get("exit_code"),
            "log": old.get("last_log", ""),
        },
        "restarts": {
            "by_controller": old.get("taken_over", False),
            "by_engine": old.get("restart_count", 0),
            "backoff": _backoff(old.get("backoff")),
        },
        "removal": _backoff(old.get("removal")),
    }


def _app_status(old: Json) -> Json:
    return old | {"replicas": old.pop("instances", [])}


def _replica_status(old: Json) -> Json:
    return old | {"health": _health(old["health"])}


def _health(old: Json) -> Json:
    """A replica was on trust as long as it had not answered well itself."""
    answered = old.pop("first_healthy_at", None) is not None
    return old | {"on_trust": old.get("verdict", "unknown") != "unknown" and not answered}


def _backoff(old: Json | None) -> Json | None:
    """Counted from the failure instead of to the next attempt: one second, doubling to five minutes."""
    if old is None:
        return None
    delay_seconds = min(300.0, 2.0 ** min(old["attempts"] - 1, 16))
    return old | {"failed_at": old.pop("next_at") - delay_seconds}

"""A plan as people review it: action by action with causes, the fields that differ, and what is waited for.

The text that users see is the text that golden tests compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.model.actions import Action
from reconciler.model.desired import Problem
from reconciler.model.plan import Plan, Wait
from reconciler.model.routes import AppRoutes

NOTHING, ERROR, CHANGES = 0, 1, 2


def format_plan(revision: str, plan: Plan, problems: Sequence[Problem], output: str) -> tuple[str, int]:
    """The plan as ``text`` or ``json``, and the exit code: 0 nothing to do, 2 changes, 1 problems in the source."""
    code = ERROR if problems else CHANGES if plan.actions else NOTHING
    if output == "json":
        return json.dumps(_document(revision, plan, problems), indent=2, ensure_ascii=False), code
    return _text(revision, plan, problems), code


def _text(revision: str, plan: Plan, problems: Sequence[Problem]) -> str:
    lines = [f"revision {revision}"]
    lines += [f"problem: {problem}" for problem in problems]
    lines += [f"notice: {notice}" for notice in plan.notices]
    names = sorted({a.app_name for a in plan.actions} | {w.app_name for w in plan.waits if w.app_name})
    for name in names:
        lines += ["", name]
        lines += [f"  differs: {field}" for field in plan.differences.get(name, ())]
        lines += [f"  {action.summary}: {action.cause}" for action in plan.actions if action.app_name == name]
        lines += [f"  wait: {wait.message}" for wait in plan.waits if wait.app_name == name]
    lines += ["", _summary(plan.actions)]
    return "\n".join(lines)


def _summary(actions: Iterable[Action]) -> str:
    counts: dict[str, int] = {}
    for action in actions:
        counts[action.verb] = counts.get(action.verb, 0) + 1
    return ", ".join(f"{count} to {verb}" for verb, count in counts.items()) or "nothing to do"


def _document(revision: str, plan: Plan, problems: Sequence[Problem]) -> dict[str, Any]:
    return {
        "revision": revision,
        "problems": [str(problem) for problem in problems],
        "notices": list(plan.notices),
        "actions": [_action(action) for action in plan.actions],
        "differences": {name: list(fields) for name, fields in plan.differences.items()},
        "waits": [_wait(wait) for wait in plan.waits],
        "routes": [_routes(app) for app in plan.routes.apps],
    }


def _action(action: Action) -> dict[str, Any]:
    return {
        "app": action.app_name,
        "verb": action.verb,
        "target": action.key,
        "summary": action.summary,
        "cause": action.cause,
    }


def _wait(wait: Wait) -> dict[str, Any]:
    return {"app": wait.app_name, "message": wait.message, "until": wait.until}


def _routes(app: AppRoutes) -> dict[str, Any]:
    routes = [{"host": route.host, "path": route.path} for route in app.routes]
    servers = [{"name": s.name, "address": s.address, "port": s.port, "draining": s.draining} for s in app.servers]
    return {"app": app.app_name, "routes": routes, "servers": servers}

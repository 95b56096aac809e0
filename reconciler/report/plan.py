"""A plan as people review it: action by action with causes, the fields that differ, the routes that change, and what is
waited for.

The text that users see is the text that golden tests compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.model.actions import Action
from reconciler.model.desired import Problem
from reconciler.model.plan import Plan, Wait
from reconciler.model.routes import AppRoutes, RouteTable
from reconciler.report.documents import OUTPUTS, document

NOTHING, ERROR, CHANGES = 0, 1, 2


def format_plan(
    revision: str, plan: Plan, problems: Sequence[Problem], output: str, *, served: RouteTable
) -> tuple[str, int]:
    """The plan as ``text``, ``json`` or ``yaml``, and the exit code: 0 nothing to do, 2 changes, 1 problems in the
    source.

    ``served`` are the routes that nginx has now; publishing others is a change like any action.
    """
    code = ERROR if problems else CHANGES if plan.actions or plan.routes != served else NOTHING
    if output in OUTPUTS:
        return document(_document(revision, plan, problems, served), output), code
    return _text(revision, plan, problems, served), code


def _text(revision: str, plan: Plan, problems: Sequence[Problem], served: RouteTable) -> str:
    lines = [f"revision {revision}"]
    lines += [f"problem: {problem}" for problem in problems]
    lines += [f"notice: {notice}" for notice in plan.notices]
    rerouted = _rerouted(served, plan.routes)
    names = sorted({a.app_name for a in plan.actions} | {w.app_name for w in plan.waits if w.app_name} | {*rerouted})
    for name in names:
        lines += ["", name]
        lines += [f"  differs: {field}" for field in plan.differences.get(name, ())]
        lines += [f"  {action.summary}: {action.cause}" for action in plan.actions if action.app_name == name]
        lines += [f"  publish {rerouted[name]}"] if name in rerouted else []
        lines += [f"  wait: {wait.message}" for wait in plan.waits if wait.app_name == name]
    lines += ["", _summary(plan.actions, len(rerouted))]
    return "\n".join(lines)


def _rerouted(served: RouteTable, planned: RouteTable) -> dict[str, str]:
    """What changes in nginx, by app."""
    old = {part.app_name: part for part in served.apps}
    new = {part.app_name: part for part in planned.apps}
    changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return {name: _rerouting(old.get(name), new.get(name)) for name in changed}


def _rerouting(old: AppRoutes | None, new: AppRoutes | None) -> str:
    before, after = _way_in(old), _way_in(new)
    return f"{after}: its options change" if before == after else f"{after}: was {before}"


def _way_in(part: AppRoutes | None) -> str:
    if part is None:
        return "nothing"
    paths = " ".join(f"{route.host or '*'}{route.path}" for route in part.routes)
    servers = ", ".join(server.name + " (draining)" * server.draining for server in part.servers)
    return f"{paths} → {servers or 'nobody (503)'}"


def _summary(actions: Iterable[Action], rerouted: int) -> str:
    counts: dict[str, int] = {}
    for action in actions:
        counts[action.verb] = counts.get(action.verb, 0) + 1
    if rerouted:
        counts["publish"] = rerouted
    return ", ".join(f"{count} to {verb}" for verb, count in counts.items()) or "nothing to do"


def _document(revision: str, plan: Plan, problems: Sequence[Problem], served: RouteTable) -> dict[str, Any]:
    return {
        "revision": revision,
        "problems": [str(problem) for problem in problems],
        "notices": list(plan.notices),
        "actions": [_action(action) for action in plan.actions],
        "differences": {name: list(fields) for name, fields in plan.differences.items()},
        "waits": [_wait(wait) for wait in plan.waits],
        "routes": [_routes(part) for part in plan.routes.apps],
        "rerouted": _rerouted(served, plan.routes),
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


def _routes(part: AppRoutes) -> dict[str, Any]:
    routes = [{"host": route.host, "path": route.path} for route in part.routes]
    servers = [{"name": s.name, "address": s.address, "port": s.port, "draining": s.draining} for s in part.servers]
    return {"app": part.app_name, "routes": routes, "servers": servers}

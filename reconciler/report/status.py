"""`orchestry status`: how things stand, as a table, JSON or YAML, and as an exit code.

It says how old what it shows is, and when the controller seems not to be running: an old record looks as good as a
fresh one, and must not be taken for it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator

from reconciler.model.version import short
from reconciler.ports import StatusReader
from reconciler.report import BadRequest, contract
from reconciler.report.dump import dump
from reconciler.report.tables import indented, printable, table
from reconciler.report.times import age

CONVERGED, ERROR, NOT_CONVERGED = 0, 1, 2

_LOG_LINES = 20
# Ages in tables, and the lines of JSON and YAML that change with the clock alone.
_PASSING = re.compile(r'[0-9]+ (s|min|h|d)(?= ago|\))|"?(generated_at|seen_at|age_seconds|next_in_seconds)"?: .*')


def status(reader: StatusReader, app_name: str | None = None, output: str = "table", *, now: float) -> tuple[str, int]:
    """The text for ``output`` (``table``, ``wide``, ``json`` or ``yaml``), and the exit code. ``now``: epoch seconds.

    Raises Unavailable where nothing can be read, NothingRecorded where there is nothing, BadRequest for another output.
    """
    found = dump(reader, now=now, app_name=app_name)
    return formatted(found, output, in_detail=app_name is not None), exit_code(found)


def formatted(found: contract.Status, output: str, *, in_detail: bool = False) -> str:
    """The text for ``output``. ``in_detail``: tables tell all there is of the one app that ``found`` holds."""
    if output not in _FORMATS:
        raise BadRequest(f"output: found {output!r}; expected one of {', '.join(_FORMATS)}")
    form = _one_app if in_detail and output in ("table", "wide") else _FORMATS[output]
    return form(found)


def watch(look: Callable[[], tuple[str, int]], pause: Callable[[], None]) -> Iterator[str]:
    """What `look` says, each time it says something else than that time has passed; `pause` comes between two looks."""
    before = None
    while True:
        text, _ = look()
        if (lasting := _PASSING.sub("", text)) != before:
            yield text
            before = lasting
        pause()


def exit_code(found: contract.Status) -> int:
    """0 converged, 1 something is wrong (a degraded app, a problem in the source), 2 not converged yet."""
    degraded = any(it.status for app in found.apps for it in app.conditions if it.type == "Degraded")
    if degraded or found.problems or any(app.error for app in found.apps):
        return ERROR
    return CONVERGED if found.converged else NOT_CONVERGED


# -- tables -----------------------------------------------------------------------------------------------------------


def _table(found: contract.Status) -> str:
    rows = [(*_counts(app), short(app.revision), *_verdict(app)) for app in found.apps]
    return _page(found, table(("APP", "READY", "ROUTED", "REVISION", "STATUS", "MESSAGE"), rows))


def _wide(found: contract.Status) -> str:
    apps = [
        (*_counts(app), short(app.revision), app.image, app.mode, " ".join(app.routes), *_verdict(app))
        for app in found.apps
    ]
    headings = ("APP", "READY", "ROUTED", "REVISION", "IMAGE", "SCALING", "ROUTES", "STATUS", "MESSAGE")
    instances = [one for app in found.apps for one in app.instances]
    return _page(found, table(headings, apps), _instances(instances))


def _page(found: contract.Status, *tables: str) -> str:
    if not found.apps:
        tables = ("no apps",)
    parts = [_header(found), *_warnings(found)]
    return printable("\n\n".join(("\n".join(parts), *(it for it in tables if it))))


def _header(found: contract.Status) -> str:
    seen = age(found.controller.age_seconds)
    return f"instance {found.instance} · revision {short(found.revision) or 'none yet'} · as of {seen} ago"


def _warnings(found: contract.Status) -> Iterator[str]:
    controller = found.controller
    if not controller.running:
        yield (
            f"warning: the controller seems not to be running: pid {controller.pid} on {controller.host} was last seen "
            f"{age(controller.age_seconds)} ago"
        )
    yield from (f"problem: {problem.message}" for problem in found.problems)
    yield from (f"notice: {notice}" for notice in found.notices)


def _counts(app: contract.App) -> tuple[str, str, int]:
    return app.name, f"{app.replicas.ready}/{app.replicas.desired}", app.replicas.routed


def _verdict(app: contract.App) -> tuple[str, str]:
    """One word for the app, and one sentence: of all its conditions the one that people have to know."""
    true = {it.type: it for it in app.conditions if it.status}
    if "Degraded" in true:
        return "Degraded", app.error or true["Degraded"].message
    if "Progressing" in true:
        return "Progressing", f"{true['Progressing'].message} ({age(true['Progressing'].age_seconds)})"
    if "Ready" in true:
        return "Ready", ""
    waiting = next((it.message for it in app.conditions if it.type == "Ready"), "not looked at yet")
    return "NotReady", waiting


def _instances(instances: list[contract.Instance]) -> str:
    if not instances:
        return ""
    rows = [
        (
            one.name,
            one.container_id[:12],
            f"{one.address or '-'}:{one.port}" if one.port else one.address,
            one.state,
            one.phase,
            one.health,
            one.failures,
            one.restarts,
            _percent(one.cpu_percent),
            _percent(one.memory_percent),
            one.note,
        )
        for one in instances
    ]
    names = ("INSTANCE", "CONTAINER", "ADDRESS", "STATE", "PHASE", "HEALTH", "FAILURES", "RESTARTS", "CPU", "MEMORY")
    return table((*names, "NOTE"), rows)


def _one_app(found: contract.Status) -> str:
    app = found.apps[0]
    facts = [
        ("revision", app.revision),
        ("image", app.image),
        ("replicas", _replicas(app.replicas)),
        ("scaling", app.mode),
        ("routes", " ".join(app.routes)),
        ("registered", app.created_at),
        ("changed", app.updated_at),
        ("last scaled", app.last_scaled_at),
        ("error", app.error),
    ]
    conditions = table(
        ("CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"),
        [
            (it.type, "yes" if it.status else "no", f"{age(it.age_seconds)} ago", it.reason, it.message)
            for it in app.conditions
        ],
    )
    title = f"{app.name}\n" + "\n".join(f"  {name:<12} {value}" for name, value in facts if value)
    return _page(found, title, conditions, _instances(list(app.instances)), *_troubles(app))


def _replicas(replicas: contract.Replicas) -> str:
    return f"{replicas.desired} wanted, {replicas.current} running, {replicas.ready} ready, {replicas.routed} routed"


def _troubles(app: contract.App) -> Iterator[str]:
    """What people would go looking for next: exit codes, failed answers, and last log lines."""
    if failed := app.failed_version:
        yield _trouble(
            f"revision {short(failed.revision)} failed: {failed.message}", failed.exit_code, failed.answer, failed.log
        )
    for one in app.instances:
        answer = one.health_check.detail if one.health != "healthy" else ""
        if one.exit_code is not None or one.last_log or answer:
            yield _trouble(one.name, one.exit_code, answer, one.last_log)


def _trouble(title: str, exit_code: int | None, answer: str, log: str) -> str:
    lines = [title]
    lines += [f"  exit code {exit_code}"] if exit_code is not None else []
    lines += [f"  last failed answer: {answer}"] if answer else []
    lines += ["  last log lines:", indented("\n".join(log.splitlines()[-_LOG_LINES:]), "    ")] if log else []
    return "\n".join(lines)


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f} %"


# -- for tools --------------------------------------------------------------------------------------------------------


def _json(found: contract.Status) -> str:
    return found.model_dump_json(indent=2)


def _yaml(found: contract.Status) -> str:
    from ruamel.yaml import YAML

    buffer = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(found.model_dump(mode="json"), buffer)
    return buffer.getvalue().rstrip("\n")


_FORMATS: dict[str, Callable[[contract.Status], str]] = {"table": _table, "wide": _wide, "json": _json, "yaml": _yaml}

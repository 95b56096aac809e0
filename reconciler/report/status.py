"""`orchestry status`: how things stand, as a table, JSON or YAML, and as an exit code.

It says how old what it shows is, and what keeps the controller from its work, if only that it doesn't run: an old
record looks as good as a fresh one, and must not be taken for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from reconciler.model.version import short
from reconciler.ports import StatusReader
from reconciler.report import BadRequest, contract
from reconciler.report.change import told
from reconciler.report.documents import OUTPUTS, as_written
from reconciler.report.dump import dump, has_edge
from reconciler.report.edge import certificate_words, share, traffic_words
from reconciler.report.tables import indented, printable, table
from reconciler.report.times import age

CONVERGED, ERROR, NOT_CONVERGED = 0, 1, 2

_LOG_LINES = 20
# What of a digest tells it from others: sha256: and twelve characters.
_DIGEST_LENGTH = 19
# Ages in tables with the blanks that align them, and the lines of JSON and YAML that change with the clock alone.
_PASSING = re.compile(
    r'[0-9]+ (s|min|h|d)(?= ago|\)|  )| +|"?(generated_at|seen_at|age_seconds|next_in_seconds|days_left)"?: .*'
)


def status(reader: StatusReader, app_name: str | None = None, output: str = "table", *, now: float) -> tuple[str, int]:
    """The status as ``table``, ``wide``, ``json`` or ``yaml``, and the exit code. ``now``: epoch seconds.

    Raises Unavailable where nothing can be read, NothingRecorded where there is nothing, BadRequest for another output.
    """
    current = dump(reader, now=now, app_name=app_name)
    return formatted(current, output, in_detail=app_name is not None), exit_code(current)


def formatted(status: contract.Status, output: str, *, in_detail: bool = False) -> str:
    """The status as text, for any ``output``. ``in_detail``: tables tell all there is of the one app that is in it."""
    if output not in _FORMATS:
        raise BadRequest(f"output: found {output!r}; expected one of {', '.join(_FORMATS)}")
    form = _one_app if in_detail and output in ("table", "wide") else _FORMATS[output]
    return form(status)


def watch(look: Callable[[], tuple[str, int]], pause: Callable[[], None]) -> Iterator[str]:
    """What `look` says, each time it says something else than that time has passed; `pause` comes between two looks."""
    before = None
    while True:
        text, _ = look()
        if (lasting := _PASSING.sub("", text)) != before:
            yield text
            before = lasting
        pause()


def exit_code(status: contract.Status) -> int:
    """The exit code: 0 converged, 1 something wrong (nobody looks after the apps, a degraded app, a problem in the
    source), 2 not converged yet."""
    if status.controller.trouble:
        return ERROR
    conditions = (condition for app in status.apps for condition in app.conditions)
    degraded = any(condition.status for condition in conditions if condition.type == "Degraded")
    if degraded or status.problems or any(app.error for app in status.apps):
        return ERROR
    return CONVERGED if status.converged else NOT_CONVERGED


# -- tables -----------------------------------------------------------------------------------------------------------


def _table(status: contract.Status) -> str:
    rows = [(*_counts(status, app), short(app.revision), *_standing(app)) for app in status.apps]
    return _page(status, table((*_count_headings(status), "REVISION", "STATUS", "MESSAGE"), rows))


def _wide(status: contract.Status) -> str:
    apps = [
        (*_counts(status, app), short(app.revision), app.image, app.mode, " ".join(app.routes), *_standing(app))
        for app in status.apps
    ]
    headings = (*_count_headings(status), "REVISION", "IMAGE", "SCALING", "ROUTES", "STATUS", "MESSAGE")
    replicas = [replica for app in status.apps for replica in app.instances]
    return _page(status, table(headings, apps), _replica_table(replicas))


def _page(status: contract.Status, *tables: str) -> str:
    if not status.apps:
        tables = ("no apps",)
    parts = [_header(status), *_followed(status.controller), *_warnings(status)]
    return printable("\n\n".join(("\n".join(parts), *filter(None, tables))))


def _header(status: contract.Status) -> str:
    revision, ago = short(status.revision) or "none yet", f"{age(status.controller.age_seconds)} ago"
    return f"instance {status.instance} · revision {revision} · as of {ago}"


def _followed(controller: contract.Controller) -> Iterator[str]:
    """Where the specs come from, as far as the controller was told."""
    parts = {"source": controller.source, "branch": controller.branch, "path": controller.path}
    if controller.source:
        yield " · ".join(f"{name} {value}" for name, value in parts.items() if value)


def _warnings(status: contract.Status) -> Iterator[str]:
    if status.controller.trouble:
        yield f"warning: {status.controller.trouble}"
    yield from (f"problem: {problem.message}" for problem in status.problems)
    yield from (f"notice: {notice}" for notice in status.notices)


def _count_headings(status: contract.Status) -> tuple[str, ...]:
    return ("APP", "READY", "ROUTED") if has_edge(status.controller.edge) else ("APP", "READY")


def _counts(status: contract.Status, app: contract.App) -> tuple[object, ...]:
    ready = f"{app.replicas.ready}/{app.replicas.desired}"
    return (app.name, ready, app.replicas.routed) if has_edge(status.controller.edge) else (app.name, ready)


def _standing(app: contract.App) -> tuple[str, str]:
    """One word for the app, and what people have to know: of all its conditions the one that matters, and warnings. Of
    an app that nobody looks at only what was so is told."""
    word, message = _worst_condition(app)
    message = "; ".join(filter(None, (message, *(f"warning: {warning}" for warning in app.warnings))))
    return (word, message) if app.known else ("Unknown", f"was {word}" + (f": {message}" if message else ""))


def _worst_condition(app: contract.App) -> tuple[str, str]:
    true = {condition.type: condition for condition in app.conditions if condition.status}
    if "Degraded" in true:
        return "Degraded", app.error or true["Degraded"].message
    if "Progressing" in true:
        message = f"{true['Progressing'].message} ({age(true['Progressing'].age_seconds)})"
        return "Progressing", "; ".join(filter(None, (message, app.unrest)))
    if "Ready" in true:
        return "Ready", app.unrest
    unready = next((condition for condition in app.conditions if condition.type == "Ready"), None)
    return "NotReady", unready.message if unready else "not looked at yet"


def _replica_table(replicas: Sequence[contract.Instance]) -> str:
    if not replicas:
        return ""
    rows = [
        (
            replica.name,
            replica.container_id[:12],
            short(replica.revision),
            replica.image,
            (replica.image_digest or "")[:_DIGEST_LENGTH],
            None if replica.age_seconds is None else age(replica.age_seconds),
            f"{replica.address or '-'}:{replica.port}" if replica.port else replica.address,
            replica.state,
            replica.phase,
            _health(replica),
            replica.failures,
            _restarts(replica),
            _percent(replica.cpu_percent),
            _percent(replica.memory_percent),
            share(replica.error_percent),
            replica.note,
        )
        for replica in replicas
    ]
    what = ("INSTANCE", "CONTAINER", "REVISION", "IMAGE", "DIGEST", "AGE")
    how = ("ADDRESS", "STATE", "PHASE", "HEALTH", "FAILURES", "RESTARTS", "CPU", "MEMORY", "5XX", "NOTE")
    return table((*what, *how), rows)


def _health(replica: contract.Instance) -> str:
    """The verdict of our checks and, beside it, of the Engine's own where there is one."""
    return f"{replica.health} (Engine: {replica.engine_health})" if replica.engine_health else replica.health


def _restarts(replica: contract.Instance) -> str:
    """How often it was started again, and when last: ``3 (last 2 min ago)``."""
    ago = replica.last_restarted_age_seconds
    return str(replica.restarts) if ago is None else f"{replica.restarts} (last {age(ago)} ago)"


def _one_app(status: contract.Status) -> str:
    app = status.apps[0]
    rows = [
        ("revision", app.revision),
        ("image", app.image),
        ("made from", app.image_reference),
        ("replicas", _replicas(status, app.replicas)),
        ("scaling", app.mode),
        ("routes", " ".join(app.routes)),
        ("registered", app.created_at),
        ("changed", app.updated_at),
        ("last scaled", app.last_scaled_at),
        ("error", app.error),
        *(("certificate", certificate_words(certificate)) for certificate in app.certificates),
        ("traffic", traffic_words(app.traffic) if app.traffic else ""),
        *(("warning", warning) for warning in app.warnings),
        *(("what to do", advice) for advice in app.advice),
    ]
    conditions = table(
        ("CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"),
        [
            (c.type, "yes" if c.status else "no", f"{age(c.age_seconds)} ago", c.reason, c.message)
            for c in app.conditions
        ],
    )
    title = [app.name, *([f"  {told(app.last_change)}"] if app.last_change else [])]
    title += [f"  {name:<12} {indented(str(value), ' ' * 15).lstrip()}" for name, value in rows if value]
    return _page(status, "\n".join(title), conditions, _replica_table(app.instances), *_evidence(app))


def _replicas(status: contract.Status, replicas: contract.Replicas) -> str:
    routed = f", {replicas.routed} routed" if has_edge(status.controller.edge) else ""
    return f"{replicas.desired} wanted, {replicas.current} running, {replicas.ready} ready{routed}"


def _evidence(app: contract.App) -> Iterator[str]:
    """What people would go looking for next: exit codes, failed answers, and last log lines."""
    if failed := app.failed_version:
        yield _evidence_lines(
            f"revision {short(failed.revision)} failed: {failed.message}", failed.exit_code, failed.answer, failed.log
        )
    for replica in app.instances:
        answer = replica.health_check.detail if replica.health != "healthy" else ""
        if replica.exit_code is not None or replica.last_log or answer:
            yield _evidence_lines(replica.name, replica.exit_code, answer, replica.last_log)


def _evidence_lines(title: str, exit_code: int | None, answer: str, log: str) -> str:
    lines = [title]
    lines += [f"  exit code {exit_code}"] if exit_code is not None else []
    lines += [f"  last failed answer: {answer}"] if answer else []
    lines += ["  last log lines:", indented("\n".join(log.splitlines()[-_LOG_LINES:]), "    ")] if log else []
    return "\n".join(lines)


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f} %"


# -- for tools --------------------------------------------------------------------------------------------------------


def _document(status: contract.Status, output: str) -> str:
    return as_written(status.model_dump_json(indent=2), output)


_FORMATS: dict[str, Callable[[contract.Status], str]] = {
    "table": _table,
    "wide": _wide,
    **{output: partial(_document, output=output) for output in OUTPUTS},
}

"""`orchestry explain APP`: why it has as many replicas as it has, why each of them is or isn't routed, what comes next.

It retells what was decided, in the words it was decided in; of scaling decisions `decisions` does. It never decides
anything anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.model.app_state import AppState, Rollout
from reconciler.model.backoff import Backoff
from reconciler.model.events import Event
from reconciler.model.health import Verdict
from reconciler.model.recorded import AppRecord, Controller, SignOfLife
from reconciler.model.routes import AppRoutes
from reconciler.model.scaling import ScalingDecision
from reconciler.model.state import Published
from reconciler.model.status import AppStatus, ReplicaStatus
from reconciler.model.version import short
from reconciler.ports import StatusReader
from reconciler.report import dump
from reconciler.report.change import told
from reconciler.report.decisions import decision_document, decision_lines, notes_on
from reconciler.report.documents import OUTPUTS, document
from reconciler.report.edge import certificate_words, share, traffic_words
from reconciler.report.events import event_document, event_table
from reconciler.report.life import Life, life
from reconciler.report.tables import indented, printable, table
from reconciler.report.times import age, rfc3339

_EVENTS = 10
# The phases of a replica whose program runs, and which isn't ready.
_RUNNING = ("starting", "unready", "unhealthy")
_MARGIN = 2


@dataclass(frozen=True, slots=True)
class Subject:
    """All that is on record about one app."""

    record: AppRecord
    controller: Controller
    published: Published
    events: tuple[Event, ...]
    now: float
    sign: SignOfLife | None = None

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def status(self) -> AppStatus | None:
        return self.record.status

    @property
    def state(self) -> AppState | None:
        return self.record.state

    @property
    def decision(self) -> ScalingDecision | None:
        return self.state.decision if self.state else None

    @property
    def routes(self) -> AppRoutes | None:
        return next((app for app in self.published.table.apps if app.app_name == self.name), None)

    @property
    def replicas(self) -> tuple[ReplicaStatus, ...]:
        return self.status.replicas if self.status else ()

    @property
    def has_edge(self) -> bool:
        return dump.has_edge(self.controller.edge)

    @property
    def refusals(self) -> list[str]:
        return [refusal.message for refusal in self.published.refusals if refusal.app_name == self.name]

    @property
    def life(self) -> Life:
        return life(self.controller, self.sign, self.now)

    def ago(self, at: float) -> str:
        return f"{age(self.now - at)} ago"


def explain(reader: StatusReader, app_name: str, output: str = "text", *, now: float) -> str:
    """The explanation as ``text``, ``json`` or ``yaml``. Raises NothingRecorded where there is no such app, and
    Unavailable."""
    recorded = reader.recorded()
    events = reader.events(app_name=app_name, limit=_EVENTS)
    dump.require_present(reader, recorded, app_name)
    record = recorded.apps[app_name]
    return explained(Subject(record, recorded.controller, recorded.published, events, now, recorded.sign), output)


def explained(subject: Subject, output: str = "text") -> str:
    """The explanation of what is on record; pure."""
    if output in OUTPUTS:
        return document(_document(subject), output)
    return printable("\n\n".join(part for part in _text(subject) if part))


# -- text -------------------------------------------------------------------------------------------------------------


def _text(subject: Subject) -> Iterator[str]:
    recorded = subject.ago(subject.controller.seen_at)
    trouble = f"; {subject.life.trouble}" if subject.life.trouble else ""
    change = dump.app_dump(subject.record, subject.now).last_change
    yield f"{subject.name}, as recorded {recorded}{trouble}" + (f"\n{told(change)}" if change else "")
    yield _section("Replicas", _replicas(subject))
    yield _section("Scaling", _scaling(subject))
    yield _section("Rollout", _rollout(subject))
    yield _section("Health and routes", _health(subject))
    if subject.status and subject.status.traffic:
        yield _section("Traffic", _traffic(subject))
    yield _section("Conditions", _conditions(subject))
    if subject.events:
        yield _section("Last events", iter([event_table(subject.events, margin=_MARGIN)]))


def _section(title: str, lines: Iterator[str]) -> str:
    return "\n".join([title, *(indented(line, " " * _MARGIN) for line in lines)])


def _replicas(subject: Subject) -> Iterator[str]:
    status, state = subject.status, subject.state
    if status is None or state is None:
        yield status.error if status and status.error else "nothing has been decided yet"
        return
    routed = f", {status.routed} routed" if subject.has_edge else ""
    counts = f"{status.desired} wanted, {status.current} running, {status.ready} ready{routed}"
    yield f"{counts} (scaling is {status.mode})"
    since = state.scaled_at if state.scaled_at is not None else state.registered_at
    yield f"{state.count} since {rfc3339(since)} ({subject.ago(since)})"
    if status.unrest:
        last = max((*state.unrest.replaced, *state.unrest.restarted), default=subject.now)
        yield f"{status.unrest}, last {subject.ago(last)}"


def _scaling(subject: Subject) -> Iterator[str]:
    decision = subject.decision
    if decision is None:
        yield "no decision yet"
        return
    if subject.state and subject.state.version.app.spec.suspend:
        yield "suspended by its spec: nothing is decided; the last decision before was this"
    yield from decision_lines(decision, subject.now)


def _rollout(subject: Subject) -> Iterator[str]:
    state = subject.state
    if state is None:
        yield "no version has been accepted yet"
        return
    if rollout := state.rollout:
        origin = f"from {rollout.from_hash} " if rollout.from_hash else ""
        paused = state.has_given_up(rollout.to_hash)
        yield (
            f"{'paused' if paused else 'under way'} {origin}to {rollout.to_hash}: "
            f"started {subject.ago(rollout.started_at)}, last progress {subject.ago(rollout.progressed_at)}"
        )
        yield from _rollout_outlook(subject, state, rollout)
    else:
        target = subject.status or state.version
        yield f"none under way; version {target.spec_hash} of revision {short(target.revision)}"
    if failed := state.failed:
        yield f"revision {short(failed.revision)} failed {subject.ago(failed.at)}, {failed.reason}: {failed.message}"
    if state.pacing.creation:
        yield _backoff(subject, state.pacing.creation)


def _rollout_outlook(subject: Subject, state: AppState, rollout: Rollout) -> Iterator[str]:
    """What ends the rollout: the canary's verdict, or the lack of any further ready replica."""
    strategy = state.version.app.spec.strategy
    analysed = rollout.analysis_since is not None
    if rollout.canary_at is not None and strategy.canary:
        left_seconds = rollout.canary_at + strategy.canary.hold_seconds - subject.now
        verdict = f"judged in {age(left_seconds)}" if left_seconds > 0 else "judged as soon as it was asked enough"
        since = f"canary: has its share of the traffic since {subject.ago(rollout.canary_at)}"
        yield f"{since}, {verdict if analysed else 'promoted'}"
    if not analysed and not state.failed:
        left = age(rollout.expires_at(rollout.progressed_at, strategy.progress_deadline_seconds) - subject.now)
        what = "rolled back" if strategy.on_failure == "rollback" else "paused"
        if not rollout.from_hash:
            yield f"Degraded in {left} if no further replica becomes ready; there is no version to go back to"
        else:
            yield f"{what} in {left} if no further replica becomes ready"


def _health(subject: Subject) -> Iterator[str]:
    if not subject.replicas:
        yield "no replicas"
        return
    routed = ("ROUTED",) if subject.has_edge else ()
    rows = [
        (
            *(replica.name, replica.phase, replica.health.verdict.value),
            *(_routed(subject, replica) for _ in routed),
            _why(subject, replica),
        )
        for replica in subject.replicas
    ]
    yield table(("REPLICA", "PHASE", "HEALTH", *routed, "WHY"), rows, margin=_MARGIN)
    yield from _published_routes(subject)


def _routed(subject: Subject, replica: ReplicaStatus) -> str:
    """Whether requests reach the replica, by the last table that was published, which is what counts."""
    servers = subject.routes.servers if subject.routes else ()
    server = next((server for server in servers if server.name == replica.name), None)
    if server is None or (server.draining and replica.state != "draining"):
        return "no"
    return "draining" if server.draining else "yes"


def _why(subject: Subject, replica: ReplicaStatus) -> str:
    state, health = subject.record.replicas.get(replica.name), replica.health
    parts = [replica.note] if replica.note else []
    if state and state.restarts.backoff and replica.phase != "ready":  # until it is ready: from there on it is over
        why = _backoff(subject, state.restarts.backoff, runs=replica.phase in _RUNNING)
        parts = [part for part in parts if not why.startswith(part)] + [why]
    if not parts and health.since is not None and health.verdict is not Verdict.UNKNOWN:
        parts.append(f"{health.verdict.value} since {subject.ago(health.since)}")
    if replica.last_restarted_at is not None:
        parts.append(_restarts(subject, replica, replica.last_restarted_at))
    if replica.engine_health:
        parts.append(f"the Engine's own HEALTHCHECK says {replica.engine_health}, which decides nothing here")
    return "; ".join(parts)


def _restarts(subject: Subject, replica: ReplicaStatus, last_at: float) -> str:
    times = "once" if replica.restarts == 1 else f"{replica.restarts} times, last"
    return f"restarted {times} {subject.ago(last_at)}"


def _backoff(subject: Subject, backoff: Backoff, *, runs: bool = False) -> str:
    """Failures in a row, and what comes next; ``runs``: the next attempt is under way."""
    when = "not again until the spec changes"
    if runs and not backoff.is_final:
        when = "the next is under way"
    elif not backoff.is_final:
        left = backoff.next_at - subject.now
        when = f"next try in {age(left)}" if left > 0 else "next try now"
    return f"{backoff.reason}: {backoff.message} (attempt {backoff.attempts}, {when})"


def _published_routes(subject: Subject) -> Iterator[str]:
    routes = subject.status.routes if subject.status else ()
    if not routes:
        yield "no routes: nothing reaches it through the edge"
        return
    if not subject.has_edge:
        yield f"routes {' '.join(routes)}, and no edge: replicas are reached by their addresses alone"
        return
    published = subject.published
    edge = f" by {subject.controller.edge}" if subject.controller.edge else ""
    if published.generation:
        yield f"routes {' '.join(routes)}, published {subject.ago(published.at)} as {published.generation}{edge}"
    else:
        yield f"routes {' '.join(routes)}, not published yet"
    for each in subject.status.certificates if subject.status else ():
        yield f"certificate {certificate_words(dump.certificate_dump(each, subject.now))}"
    yield from _served_by_others(subject, routes)
    yield from (f"refused: {message}" for message in subject.refusals)


def _served_by_others(subject: Subject, routes: tuple[str, ...]) -> Iterator[str]:
    """Which of its routes go to other apps as yet."""
    own = {text.rstrip("/") for text in routes}
    for app in subject.published.table.apps:
        for route in app.routes if app.app_name != subject.name else ():
            text = f"{route.host or '*'}{route.path}"
            if text.rstrip("/") in own:
                yield f"{text} is served by {app.app_name} as yet"


def _traffic(subject: Subject) -> Iterator[str]:
    """What came of requests lately, as far as the edge tells; nothing is decided by it."""
    if subject.status is None or subject.status.traffic is None:
        return
    yield traffic_words(subject.status.traffic)
    for replica in subject.replicas:
        asked = replica.vitals.traffic
        if asked and asked.errors:
            percent = share(asked.error_percent)
            yield f"{replica.name} failed {asked.errors} of the {asked.requests} it was asked ({percent})"


def _conditions(subject: Subject) -> Iterator[str]:
    for condition in subject.status.conditions if subject.status else ():
        holds, since = "true" if condition.status else "false", subject.ago(condition.since)
        message = f": {condition.message}" if condition.message else ""
        yield f"{condition.type} is {holds} since {since}, {condition.reason}{message}"
    yield from (f"warning: {warning}" for warning in (subject.status.warnings if subject.status else ()))
    yield from (f"what to do: {advice}" for advice in dump.app_dump(subject.record, subject.now).advice)


# -- json -------------------------------------------------------------------------------------------------------------


def _document(subject: Subject) -> dict[str, Any]:
    controller = subject.life
    status = dump.app_dump(subject.record, subject.now, known=not controller.trouble).model_dump(mode="json")
    routed = {replica.name: _routed(subject, replica) for replica in subject.replicas}
    return {
        "app": subject.name,
        "as_of": rfc3339(subject.controller.seen_at),
        "controller_running": controller.running,
        "controller_stopped_at": None if controller.stopped_at is None else rfc3339(controller.stopped_at),
        "controller_trouble": controller.trouble,
        "scaling": decision_document(subject.decision) if subject.decision else None,
        "notes": list(notes_on(subject.decision)) if subject.decision else [],
        "routed": routed,
        "published": _published(subject.published),
        "refusals": subject.refusals,
        "status": status,
        "events": [event_document(event) for event in subject.events],
    }


def _published(published: Published) -> dict[str, Any] | None:
    return {"generation": published.generation, "at": rfc3339(published.at)} if published.generation else None

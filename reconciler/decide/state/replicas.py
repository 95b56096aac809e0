"""The state of each replica, carried over one observation: new containers, crashes, answers of probes.

It notes what happened and tells of it. What to do about it is decided elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from operator import attrgetter

from reconciler.decide.state.absence import pardoned
from reconciler.decide.state.blind import seen_again
from reconciler.decide.state.health import after_sample, checks_of, trusted
from reconciler.decide.versions import version_for
from reconciler.decide.words import exit_words, out_of_memory_words
from reconciler.model.actions import RemoveReplica
from reconciler.model.app_state import AppState
from reconciler.model.backoff import FORGOTTEN_AFTER_SECONDS, after_failure, delay_seconds
from reconciler.model.events import Event
from reconciler.model.health import CheckKind, Health, Verdict
from reconciler.model.observed import Container, ContainerState, Observed, ProbeSample
from reconciler.model.reasons import Reason
from reconciler.model.replica_state import ReplicaState, Traffic
from reconciler.model.restarts import Restarts
from reconciler.model.spec import HealthCheck
from reconciler.model.state import Absence, State

Checks = Mapping[CheckKind, HealthCheck]

_ENDED = (ContainerState.EXITED, ContainerState.RESTARTING)


def follow(state: State, observed: Observed) -> tuple[State, tuple[Event, ...]]:
    """The state of every replica after this observation, and what happened to them since the last one."""
    events: list[Event] = []
    now, samples = observed.at, _by_container(observed.samples)
    replicas = dict(state.replicas)
    removing = {action.key for action in observed.in_flight if isinstance(action, RemoveReplica)}
    for container in sorted(observed.containers, key=attrgetter("name")):
        app = state.apps.get(container.app_name)
        if container.name not in replicas:
            message = f"adopted {container.name}, which nothing on record tells of: kept as it is"
            events.append(Event(now, "controller", message, container.app_name, {"container": container.id}))
        replica = _identified(replicas.get(container.name), container, app, now)
        is_ending = container.name in removing or replica.ending is not None
        before = replica = pardoned(replica, state.absence)
        if not is_ending:  # else it ends by our own doing, which is no crash
            replica, happened = _after_state(before, container, app, now)
            replica = _after_absence(before, replica, container, state.absence, now)
            events += happened
        if app is not None:
            # Each replica is judged by the checks of its own version, not by those of its successor.
            checks = checks_of(version_for(app, container.spec_hash).app)
            if replica.ready_at is not None:  # while it serves, a new check must not take it out before an answer
                replica = _trusted(replica, checks, now)
            # Of one that we are stopping they tell nothing but that, and would take the place of what was wrong.
            answers = tuple(_of_this_run(samples.get(container.id, ()), container, now))
            if answers and not is_ending:
                replica, happened = _after_samples(replica, answers, checks)
                events += happened
            replica = seen_again(replica, answers, checks)
            replica = replica.became_ready(now) if _is_well(replica, container, checks) else replica.became_unready()
        replicas[container.name] = replica
    events += _vanished(replicas, observed)
    return replace(state, replicas=replicas), tuple(events)


def _by_container(samples: Iterable[ProbeSample]) -> Mapping[str, list[ProbeSample]]:
    grouped: defaultdict[str, list[ProbeSample]] = defaultdict(list)
    for sample in sorted(samples, key=attrgetter("at", "check")):
        grouped[sample.container_id].append(sample)
    return grouped


# -- which container it is ------------------------------------------------------------------------------------------


def _identified(before: ReplicaState | None, container: Container, app: AppState | None, now: float) -> ReplicaState:
    if before is None:
        return _adopted(container, app, now)
    address = container.address or before.address
    if before.container_id == container.id:
        return before.at(address)
    return before.successor(container.id, address, container.spec_hash, now)


def _adopted(container: Container, app: AppState | None, now: float) -> ReplicaState:
    """The state of a replica whose container nobody remembers. One that runs when its app is first heard of is left
    over from before a database was lost: it stays in traffic, though nothing else relies on it before it has answered
    for itself."""
    adopted = ReplicaState(
        name=container.name,
        app_name=container.app_name,
        slot=container.slot,
        container_id=container.id,
        address=container.address or "",
        spec_hash=container.spec_hash,
        created_at=now,
        restarts=Restarts(by_engine=container.restart_count or 0, last_at=_restarted_at(container, now)),
        traffic=Traffic(entered=app is None or bool(app.version.app.routes)),
    )
    if app is None or app.registered_at < now or container.state is not ContainerState.RUNNING:
        return adopted
    return _trusted(adopted, checks_of(version_for(app, container.spec_hash).app), now)


def _restarted_at(container: Container, now: float) -> float | None:
    """When a container that nobody remembers was last restarted, as far as it can be told."""
    return min(container.started_at, now) if container.restart_count and container.started_at is not None else None


def _vanished(replicas: dict[str, ReplicaState], observed: Observed) -> list[Event]:
    """Mark the replicas whose container is gone though nobody here is removing it."""
    accounted = {container.name for container in observed.containers} | {action.key for action in observed.in_flight}
    events = []
    for name in sorted(replicas.keys() - accounted):
        replica = replicas[name]
        if replica.container_id:
            message = f"{name}'s container is gone"
            events.append(Event(observed.at, "health", message, replica.app_name, {"replica": name}))
            replicas[name] = replica.removed() if replica.ending else replica.vanished(observed.at)
    return events


# -- crashes --------------------------------------------------------------------------------------------------------


def _after_state(
    replica: ReplicaState, container: Container, app: AppState | None, now: float
) -> tuple[ReplicaState, tuple[Event, ...]]:
    running, before = container.state is ContainerState.RUNNING, replica.restarts.total
    crashed = _has_crashed(replica, container)
    replica = replica.restarts_counted(container.restart_count, container.started_at, now, running=running)
    if crashed:
        return _crashed(replica, container, app, now)
    events = _restarted(replica, replica.restarts.total - before, now)
    if running:
        replica = replica.runs_again()
    if container.state is ContainerState.REMOVING:
        replica = replica.disturbed(now)
    exits, well_since = replica.exits, replica.ready_at
    if container.out_of_memory and exits.code is not None and not exits.out_of_memory:
        replica = replica.found_out_of_memory(_out_of_memory(container, app), container.last_log)
        events += (_crash_event(replica, container, now),)
    if replica.restarts.backoff and well_since is not None and now - well_since >= FORGOTTEN_AFTER_SECONDS:
        replica = replica.crash_loop_over()
    return replica, events


def _after_absence(
    before: ReplicaState, replica: ReplicaState, container: Container, absence: Absence | None, now: float
) -> ReplicaState:
    """The replica without what the Engine's absence did to it: an end is no crash then, and a program that was started
    again unseen starts anew, having answered nothing yet."""
    if absence is None or not absence.explains(now):
        return replica
    was_well, started_at = replica.ready_at, container.started_at
    unseen = replica.restarts.total > before.restarts.total or (
        was_well is not None and started_at is not None and was_well < started_at <= now
    )
    if unseen and container.state is ContainerState.RUNNING and replica.disturbed_at != now:
        replica = replica.started_anew(now)
    return pardoned(replica, absence)


def _has_crashed(replica: ReplicaState, container: Container) -> bool:
    """Whether the program ended since the last look. The Engine counts restarts of its own; other ends are seen as a
    state.

    However often it did so counts once, since the Engine's count may go back further than our state. Where it tells of
    no exit either, it was while nobody looked: what runs now is counted as restarted, and judged by its answers.
    """
    count = container.restart_count
    if count is not None and count > replica.restarts.by_engine and container.exit_code is not None:
        return True
    return container.state is ContainerState.EXITED and replica.exits.ended_at is None


def _restarted(replica: ReplicaState, times: int, now: float) -> tuple[Event, ...]:
    """What is told of restarts that no crash was seen of."""
    if times <= 0:
        return ()
    often = "restarted" if times == 1 else f"restarted {times} times"
    message = f"{replica.name} was {often} while nobody looked, or by hand"
    details = {"container": replica.container_id, "restarts": str(replica.restarts.total)}
    return (Event(now, "health", message, replica.app_name, details),)


def _crashed(
    replica: ReplicaState, container: Container, app: AppState | None, now: float
) -> tuple[ReplicaState, tuple[Event, ...]]:
    replica = replica.crashed(
        now,
        ended=container.state in _ENDED,
        code=container.exit_code,
        log=container.last_log,
        out_of_memory=_out_of_memory(container, app) if container.out_of_memory else "",
    )
    exits, restarts, then = replica.exits, replica.restarts, ""
    if exits.looping or restarts.by_controller:
        why = f"keeps crashing: {exit_words(exits.code, exits.out_of_memory)}"
        backoff = after_failure(restarts.backoff, Reason.CRASH_LOOP, why, now)
        replica = replica.held_back(backoff)
        then = f" again; next start in {delay_seconds(backoff.attempts):g} s (attempt {backoff.attempts + 1})"
    return replica, (_crash_event(replica, container, now, then),)


def _crash_event(replica: ReplicaState, container: Container, now: float, then: str = "") -> Event:
    exits = replica.exits
    message = f"{replica.name} {exit_words(exits.code, exits.out_of_memory)}{then}"
    details = {"container": container.id, "exit_code": str(exits.code), "log": exits.log}
    details |= {"out_of_memory": exits.out_of_memory} if exits.out_of_memory else {}
    return Event(now, "health", message, replica.app_name, details)


def _out_of_memory(container: Container, app: AppState | None) -> str:
    resources = version_for(app, container.spec_hash).app.spec.resources if app else None
    return out_of_memory_words(resources.memory_bytes if resources else None)


# -- health ---------------------------------------------------------------------------------------------------------


def _trusted(replica: ReplicaState, checks: Checks, now: float) -> ReplicaState:
    """The replica, trusted by those checks that have said nothing of it yet."""
    for kind in checks:
        if replica.health_by(kind).verdict is Verdict.UNKNOWN:
            replica = replica.checked(kind, trusted(now))
    return replica


def _of_this_run(samples: Iterable[ProbeSample], container: Container, now: float) -> Iterable[ProbeSample]:
    """The samples without what an earlier run of the program in the same container has answered."""
    started_at = container.started_at
    if container.state is not ContainerState.RUNNING:
        return ()
    if started_at is None or started_at > now:  # The clock was set back since.
        return samples
    return (sample for sample in samples if sample.at >= started_at)


def _after_samples(
    replica: ReplicaState, samples: Iterable[ProbeSample], checks: Checks
) -> tuple[ReplicaState, tuple[Event, ...]]:
    events: list[Event] = []
    for sample in samples:
        if sample.check not in checks:
            continue
        before = replica.health_by(sample.check)
        after = after_sample(before, sample, checks[sample.check])
        replica = replica.checked(sample.check, after)
        if after.verdict is not before.verdict:
            events.append(_verdict_event(replica, sample, after))
    return replica, tuple(events)


def _verdict_event(replica: ReplicaState, sample: ProbeSample, health: Health) -> Event:
    why = f": {health.consecutive_failures} failures in a row, last {health.detail}" if health.detail else ""
    subject = "" if sample.check == "health" else " (readiness)"
    message = f"{replica.name} is {health.verdict}{subject}{why}"
    details = {"container": replica.container_id, "verdict": str(health.verdict), "answer": health.detail}
    return Event(sample.at, "health", message, replica.app_name, details)


def _is_well(replica: ReplicaState, container: Container, checks: Checks) -> bool:
    """Whether a replica is well: running, and healthy by each check that it has."""
    well = all(replica.health_by(kind).verdict is Verdict.HEALTHY for kind in checks)
    return well and container.state is ContainerState.RUNNING

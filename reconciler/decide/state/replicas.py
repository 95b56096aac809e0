"""What is remembered of each replica, carried over one observation: new containers, crashes, answers of probes.

It notes what happened and tells of it. What to do about it is decided elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from operator import attrgetter

from reconciler.decide.state.backoff import FORGOTTEN_AFTER_SECONDS, after_failure, delay_seconds
from reconciler.decide.state.health import after_sample, begun_anew, health_check_of, trusted
from reconciler.decide.versions import version_for
from reconciler.model.actions import RemoveReplica
from reconciler.model.events import Event
from reconciler.model.health import Health, Verdict
from reconciler.model.observed import Container, ContainerState, Observed, ProbeSample
from reconciler.model.spec import App
from reconciler.model.state import AppState, ReplicaState, State

CRASH_WINDOW_SECONDS = 60.0
CRASHES_UNTIL_TAKEN_OVER = 3
CRASH_LOOP = "CrashLoopBackOff"

_ENDED = (ContainerState.EXITED, ContainerState.RESTARTING)


def follow(state: State, observed: Observed, now: float) -> tuple[State, tuple[Event, ...]]:
    """The state of every replica after this observation, and what happened to them since the last one."""
    events: list[Event] = []
    samples = _by_container(observed.samples)
    replicas = dict(state.replicas)
    removing = {action.key for action in observed.in_flight if isinstance(action, RemoveReplica)}
    for container in sorted(observed.containers, key=attrgetter("name")):
        app = state.apps.get(container.app_name)
        if container.name not in replicas:
            message = f"adopted {container.name}, which nothing on record tells of: kept as it is"
            events.append(Event(now, "controller", message, container.app_name, {"container": container.id}))
        known = _identify(replicas.get(container.name), container, app, now)
        current = known
        if container.name not in removing:  # else it ends by our own doing, which is no crash
            current, happened = _after_state(known, container, now)
            events += happened
        if app is not None:
            # Each replica is judged by the checks of its own version, not by those of its successor.
            own = version_for(app, container.spec_hash).app
            current = _newly_checked(current, own, now)
            if answers := samples.get(container.id):
                current, happened = _after_samples(current, _of_this_run(answers, container, now), own)
                events += happened
            current = _readiness(current, container, own, now)
        replicas[container.name] = current
    events += _vanished(replicas, observed, now)
    return replace(state, replicas=replicas), tuple(events)


def successor(before: ReplicaState, container_id: str, address: str, spec_hash: str, now: float) -> ReplicaState:
    """What is known of a new container in the slot of another one: where requests reach it and, unless its spec
    differs, how its predecessor crashed."""
    same_spec = before.spec_hash == spec_hash
    return ReplicaState(
        name=before.name,
        app_name=before.app_name,
        slot=before.slot,
        container_id=container_id,
        address=address,
        spec_hash=spec_hash,
        created_at=now,
        ever_routed=before.ever_routed,
        unrouted_at=before.unrouted_at,
        disturbed_at=before.disturbed_at,
        crashes=before.crashes if same_spec else (),
        backoff=before.backoff if same_spec else None,
    )


def exit_words(exit_code: int | None) -> str:
    """How a program ended."""
    return "exited" if exit_code is None else f"exited with code {exit_code}"


def _by_container(samples: Iterable[ProbeSample]) -> Mapping[str, list[ProbeSample]]:
    grouped: defaultdict[str, list[ProbeSample]] = defaultdict(list)
    for sample in sorted(samples, key=attrgetter("at")):
        grouped[sample.container_id].append(sample)
    return grouped


# -- which container it is ------------------------------------------------------------------------------------------


def _identify(before: ReplicaState | None, container: Container, app: AppState | None, now: float) -> ReplicaState:
    if before is None:
        return _adopt(container, app, now)
    address = container.address or before.address
    if before.container_id == container.id:
        return before if address == before.address else replace(before, address=address)
    return successor(before, container.id, address, container.spec_hash, now)


def _adopt(container: Container, app: AppState | None, now: float) -> ReplicaState:
    """A container that nobody remembers. One that runs when its app is first heard of is left over from before a
    database was lost: it stays in traffic, though nothing else relies on it before it has answered for itself."""
    adopted = ReplicaState(
        name=container.name,
        app_name=container.app_name,
        slot=container.slot,
        container_id=container.id,
        address=container.address or "",
        spec_hash=container.spec_hash,
        created_at=now,
        restart_count=container.restart_count or 0,
        ever_routed=app is None or bool(app.version.app.routes),
    )
    if app is None or app.registered_at < now or container.state is not ContainerState.RUNNING:
        return adopted
    own = version_for(app, container.spec_hash).app
    return replace(
        adopted,
        health=trusted(now) if health_check_of(own) else Health(),
        readiness=trusted(now) if own.spec.readiness else Health(),
    )


def _vanished(replicas: dict[str, ReplicaState], observed: Observed, now: float) -> list[Event]:
    """Mark the replicas whose container is gone though nobody here is removing it."""
    accounted = {container.name for container in observed.containers} | {action.key for action in observed.in_flight}
    events = []
    for name in sorted(replicas.keys() - accounted):
        state = replicas[name]
        if state.container_id:
            events.append(Event(now, "health", f"{name}'s container is gone", state.app_name, {"replica": name}))
            replicas[name] = replace(state, container_id="", ready_at=None, exited_at=now, disturbed_at=now)
    return events


# -- crashes --------------------------------------------------------------------------------------------------------


def _after_state(state: ReplicaState, container: Container, now: float) -> tuple[ReplicaState, tuple[Event, ...]]:
    if _has_crashed(state, container):
        return _crashed(state, container, now)
    if state.exited_at is not None and container.state is ContainerState.RUNNING:
        state = replace(state, exited_at=None)
    if container.state is ContainerState.REMOVING and state.disturbed_at is None:
        state = replace(state, disturbed_at=now)
    if container.restart_count not in (None, state.restart_count):
        state = replace(state, restart_count=container.restart_count or 0)
    well_since = state.ready_at
    if state.backoff and well_since is not None and now - well_since >= FORGOTTEN_AFTER_SECONDS:
        state = replace(state, backoff=None, crashes=())
    return state, ()


def _has_crashed(state: ReplicaState, container: Container) -> bool:
    """Whether it ended since the last look. The Engine counts restarts of its own; other ends are seen as a state.

    However often it did so counts once, since the Engine's count may go back further than our state.
    """
    if container.restart_count is not None and container.restart_count > state.restart_count:
        return True
    return container.state is ContainerState.EXITED and state.exited_at is None


def _crashed(state: ReplicaState, container: Container, now: float) -> tuple[ReplicaState, tuple[Event, ...]]:
    recent = tuple(at for at in state.crashes if now - at < CRASH_WINDOW_SECONDS)
    exit_code = state.exit_code if container.exit_code is None else container.exit_code
    state = replace(
        state,
        restart_count=state.restart_count if container.restart_count is None else container.restart_count,
        crashes=(*recent, now)[-CRASHES_UNTIL_TAKEN_OVER:],
        exited_at=now if container.state in _ENDED else None,
        disturbed_at=now,
        health=begun_anew(state.health),
        readiness=begun_anew(state.readiness),
        ready_at=None,
        last_log=container.last_log or state.last_log,
        exit_code=exit_code,
    )
    message = f"{state.name} {exit_words(exit_code)}"
    if len(state.crashes) >= CRASHES_UNTIL_TAKEN_OVER or state.taken_over:
        backoff = after_failure(state.backoff, CRASH_LOOP, f"keeps crashing: {exit_words(exit_code)}", now)
        state = replace(state, backoff=backoff)
        message += f" again; next start in {delay_seconds(backoff.attempts):g} s (attempt {backoff.attempts + 1})"
    details = {"container": container.id, "exit_code": str(exit_code), "log": state.last_log}
    return state, (Event(now, "health", message, state.app_name, details),)


# -- health ---------------------------------------------------------------------------------------------------------


def _newly_checked(state: ReplicaState, app: App, now: float) -> ReplicaState:
    """A check that is given to a replica which serves already must not take it out of traffic before its first
    answer."""
    if state.ready_at is None:
        return state
    if state.health.verdict is Verdict.UNKNOWN and health_check_of(app) is not None:
        state = replace(state, health=trusted(now))
    if state.readiness.verdict is Verdict.UNKNOWN and app.spec.readiness is not None:
        state = replace(state, readiness=trusted(now))
    return state


def _of_this_run(samples: Iterable[ProbeSample], container: Container, now: float) -> Iterable[ProbeSample]:
    """Without what an earlier run of the program in the same container has answered."""
    started_at = container.started_at
    if container.state is not ContainerState.RUNNING:
        return ()
    if started_at is None or started_at > now:  # The clock was set back since.
        return samples
    return (sample for sample in samples if sample.at >= started_at)


def _after_samples(
    state: ReplicaState, samples: Iterable[ProbeSample], app: App
) -> tuple[ReplicaState, tuple[Event, ...]]:
    events: list[Event] = []
    for sample in samples:
        check = health_check_of(app) if sample.check == "health" else app.spec.readiness
        if check is None:
            continue
        before = state.health if sample.check == "health" else state.readiness
        after = after_sample(before, sample, check)
        state = replace(state, health=after) if sample.check == "health" else replace(state, readiness=after)
        if after.verdict is not before.verdict:
            events.append(_verdict_event(state, sample, after))
    return state, tuple(events)


def _verdict_event(state: ReplicaState, sample: ProbeSample, health: Health) -> Event:
    why = f": {health.consecutive_failures} failures in a row, last {health.detail}" if health.detail else ""
    subject = "" if sample.check == "health" else " (readiness)"
    message = f"{state.name} is {health.verdict}{subject}{why}"
    details = {"container": state.container_id, "verdict": str(health.verdict), "answer": health.detail}
    return Event(sample.at, "health", message, state.app_name, details)


def _readiness(state: ReplicaState, container: Container, app: App, now: float) -> ReplicaState:
    """Ready: running, healthy by its check (or without one), and ready by its readiness check where it has one."""
    well = (
        container.state is ContainerState.RUNNING
        and (state.health.verdict is Verdict.HEALTHY or health_check_of(app) is None)
        and (state.readiness.verdict is Verdict.HEALTHY or app.spec.readiness is None)
    )
    if well == (state.ready_at is not None):
        return state
    return replace(state, ready_at=now, disturbed_at=None) if well else replace(state, ready_at=None)

"""Where each replica stands: what was seen of it, what is remembered, and one word for both.

`follow` carries the memory of replicas forward over an observation (new containers, crashes, probe answers);
`classify` names each one's phase by the first rule that fits. Neither decides what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from reconciler.decide import health as health_rules
from reconciler.decide.backoff import FORGOTTEN_AFTER_SECONDS, after_failure
from reconciler.decide.versions import version_for
from reconciler.model.actions import Action, CreateReplica, RemoveReplica
from reconciler.model.events import Event
from reconciler.model.health import Health, Verdict
from reconciler.model.memory import AppMemory, Memory, ReplicaMemory
from reconciler.model.observed import Container, ContainerState, Observed, ProbeSample
from reconciler.model.spec import App

CRASH_WINDOW_SECONDS = 60.0
CRASHES_UNTIL_TAKEN_OVER = 3


class Phase(StrEnum):
    """One word for where a replica stands, in the order the rules are tried."""

    LEAVING = "leaving"
    DEAD = "dead"
    CREATING = "creating"
    GONE = "gone"
    CREATED = "created"
    RESTARTING = "restarting"
    CRASHED = "crashed"
    PAUSED = "paused"
    UNHEALTHY = "unhealthy"
    STARTING = "starting"
    UNREADY = "unready"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica of one app, as one tick sees it."""

    memory: ReplicaMemory
    phase: Phase
    container: Container | None = None
    busy: bool = False

    @property
    def name(self) -> str:
        return self.memory.name

    @property
    def slot(self) -> int:
        return self.memory.slot

    @property
    def spec_hash(self) -> str:
        return self.memory.spec_hash

    @property
    def exists(self) -> bool:
        """Whether there is, or is just being made, a container."""
        return self.phase is not Phase.GONE

    @property
    def ready(self) -> bool:
        return self.phase is Phase.READY

    def available(self, min_ready_seconds: float, now: float) -> bool:
        """Ready for long enough to be relied on."""
        return self.ready and now - (self.memory.ready_at or now) >= min_ready_seconds


# The first rule that fits gives the phase; the order is the meaning.
_RULES: tuple[tuple[Phase, Callable[[Container | None, Action | None, ReplicaMemory], bool]], ...] = (
    (Phase.LEAVING, lambda _, action, __: isinstance(action, RemoveReplica)),
    (Phase.LEAVING, lambda c, _, __: c is not None and c.state is ContainerState.REMOVING),
    (Phase.DEAD, lambda c, _, __: c is not None and c.state is ContainerState.DEAD),
    (Phase.CREATING, lambda _, action, __: isinstance(action, CreateReplica)),
    (Phase.GONE, lambda c, _, __: c is None),
    (Phase.CREATED, lambda c, _, __: c is not None and c.state is ContainerState.CREATED),
    (Phase.RESTARTING, lambda c, _, __: c is not None and c.state is ContainerState.RESTARTING),
    (Phase.CRASHED, lambda c, _, __: c is not None and c.state is ContainerState.EXITED),
    (Phase.PAUSED, lambda c, _, __: c is not None and c.state is ContainerState.PAUSED),
    (Phase.UNHEALTHY, lambda _, __, memory: memory.health.verdict is Verdict.UNHEALTHY),
    (Phase.READY, lambda _, __, memory: memory.ready_at is not None),
    (Phase.UNREADY, lambda _, __, memory: memory.readiness.verdict is Verdict.UNHEALTHY),
    (Phase.STARTING, lambda _, __, ___: True),
)


def classify(memory: ReplicaMemory, container: Container | None, in_flight: Action | None) -> Replica:
    phase = next(phase for phase, fits in _RULES if fits(container, in_flight, memory))
    return Replica(memory, phase, container, busy=in_flight is not None)


def follow(memory: Memory, observed: Observed, now: float) -> tuple[Memory, tuple[Event, ...]]:
    """The memory of every replica after this observation, and what happened to them since the last one.

    A container that was not remembered is adopted as it is; one that replaced another in its slot starts anew.
    """
    events: list[Event] = []
    samples = _by_container(observed.samples)
    replicas = dict(memory.replicas)
    for container in observed.containers:
        app = memory.apps.get(container.app_name)
        before = replicas.get(container.name)
        current = _identify(before, container, app, now)
        current, happened = _after_state(current, container, now)
        events.extend(happened)
        if app is not None:
            # Each replica is judged by the checks of its own version, not by those of its successor.
            own = version_for(app, container.spec_hash).app
            current, happened = _after_samples(current, samples.get(container.id, ()), own)
            events.extend(happened)
            current = _readiness(current, container, own, now)
        replicas[container.name] = current
    events += _vanished(replicas, observed, now)
    return replace(memory, replicas=replicas), tuple(events)


def _vanished(replicas: dict[str, ReplicaMemory], observed: Observed, now: float) -> list[Event]:
    """Mark the replicas whose container is gone though nobody here is removing it."""
    present = {container.name for container in observed.containers}
    expected = {action.key for action in observed.in_flight}
    events = []
    for name, memory in list(replicas.items()):
        if name in present or name in expected or not memory.container_id:
            continue
        events.append(Event(now, "health", f"{name}'s container was removed from outside", memory.app_name))
        replicas[name] = replace(memory, container_id="", ready_at=None, exited_at=now, disturbed_at=now)
    return events


def _by_container(samples: Iterable[ProbeSample]) -> Mapping[str, list[ProbeSample]]:
    grouped: dict[str, list[ProbeSample]] = {}
    for sample in samples:
        grouped.setdefault(sample.container_id, []).append(sample)
    return grouped


def _identify(before: ReplicaMemory | None, container: Container, app: AppMemory | None, now: float) -> ReplicaMemory:
    if before is not None and before.container_id == container.id:
        address = container.address or before.address
        return before if address == before.address else replace(before, address=address)
    fresh = ReplicaMemory(
        name=container.name,
        app_name=container.app_name,
        slot=container.slot,
        container_id=container.id,
        address=container.address or (before.address if before else ""),
        spec_hash=container.spec_hash,
        created_at=now,
        restart_count=container.restart_count or 0,
    )
    if before is None:
        # Adopted: nobody knows its past. It is taken for well until its checks say otherwise, and for routed when
        # it has to go, so that a lost database costs no request.
        well = replace(Health(), verdict=Verdict.HEALTHY, since=now, first_healthy_at=now)
        return replace(fresh, health=well, readiness=well, ever_routed=app is None or bool(app.version.app.routes))
    same_spec = before.spec_hash == container.spec_hash
    return replace(
        fresh,
        ever_routed=before.ever_routed,
        unrouted_at=before.unrouted_at,
        disturbed_at=before.disturbed_at,
        crashes=before.crashes if same_spec else (),
        backoff=before.backoff if same_spec else None,
        taken_over=False,
    )


def _after_state(memory: ReplicaMemory, container: Container, now: float) -> tuple[ReplicaMemory, tuple[Event, ...]]:
    crashed = _crashes_since(memory, container)
    exited = container.state in (ContainerState.EXITED, ContainerState.RESTARTING)
    if container.restart_count is not None and container.restart_count != memory.restart_count:
        memory = replace(memory, restart_count=container.restart_count)
    if not exited and memory.exited_at is not None and container.state is ContainerState.RUNNING:
        memory = replace(memory, exited_at=None)
    if not crashed:
        return _forget_old_trouble(memory, now), ()
    crashes = (*(at for at in memory.crashes if 0 <= now - at < CRASH_WINDOW_SECONDS), *[now] * crashed)
    memory = replace(
        memory,
        crashes=crashes[-CRASHES_UNTIL_TAKEN_OVER:],
        exited_at=now if exited else None,
        disturbed_at=now,
        health=replace(Health(), tally=memory.health.tally),
        readiness=replace(Health(), tally=memory.readiness.tally),
        ready_at=None,
        last_log=container.last_log or memory.last_log,
        exit_code=container.exit_code if container.exit_code is not None else memory.exit_code,
    )
    if len(crashes) >= CRASHES_UNTIL_TAKEN_OVER or memory.taken_over:
        message = f"exited with code {memory.exit_code}, {len(crashes)} times within a minute"
        memory = replace(memory, backoff=after_failure(memory.backoff, "CrashLoopBackOff", message, now))
    details = {"container": container.id, "exit_code": str(memory.exit_code), "log": memory.last_log}
    event = Event(now, "health", f"{memory.name} exited with code {memory.exit_code}", memory.app_name, details)
    return memory, (event,)


def _crashes_since(memory: ReplicaMemory, container: Container) -> int:
    """Exits since the last look. The Engine's own restarts are counted by it; other exits are seen as a state."""
    if container.restart_count is not None and container.restart_count > memory.restart_count:
        return container.restart_count - memory.restart_count
    if container.state is not ContainerState.EXITED:
        return 0
    ran_since = memory.exited_at is None or (container.started_at or 0.0) > memory.exited_at
    return 1 if ran_since else 0


def _forget_old_trouble(memory: ReplicaMemory, now: float) -> ReplicaMemory:
    if memory.backoff and memory.ready_at is not None and now - memory.ready_at >= FORGOTTEN_AFTER_SECONDS:
        return replace(memory, backoff=None, crashes=())
    return memory


def _after_samples(
    memory: ReplicaMemory, samples: Iterable[ProbeSample], app: App
) -> tuple[ReplicaMemory, tuple[Event, ...]]:
    events: list[Event] = []
    for sample in samples:
        check = health_rules.health_check_of(app) if sample.check == "health" else app.spec.readiness
        if check is None:
            continue
        before = memory.health if sample.check == "health" else memory.readiness
        after = health_rules.after_sample(before, sample, check)
        memory = replace(memory, health=after) if sample.check == "health" else replace(memory, readiness=after)
        if after.verdict is not before.verdict:
            events.append(_verdict_event(memory, sample, after))
    return memory, tuple(events)


def _verdict_event(memory: ReplicaMemory, sample: ProbeSample, health: Health) -> Event:
    why = f": {health.consecutive_failures} failures in a row, last {health.detail}" if health.detail else ""
    subject = "" if sample.check == "health" else " (readiness)"
    message = f"{memory.name} is {health.verdict}{subject}{why}"
    details = {"container": memory.container_id, "verdict": str(health.verdict), "answer": health.detail}
    return Event(sample.at, "health", message, memory.app_name, details)


def _readiness(memory: ReplicaMemory, container: Container, app: App, now: float) -> ReplicaMemory:
    """Ready: running, healthy by its check (or without one), and ready by its readiness check where it has one."""
    well = container.state is ContainerState.RUNNING
    if health_rules.health_check_of(app) is not None:
        well = well and memory.health.verdict is Verdict.HEALTHY
    if app.spec.readiness is not None:
        well = well and memory.readiness.verdict is Verdict.HEALTHY
    if well == (memory.ready_at is not None):
        return memory
    return replace(memory, ready_at=now, disturbed_at=None) if well else replace(memory, ready_at=None)

"""A stage for pure decisions: an instant world in which what was planned happens, and time moves only when told.

No threads, no I/O, nothing shared with the real adapters: it lets a test play whole stories through
`decide` and `conclude` and read the plans they made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.decide.plan import Decision, conclude, decide
from reconciler.edge.insertion import with_routes_left
from reconciler.model.actions import (
    Action,
    ActionFailure,
    CheckCreation,
    CreateReplica,
    EnsureImage,
    FailureKind,
    GiveBackRestarts,
    Outcome,
    RemoveReplica,
    StartReplica,
    StopReplica,
    TakeOverRestarts,
)
from reconciler.model.certificates import ServedCertificate
from reconciler.model.desired import Desired
from reconciler.model.events import Event
from reconciler.model.image import Image
from reconciler.model.load import AppLoad, Loads, ReplicaLoad, VersionLoad
from reconciler.model.observed import (
    Capacity,
    Container,
    ContainerState,
    Inventory,
    Network,
    Observed,
    ProbeSample,
    SecretsSeen,
)
from reconciler.model.plan import DecisionSettings, Plan, ProbeTarget
from reconciler.model.routes import Publication, Refusal, RouteTable
from reconciler.model.secrets import changed, combined
from reconciler.model.state import State
from reconciler.model.status import AppStatus
from reconciler.report.plan import format_plan
from tests.support.consistency import inconsistencies

NETWORK = Network("orchestry", "10.0.0.2", "10.0.255.254")


@dataclass
class Stage:
    """``broken`` are images whose replicas don't get well, ``unserved`` paths of checks that no program answers, and
    CAs that no replica has its certificate from; ``cut_off`` images whose replicas the network doesn't reach.
    ``failing`` says how an action fails, by its key or summary; ``held`` are keys of actions that stay in flight,
    ``queued`` of those that have not begun. Who is ``stubborn`` doesn't end when asked to, and ``asked`` are all that
    were; ``stuck`` says what the Engine calls those whose removal has failed. The edge is ``down``, or has ``refused``
    these apps. ``callers`` have connections open to a replica, by its name; None where they can't be seen."""

    desired: Desired
    now: float = 1000.0
    settings: DecisionSettings = field(default_factory=DecisionSettings)
    state: State = field(default_factory=State)
    containers: dict[str, Container] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    unserved: set[str] = field(default_factory=set)
    cut_off: set[str] = field(default_factory=set)
    failing: dict[str, ActionFailure] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    queued: dict[str, int] = field(default_factory=dict)
    stubborn: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    stuck: dict[str, ContainerState] = field(default_factory=dict)
    down: bool = False
    refused: set[str] = field(default_factory=set)
    foreign_names: frozenset[str] = frozenset()
    foreign_addresses: frozenset[str] = frozenset()
    loads: dict[str, AppLoad] = field(default_factory=dict)
    replica_loads: dict[str, ReplicaLoad] = field(default_factory=dict)
    version_loads: dict[tuple[str, str], VersionLoad] = field(default_factory=dict)
    open_requests: dict[str, int] = field(default_factory=dict)
    callers: dict[str, tuple[str, ...]] | None = field(default_factory=dict)
    capacity: Capacity | None = None
    images: dict[str, Image] = field(default_factory=dict)
    secrets: dict[str, SecretsSeen] = field(default_factory=dict)
    certificates: tuple[ServedCertificate, ...] = ()
    outcomes: list[Outcome] = field(default_factory=list)
    in_flight: dict[str, Action] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    events: list[Event] = field(default_factory=list)
    statuses: dict[str, AppStatus] = field(default_factory=dict)
    published: list[RouteTable] = field(default_factory=list)
    plan: Plan | None = None
    _ids: int = 0
    _sick: set[tuple[str, str]] = field(default_factory=set)
    _just_started: set[str] = field(default_factory=set)
    _images: dict[str, str] = field(default_factory=dict)

    def observe(self) -> Observed:
        self._land()
        outcomes, self.outcomes = tuple(self.outcomes), []
        samples, self._just_started = tuple(self._samples()), set()
        inventory = Inventory(
            tuple(self.containers.values()),
            NETWORK,
            self.foreign_names,
            self.foreign_addresses,
            self.capacity,
            self.images,
        )
        return Observed(
            at=self.now,
            desired=self.desired,
            inventory=inventory,
            samples=samples,
            outcomes=outcomes,
            in_flight=tuple(self.in_flight.values()),
            queued={key: behind for key, behind in self.queued.items() if key in self.in_flight},
            loads=Loads(self.loads, self.replica_loads, versions=self.version_loads),
            open_requests=self.open_requests,
            callers=self._callers(),
            secrets=self.secrets,
        )

    def _callers(self) -> dict[str, tuple[str, ...]]:
        """As the kernel would tell of each container; nothing where it can't be seen."""
        known = self.callers
        return {} if known is None else {c.id: known.get(c.name, ()) for c in self.containers.values()}

    def tick(self, seconds: float = 1.0) -> Plan:
        """One tick: observe, decide, act, publish; then time moves on by ``seconds``."""
        decision = decide(self.observe(), self.state, self.settings)
        self.plan = decision.plan
        for action in decision.plan.actions:
            self.in_flight[action.key] = action
        self._land()
        self._conclude(decision)
        self.now += seconds
        return decision.plan

    def settle(self, most_ticks: int = 60, seconds: float = 1.0) -> int:
        """Tick until a plan is empty and everything has converged; the number of ticks it took."""
        for count in range(1, most_ticks + 1):
            plan = self.tick(seconds)
            if not plan.actions and not self.outcomes and all(s.converged for s in self.statuses.values()):
                return count
        raise AssertionError(f"not converged after {most_ticks} ticks:\n{self.text()}")

    def until(self, condition: Callable[[], object], *, max_ticks: int = 300, seconds: float = 1.0) -> None:
        """Tick until the condition holds, and fail where it does not in good time."""
        for _ in range(max_ticks):
            if condition():
                return
            self.tick(seconds)
        raise AssertionError(f"not so after {max_ticks} ticks:\n{self.text()}")

    def run_for(self, seconds: float) -> None:
        """Tick until so much time has passed: for what must not happen meanwhile, or must last."""
        end = self.now + seconds
        while self.now < end:
            self.tick()

    # --- what happens to it

    def crash(self, name: str, exit_code: int = 1, log: str = "", **changes: Any) -> None:
        """Its program ends, and nobody has restarted it yet."""
        changes |= {"state": ContainerState.EXITED, "exit_code": exit_code, "last_log": log}
        self.containers[name] = replace(self.containers[name], **changes)

    def restart(self, name: str, exit_code: int = 1, log: str = "") -> None:
        """Its program ended, and the Engine has restarted it."""
        before = self.containers[name]
        count = (before.restart_count or 0) + 1
        self._just_started.add(before.id)
        self.containers[name] = replace(
            before,
            state=ContainerState.RUNNING,
            exit_code=exit_code,
            restart_count=count,
            started_at=self.now,
            last_log=log,
        )

    def restart_unseen(self, name: str, times: int = 1) -> None:
        """The Engine restarts it, and nobody hears of any exit."""
        before = self.containers[name]
        count = (before.restart_count or 0) + times
        self.containers[name] = replace(before, exit_code=None, restart_count=count, started_at=self.now)

    def restart_by_hand(self, name: str) -> None:
        """Somebody restarts it: the Engine counts anew from there."""
        self.containers[name] = replace(self.containers[name], restart_count=0, started_at=self.now)

    def lose_sight(self, seconds: float, *, restarted: bool = False) -> None:
        """The Engine can't be seen for so long, and then is; ``restarted`` with all its containers, at the end."""
        self.state = replace(self.state, outages={"engine": self.now})
        self.now += seconds
        for name, container in self.containers.items() if restarted else ():
            self._just_started.add(container.id)
            self.containers[name] = replace(container, state=ContainerState.RUNNING, started_at=self.now)

    def sicken(self, *names: str, check: str = "health") -> None:
        """From now on these containers, though not their successors, fail this check."""
        self._sick |= {(self.containers[name].id, check) for name in names}

    def heal(self) -> None:
        """All of them answer well again."""
        self._sick.clear()

    def begin_removal(self, name: str) -> None:
        """Somebody is removing it by hand, and the Engine isn't done yet."""
        self.containers[name] = replace(self.containers[name], state=ContainerState.REMOVING)

    def remove(self, name: str) -> None:
        """Somebody removes it by hand."""
        del self.containers[name]

    # --- what can be read off it

    def text(self) -> str:
        """The last plan as users see it, but for its routes: what became of them is told apart."""
        plan = self.plan
        assert plan is not None
        return format_plan(self.desired.revision, plan, self.desired.problems, "text", served=plan.routes)[0]

    def names(self, app_name: str = "web") -> list[str]:
        return sorted(c.name for c in self.containers.values() if c.app_name == app_name)

    def hashes(self, app_name: str = "web") -> set[str]:
        return {c.spec_hash for c in self.containers.values() if c.app_name == app_name}

    def routed(self) -> list[str]:
        return sorted(self.state.published.table.routed_names())

    # --- inside

    def _conclude(self, decision: Decision) -> None:
        conclusion = conclude(decision, self._publish(decision.plan), self.now)
        self.state, self.statuses = replace(conclusion.state, outages={}), dict(conclusion.statuses)
        self.notices = conclusion.notices
        self.events += [*decision.plan.events, *conclusion.events]
        assert inconsistencies(self.state) == ()

    def _publish(self, plan: Plan) -> Publication | None:
        if self.down:
            return None
        before = self.state.published
        # As the real edge has it: what is refused stays as it was, with the replicas of now, and so does what it was
        # to take over.
        servers = {app.app_name: app.servers for app in plan.routes.apps}
        kept = tuple(
            replace(app, servers=servers.get(app.app_name, ()))
            for app in before.table.apps
            if app.app_name in self.refused
        )
        taken = tuple(app for app in plan.routes.apps if app.app_name not in self.refused)
        served = {app.app_name: app for app in before.table.apps}
        apps = with_routes_left((*kept, *taken), plan.routes.apps, self.refused, served)
        table = RouteTable(tuple(sorted(apps, key=lambda app: app.app_name)))
        wanted = {app.app_name for app in plan.routes.apps}
        refusals = tuple(Refusal(name, "no such variable") for name in sorted(self.refused & wanted))
        if table == before.table:
            return Publication(table, before.generation, "unchanged", refusals, self.certificates)
        self.published.append(table)
        return Publication(table, f"g{len(self.published)}", "reloaded", refusals, self.certificates)

    def _samples(self) -> Iterable[ProbeSample]:
        """Every container that is probed answers at each tick."""
        by_id = {container.id: container for container in self.containers.values()}
        for probe in self.plan.probes if self.plan else ():
            container = by_id.get(probe.container_id)
            running = container is not None and container.state is ContainerState.RUNNING
            if container and running and container.id not in self._just_started and probe.first_at <= self.now:
                if self._images.get(container.id) in self.cut_off:
                    yield ProbeSample(container.id, probe.kind, self.now, False, "no route to host", unreached=True)
                    continue
                well = self._is_well(container, probe)
                yield ProbeSample(container.id, probe.kind, self.now, well, "" if well else "answered 503")

    def _is_well(self, container: Container, probe: ProbeTarget) -> bool:
        unknown = probe.tls is not None and probe.tls.ca in self.unserved
        if self._images.get(container.id) in self.broken or probe.check.path in self.unserved or unknown:
            return False
        return (container.id, probe.kind) not in self._sick

    def _land(self) -> None:
        """Perform what is in flight and not held there."""
        for key in [key for key in self.in_flight if key not in self.held]:
            action = self.in_flight.pop(key)
            ends = isinstance(action, StopReplica | RemoveReplica)
            wanted = ends and action.keeps_log and action.name in self.containers
            log = self.containers[action.key].last_log if wanted else ""
            self.outcomes.append(Outcome(action, self.now, self.now, self._perform(action), log))

    def _perform(self, action: Action) -> ActionFailure | None:
        if failure := self.failing.get(action.key) or self.failing.get(action.summary):
            if isinstance(action, RemoveReplica) and action.name in self.stuck:
                self.containers[action.name] = replace(self.containers[action.name], state=self.stuck[action.name])
            return failure
        match action:
            case CreateReplica() if action.name in self.foreign_names or action.address in self.foreign_addresses:
                return try_later("AddressTaken", f"{action.summary}: somebody else has its name or address")
            case CreateReplica() if action.app_name in self.secrets and changed(
                action.version.secrets, self.secrets[action.app_name].digests
            ):
                return try_later("SecretChanged", f"{action.summary}: its secrets have changed")
            case CreateReplica():
                self._create(action)
            case StartReplica():
                # As the Engine has it: it counts anew from a start that is not its own.
                self.containers[action.name] = replace(
                    self.containers[action.name],
                    state=ContainerState.RUNNING,
                    exit_code=None,
                    restart_count=0,
                    started_at=self.now,
                    out_of_memory=False,
                )
            case StopReplica():
                assert action.name not in self.state.published.table.routed_names(), f"{action.name} is routed"
                self.asked.append(action.name)
                container = self.containers[action.name]
                if action.name not in self.stubborn and container.state is not ContainerState.EXITED:
                    self.containers[action.name] = replace(container, state=ContainerState.EXITED, exit_code=0)
            case RemoveReplica():
                assert action.name not in self.state.published.table.routed_names(), f"{action.name} is routed"
                del self.containers[action.name]
            case EnsureImage() | CheckCreation() | TakeOverRestarts() | GiveBackRestarts():
                pass
        return None

    def _create(self, action: CreateReplica) -> None:
        before = self.containers.pop(action.name, None)
        assert before is None or before.state is ContainerState.CREATED, f"{action.name} is there already"
        assert action.address not in {c.address for c in self.containers.values()}, f"{action.address} is taken"
        self._ids += 1
        self._images[f"id{self._ids}"] = action.version.app.spec.image
        self.containers[action.name] = Container(
            id=f"id{self._ids}",
            name=action.name,
            app_name=action.app_name,
            slot=action.slot,
            spec_hash=action.version.spec_hash,
            revision=action.version.revision,
            state=ContainerState.RUNNING,
            address=action.address,
            defaults=action.version.defaults,
            image_id=action.version.image.id if action.version.image else "",
            secrets=combined(self.secrets[action.app_name].digests) if action.app_name in self.secrets else "",
        )


def try_later(reason: str, message: str) -> ActionFailure:
    return ActionFailure(FailureKind.TRY_LATER, reason, message)


def rejected(reason: str, message: str) -> ActionFailure:
    return ActionFailure(FailureKind.REJECTED, reason, message)

"""A stage for pure decisions: an instant world in which what was planned happens, and time moves only when told.

No threads, no I/O, nothing shared with the real adapters: it lets a test play whole stories through
`decide` and `conclude` and read the plans they made.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from reconciler.decide.plan import conclude, decide
from reconciler.model.actions import (
    Action,
    CreateReplica,
    EnsureImage,
    Failure,
    FailureKind,
    Outcome,
    RemoveReplica,
    StartReplica,
)
from reconciler.model.desired import Desired
from reconciler.model.events import Event
from reconciler.model.load import AppLoad
from reconciler.model.memory import Memory
from reconciler.model.observed import Container, ContainerState, Host, Network, Observed, ProbeSample
from reconciler.model.plan import Plan, Policy
from reconciler.model.routes import Publication, RouteTable
from reconciler.model.status import AppStatus
from reconciler.report.plan import format_plan

NETWORK = Network("orchestry", "10.0.0.2", "10.0.255.254")


@dataclass
class Stage:
    """``sick`` are replicas whose checks fail; ``mute`` those that never answer; ``missing_images`` can't be pulled."""

    desired: Desired
    now: float = 1000.0
    policy: Policy = field(default_factory=Policy)
    memory: Memory = field(default_factory=Memory)
    containers: dict[str, Container] = field(default_factory=dict)
    sick: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)
    missing_images: set[str] = field(default_factory=set)
    refusing_edge: bool = False
    foreign_names: frozenset[str] = frozenset()
    loads: dict[str, AppLoad] = field(default_factory=dict)
    open_requests: dict[str, int] = field(default_factory=dict)
    host: Host | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    statuses: dict[str, AppStatus] = field(default_factory=dict)
    published: list[RouteTable] = field(default_factory=list)
    plan: Plan | None = None
    _ids: int = 0

    def observe(self) -> Observed:
        samples = []
        probes = self.plan.probes if self.plan else ()
        names = {c.id: c for c in self.containers.values()}
        for probe in probes:
            container = names.get(probe.container_id)
            if container is None or container.state is not ContainerState.RUNNING or container.name in self.mute:
                continue
            ok = container.name not in self.sick
            samples.append(ProbeSample(container.id, probe.kind, self.now, ok, "" if ok else "answered 503"))
        outcomes, self.outcomes = tuple(self.outcomes), []
        return Observed(
            at=self.now,
            containers=tuple(self.containers.values()),
            network=NETWORK,
            foreign_names=self.foreign_names,
            samples=tuple(samples),
            outcomes=outcomes,
            loads=self.loads,
            open_requests=self.open_requests,
            host=self.host,
        )

    def tick(self, seconds: float = 1.0) -> Plan:
        """One tick: observe, decide, act, publish; then time moves on by ``seconds``."""
        observed = self.observe()
        decision = decide(self.desired, observed, self.memory, self.now, self.policy)
        self.plan = decision.plan
        for action in decision.plan.actions:
            self.outcomes.append(Outcome(action, self.now, self.now, self._perform(action)))
        publication = None
        if not self.refusing_edge:
            how = "unchanged" if decision.plan.routes == self.memory.published.table else "reloaded"
            publication = Publication(decision.plan.routes, f"g{len(self.published)}", how)
            if how == "reloaded":
                self.published.append(decision.plan.routes)
            else:
                publication = replace(publication, generation=self.memory.published.generation)
        self.memory, statuses, published = conclude(decision, publication, observed, self.now)
        self.statuses = dict(statuses)
        self.events += [*decision.plan.events, *published]
        self.now += seconds
        return decision.plan

    def settle(self, most_ticks: int = 60, seconds: float = 1.0) -> int:
        """Tick until a plan is empty and everything has converged; the number of ticks it took."""
        for count in range(1, most_ticks + 1):
            plan = self.tick(seconds)
            if not plan.actions and not self.outcomes and all(s.converged for s in self.statuses.values()):
                return count
        raise AssertionError(f"not converged after {most_ticks} ticks:\n{self.text()}")

    def crash(self, name: str, exit_code: int = 1) -> None:
        self.containers[name] = replace(self.containers[name], state=ContainerState.EXITED, exit_code=exit_code)

    def text(self) -> str:
        """The last plan as users see it."""
        assert self.plan is not None
        return format_plan(self.desired.revision, self.plan, self.desired.problems, "text")[0]

    def names(self, app_name: str = "web") -> list[str]:
        return sorted(c.name for c in self.containers.values() if c.app_name == app_name)

    def hashes(self, app_name: str = "web") -> set[str]:
        return {c.spec_hash for c in self.containers.values() if c.app_name == app_name}

    def routed(self) -> list[str]:
        return sorted(self.memory.published.table.routed_names())

    def _perform(self, action: Action) -> Failure | None:
        match action:
            case EnsureImage() if action.version.app.spec.image in self.missing_images:
                return Failure(FailureKind.TRY_LATER, "ImagePullFailed", f"no image {action.version.app.spec.image}")
            case CreateReplica():
                assert action.name not in self.containers, f"{action.name} is there already"
                assert action.address not in {c.address for c in self.containers.values()}
                self._ids += 1
                self.containers[action.name] = Container(
                    id=f"id{self._ids}",
                    name=action.name,
                    app_name=action.app_name,
                    slot=action.slot,
                    spec_hash=action.version.spec_hash,
                    revision=action.version.revision,
                    state=ContainerState.RUNNING,
                    address=action.address,
                )
            case StartReplica():
                running = ContainerState.RUNNING
                self.containers[action.name] = replace(self.containers[action.name], state=running, exit_code=None)
            case RemoveReplica():
                assert action.name not in self.memory.published.table.routed_names(), f"{action.name} is routed"
                del self.containers[action.name]
        return None

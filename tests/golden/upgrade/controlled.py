"""The stage of pure decisions with a real store behind it: every tick is saved as `tick.py` saves it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler.model.load import LoadSample, ReplicaLoad
from reconciler.model.observed import Observed
from reconciler.model.plan import Plan
from reconciler.ports import CHECKPOINT_SECONDS, Record
from reconciler.store import Retention, SqlStore, open_store
from tests.golden.upgrade.specs import Files
from tests.support.specs import desired_of
from tests.support.stage import Stage


@dataclass(kw_only=True)
class Controlled(Stage):
    """A stage whose every tick is saved by the real store, in the order of `tick.py`."""

    place: Path
    files: Files = field(default_factory=dict)
    replica_loads: dict[str, ReplicaLoad] = field(default_factory=dict)
    store: SqlStore | None = None
    checkpoint_at: float = 0.0
    seen: Observed | None = None

    @property
    def state_dir(self) -> Path:
        return self.place / "state"

    def commit(self, changes: Mapping[str, str | None]) -> None:
        """The next revision of the source: these files are changed, None removes one."""
        self.files = {path: text for path, text in (self.files | dict(changes)).items() if text is not None}
        shutil.rmtree(self.place / "specs", ignore_errors=True)
        self.desired = desired_of(self.files, self.place / "specs")

    def start(self) -> None:
        """A controller starts: it knows what is on record, and nothing else."""
        retention = Retention(route_tables=3)
        self.store = open_store(None, state_dir=self.state_dir, instance="default", retention=retention)
        self.memory = self.store.load()
        self.in_flight, self.outcomes, self.plan = {}, [], None

    def stop(self) -> None:
        assert self.store is not None
        self.store.save(Record(self.now, self.memory, self.statuses), checkpoint=True)
        self.store.close()

    def observe(self) -> Observed:
        self.seen = replace(super().observe(), replica_loads=self.replica_loads)
        return self.seen

    def tick(self, seconds: float = 1.0) -> Plan:
        assert self.store is not None
        published, statuses, known_events = self.memory.published.table, self.statuses, len(self.events)
        plan = super().tick(0)
        outcomes = self.seen.outcomes if self.seen else ()
        happened = self.events[known_events + len(plan.events) :]
        news = Record(self.now, plan.memory, statuses, plan.events, plan.actions, outcomes)
        if plan.actions or plan.routes != published:
            self.store.save(news)
            news = Record(self.now, plan.memory, statuses)
        self._record(replace(news, intents=(), events=(*news.events, *happened)), plan)
        self.now += seconds
        return plan

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.tick()

    def _record(self, news: Record, plan: Plan) -> None:
        assert self.store is not None
        due = self.now - self.checkpoint_at >= CHECKPOINT_SECONDS
        self.checkpoint_at = self.now if due else self.checkpoint_at
        record = replace(
            news,
            memory=self.memory,
            statuses=self.statuses,
            notices=plan.notices,
            problems=self.desired.problems,
            samples=self._load_samples() if due else (),
            edge="nginx 1.22.1 (process), changes by reload",
            source="/srv/specs",
        )
        self.store.save(record, checkpoint=due)

    def _load_samples(self) -> tuple[LoadSample, ...]:
        """What the load meter hands over at a checkpoint."""
        return tuple(
            LoadSample(
                app_name=name,
                at=self.now,
                resolution_seconds=CHECKPOINT_SECONDS,
                replicas=self.memory.apps[name].count,
                cpu_percent=load.cpu_percent,
                rps=load.rps,
                p95_latency_ms=load.p95_latency_ms,
                connections=load.connections,
                status_2xx=None if load.rps is None else int(load.rps * CHECKPOINT_SECONDS),
                custom=load.custom,
            )
            for name, load in sorted(self.loads.items())
        )

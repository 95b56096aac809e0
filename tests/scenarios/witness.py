"""The witness: sees what the controller does to the world, and says which promise it breaks.

It goes by what the fakes were asked to do, the containers there are, the tables that were served and what the source
has handed out; the controller's state, plans and statuses it never sees. Where the world alone can't tell what the
controller had to know, it allows for each possibility.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

from reconciler.model.actions import Action, CreateReplica, RemoveReplica, StopReplica
from reconciler.model.routes import RouteTable
from reconciler.model.version import Version
from reconciler.runtime.translate import ADDRESS, APP, SPEC_HASH
from tests.fakes.engine import FakeContainer, FakeEngine
from tests.scenarios.evidence import Evidence
from tests.scenarios.labels import address_of, app_of, hash_of
from tests.scenarios.patience import Patience
from tests.scenarios.readings import Readings, lowest_count
from tests.scenarios.wellness import Wellness

# Of so many changes of an app's containers the controller remembers what their version was.
REMEMBERED_CHANGES = 5
# How long a container may drain whose app nobody knows.
ORPHAN_GRACE_SECONDS = 10.0
# How long a replica that ended keeps its place while it comes back.
IN_PLACE_SECONDS = 10.0
# What failed so long before the Engine could not be seen may be due to what took it away.
GOING_AWAY_SECONDS = 15.0


class Witness:
    """What a scenario's witness has seen. ``broken`` are the promises that were broken, in sentences. ``asked`` counts
    the actions, and ``addresses`` are all that replicas ever had. ``tell`` is told what the controller does."""

    def __init__(self, engine: FakeEngine, tell: Callable[[str], None]) -> None:
        self.broken: list[str] = []
        self.addresses: set[str] = set()
        self.readings = Readings()
        self.evidence = Evidence()
        self.patience = Patience(engine.images)
        self.wellness = Wellness(self.readings)
        self.asked = 0
        self._tick_ended = True
        self._seen = False
        self._looked_at = engine.now
        self._unseen_since: float | None = None
        self._is_new = True
        self._engine = engine
        self._tell = tell
        self._in_flight: dict[str, Action] = {}
        self._routed: dict[str, frozenset[tuple[str, str]]] = {}
        self._supposed = [RouteTable()]
        self._proven = False
        self._written = True
        self._left_at: dict[str, float] = {}
        self._idle: set[str] = set()
        self._ended: set[str] = set()
        self._failed_removals: set[str] = set()
        self._asked_at: dict[tuple[str, float | None], float] = {}
        engine.subscribe(self._event)

    # --- the controller's life

    def another_controller(self) -> None:
        """What the one before had begun and not ended is not done any more."""
        self._in_flight.clear()
        self.patience.cut_off()
        self._is_new = True

    def lose_database(self) -> None:
        self.readings.lose()
        self.evidence.lose()
        self.patience.lose()
        self.wellness.lose(self.ours())

    def clock_set(self, seconds: float) -> None:
        """Set forward, it lets drains that are under way be over; set back, it lets nothing be over sooner."""
        if seconds > 0:
            self.evidence.at += seconds
            self._left_at.clear()
            self._asked_at = dict.fromkeys(self._asked_at, -math.inf)

    def begin_tick(self) -> None:
        self.wellness.begin_tick(last_ended=self._tick_ended)
        self._tick_ended, self._seen = False, False
        self._proven, self._written = False, True
        self.readings.begin_tick()

    def saw(self) -> None:
        """The controller was told which containers there are. At its first look, a program that ended and was started
        again since the look of the one before seems to have run all along."""
        if self._is_new:
            self.wellness.not_noticed(c for c in self.ours() if (c.started_at or 0.0) >= self._looked_at)
        self._seen, self._is_new = True, False
        if self._unseen_since is not None:
            self.patience.pardon(self._unseen_since - GOING_AWAY_SECONDS)
            self._unseen_since = None

    def end_tick(self) -> None:
        """A tick came to its end. One that could not see counts for nothing: all it learned is thrown away."""
        if not self._seen:
            self._unseen_since = self.evidence.at if self._unseen_since is None else self._unseen_since
            return
        self._tick_ended, self._looked_at = True, self._engine.now
        if self._proven and self._written:
            del self._supposed[:-1]
        self.patience.record()
        for name in self.readings.end_tick():
            self.evidence.changed(name)
        for name in self.readings.history:
            if None in self.readings.going_by(name):
                self.evidence.went(name)
                self.patience.forget_app(name)
            versions = self.readings.wanted(name) if self.readings.is_known(name) else []
            containers = self.ours(name)
            for version in versions:
                fit = (hash_of(c) == version.spec_hash and self.wellness.may_be_ready(c) for c in containers)
                if len(containers) == version.app.scaling.manual_replicas and all(fit):
                    self.evidence.was_whole(name, version.spec_hash)
                    self.patience.forget_app(name)

    # --- actions

    def asked_for(self, action: Action) -> None:
        """The controller asks its executor for this."""
        self.asked += 1
        self._tell(f"{action.summary}: {action.cause}")
        held_for = self.readings.going_by(action.app_name)  # one that is to go is suspended no longer
        if held_for and all(version is not None and version.app.spec.suspend for version in held_for):
            self._accuse(f"{action.summary}: its app is suspended, and to be left as it is")
        wanted = self.readings.wanted(action.app_name)
        if self.readings.is_changed(action.app_name):
            self.patience.forget_app(action.app_name)
        if early := self.patience.missing_seconds(action, self.evidence.at):
            self._accuse(f"{action.summary}: tried again {early:g} s too early after it failed")
        if isinstance(action, CreateReplica):
            self._check_creation(action, wanted)
            self._check_address(action)
        elif isinstance(action, StopReplica | RemoveReplica):
            self._check_removal(action, wanted)
        self._in_flight[action.key] = action

    def performed(self, action: Action) -> None:
        self._in_flight.pop(action.key, None)

    def came_to(self, action: Action, *, failed: bool) -> None:
        """The action ended, and the controller will be told how."""
        self.patience.came_to(action, self.evidence.at, failed=failed)
        if failed and isinstance(action, StopReplica | RemoveReplica):
            self._failed_removals.add(action.container_id)

    def failed(self, app_name: str, *, refused: bool) -> None:
        self.evidence.failed(app_name, refused=refused)

    def touched(self, container: FakeContainer | None) -> None:
        """The controller changes this container."""
        if container is not None and APP not in container.config["Labels"]:
            self._accuse(f"{container.name} is not ours, and was touched")

    def ended(self, container: FakeContainer | None) -> None:
        """The controller has this container end: nothing may reach it any more, nor be under way in it."""
        self.touched(container)
        if container is None or APP not in container.config["Labels"]:
            return
        self._ended.add(container.id)
        if (container.name, address_of(container)) in self._routed.get(app_of(container), ()):
            self._accuse(f"{container.name} is being served, and was ended")
        left_at = self._left_at.get(container.id)
        if left_at is None or container.state != "running" or container.id in self._idle:
            return
        if container.started_at and container.started_at >= left_at:
            return  # It ended since, and whatever it was answering with it.
        had, grace = self._engine.now - left_at, self._grace_seconds(container)
        if had < grace - 1e-6:
            self._accuse(f"{container.name} had {had:g} of {grace:g} s to drain")

    def signalled(self, container: FakeContainer | None, signal: str) -> None:
        """The controller sends this signal to its program: once to end, and to kill only who had its grace since."""
        if container is None or APP not in container.config["Labels"] or container.state not in ("running", "paused"):
            return
        run, now, grace = (container.id, container.started_at), self._engine.now, self._grace_seconds(container)
        asked_at = self._asked_at.get(run)
        if signal != "SIGKILL":
            if asked_at is not None:
                self._accuse(f"{container.name} was asked to end twice")
            self._asked_at[run] = now
        elif grace and (asked_at is None or now - asked_at < grace - 1e-6):
            self._accuse(f"{container.name} was killed, and {'had grace left' if asked_at else 'never asked to end'}")

    def _check_creation(self, action: CreateReplica, wanted: list[Version]) -> None:
        self.addresses.add(action.address)
        name, spec_hash = action.app_name, action.version.spec_hash
        if not wanted:
            self._accuse(f"{action.summary}: its app is not asked for")
            return
        if spec_hash not in {v.spec_hash for v in wanted} | set(self.evidence.whole(name)):
            self._accuse(f"{action.summary}: its version is neither asked for nor was ever whole")
        making = {a.name for a in self._in_flight.values() if isinstance(a, CreateReplica) and a.app_name == name}
        # What the controller has ended and can't remove is only remains.
        there = (c for c in self.ours(name) if c.id not in self._failed_removals or _runs(c))
        before = {container.name for container in there} | making
        count = max(version.app.scaling.manual_replicas for version in wanted)
        possible = [*wanted, *self.readings.of_hash(name, spec_hash)]
        surge = max(share(version.app.max_surge, count, up=True) for version in possible)
        if action.name not in before and len(before) >= count + surge:
            self._accuse(f"{action.summary} beside {', '.join(sorted(before))}: {count} + {surge} are allowed")

    def _check_address(self, action: CreateReplica) -> None:
        """No address is given twice."""
        making = [a for a in self._in_flight.values() if isinstance(a, CreateReplica)]
        owners = {a.name for a in making if a.address == action.address}
        for container in self._engine.containers_by_id.values():
            label = container.config["Labels"].get(ADDRESS)
            owners |= {container.name} if action.address in (label, container.address) else set()
        if others := owners - {action.name}:
            self._accuse(f"{action.summary} at {action.address}: that is of {', '.join(sorted(others))}")

    def _check_removal(self, action: StopReplica | RemoveReplica, wanted: list[Version]) -> None:
        container = self._engine.containers_by_id.get(action.container_id)
        if container is None or container.id in self._ended or None in self.readings.going_by(action.app_name):
            return
        if not wanted:
            self._accuse(f"{action.summary}: nothing that was read allows it")
        elif self._is_as_asked_for(container, wanted):
            self._accuse(f"{action.summary}: it is as asked for, well, and not one too many")
        else:
            ends = (a for a in self._in_flight.values() if isinstance(a, StopReplica | RemoveReplica))
            leaving = {end.name for end in ends} | {action.name}
            others = [c for c in self.ours(action.app_name) if c.name not in leaving and c.id not in self._ended]
            if self.wellness.is_ready(container):
                self._check_loss(action.summary, action.app_name, others)

    def _is_as_asked_for(self, container: FakeContainer, wanted: list[Version]) -> bool:
        """Whether there is no reason to remove it: of the wanted version, well, and others are not too many."""
        name, (newest, *others) = app_of(container), wanted
        making = {a.name for a in self._in_flight.values() if isinstance(a, CreateReplica) and a.app_name == name}
        members = {c.name for c in self.ours(name)} | making
        hashes = {hash_of(c) for c in self.ours(name)}
        alone = not others and newest.spec_hash == hash_of(container)
        shared = newest.app.spec.strategy.canary is not None and len(hashes) > 1
        if not alone or shared or self.evidence.may_have_failed(newest):
            return False
        return self.wellness.is_ready(container) and len(members) <= newest.app.scaling.manual_replicas

    def not_written(self) -> None:
        """The record is as it was, whatever becomes of this tick."""
        self._written = False

    # --- routes

    def proven(self) -> None:
        """The controller was told which table is served."""
        self._proven = True

    def served(self, before: RouteTable, after: RouteTable) -> None:
        """nginx serves another table from now on."""
        self._tell(f"served: {', '.join(sorted(after.routed_names())) or 'nobody'}")
        self._routed = {app.app_name: live_servers(after, app.app_name) for app in after.apps}
        supposed = self._supposed
        self._supposed = [*supposed, after]
        by_name = {container.name: container for container in self.ours()}
        for app in after.apps:
            # Of a table that is not on record the next controller supposes that one before it is still served.
            already = {server for table in supposed for server in live_servers(table, app.app_name)}
            for name, address in self._routed[app.app_name] - already:
                self._check_entry(app.app_name, name, address, by_name.get(name))
        for app in before.apps:
            self._check_table(app.app_name, live_servers(before, app.app_name))
        for name in before.routed_names() - after.routed_names():
            if name in by_name:
                self._left_at[by_name[name].id] = self._engine.now
                self._idle.discard(by_name[name].id)
        for name in after.routed_names():
            self._left_at.pop(by_name[name].id if name in by_name else "", None)

    def counted(self, addresses: Collection[str], requests: int) -> None:
        """The controller was told how many requests are in flight at these addresses."""
        if requests == 0:
            self._idle |= {c.id for c in self.ours() if address_of(c) in addresses}

    def _check_entry(self, app_name: str, name: str, address: str, container: FakeContainer | None) -> None:
        """Who gets requests from now on is a replica of the app, runs, and has answered well."""
        if container is None:
            self._accuse(f"{name} is served, and there is no such container")
        elif app_of(container) != app_name or address_of(container) != address:
            self._accuse(f"{name} at {address} is served for {app_name}, and is somebody else")
        elif not self.wellness.has_been_well(container) and not self._was_just_served(container):
            self._accuse(f"{name} is served, and has never answered well")

    def _was_just_served(self, container: FakeContainer) -> bool:
        left_at = self._left_at.get(container.id)
        return left_at is not None and self._engine.now - left_at <= IN_PLACE_SECONDS

    def _check_table(self, app_name: str, before: frozenset[tuple[str, str]]) -> None:
        """Whoever is well loses requests only if enough others get them."""
        if None in self.readings.going_by(app_name) or not self.readings.wanted(app_name):
            return
        after = self._routed.get(app_name, frozenset())
        members = {(c.name, address_of(c)): c for c in self.ours(app_name)}
        lost = [
            members[server].name
            for server in before - after
            if server in members and self.wellness.is_ready(members[server])
        ]
        if lost:
            serving = [container for server, container in members.items() if server in after]
            self._check_loss(f"{', '.join(sorted(lost))} taken out of the table", app_name, serving)

    def _check_loss(self, what: str, app_name: str, others: Iterable[FakeContainer]) -> None:
        """Somebody well is lost by what the controller does: enough ``others`` have to be there."""
        wanted = self.readings.wanted(app_name)
        hashes = {hash_of(container) for container in self.ours(app_name)}
        possible = [*wanted, *(v for h in hashes for v in self.readings.of_hash(app_name, h))]
        count = lowest_count(wanted)
        least = count - max(unavailable(version, count) for version in possible)
        ready = sum(self.wellness.may_be_ready(container) for container in others)
        if ready < least:
            self._accuse(f"{what}: {ready} ready ones are left of {app_name}, {least} were promised")

    # --- how replicas are, as the controller was told

    def answered(self, container: FakeContainer, check: str, well: bool) -> None:
        """A probe was answered."""
        self.wellness.answered(container, check, well)
        if not well:
            self.evidence.unwell(app_of(container), hash_of(container))

    def served_badly(self, app_name: str, spec_hash: str) -> None:
        self.evidence.unwell(app_name, spec_hash)

    # --- containers

    def ours(self, app_name: str | None = None) -> list[FakeContainer]:
        """Containers that carry our labels."""
        labelled = [c for c in self._engine.containers_by_id.values() if APP in c.config["Labels"]]
        return [c for c in labelled if app_name in (None, app_of(c))]

    def _grace_seconds(self, container: FakeContainer) -> float:
        """The least that any version it may be taken for allows it."""
        name, spec_hash = app_of(container), hash_of(container)
        graces = [v.app.spec.termination_grace_period_seconds for v in self.readings.of_hash(name, spec_hash)]
        forgotten = spec_hash not in self.readings.hashes(name)[-REMEMBERED_CHANGES:]
        if forgotten or container.id in self.wellness.trusted:
            graces += [v.app.spec.termination_grace_period_seconds for v in self.readings.wanted(name)]
        if container.id in self.wellness.trusted and not self.readings.is_known(name):
            graces.append(ORPHAN_GRACE_SECONDS)
        return min(graces)

    def _event(self, event: dict[str, Any]) -> None:
        """Of the Engine, about anything that happens to a container."""
        attributes, action = event["Actor"]["Attributes"], event["Action"]
        if APP not in attributes or event["Actor"]["ID"] in self._ended:
            return
        if action == "die":
            self.evidence.died(attributes[APP], attributes[SPEC_HASH], attributes["name"])
        elif action in ("pause", "destroy"):
            self.evidence.troubled(attributes[APP], attributes[SPEC_HASH])

    def _accuse(self, what: str) -> None:
        self.broken.append(what)


def live_servers(table: RouteTable, app_name: str) -> frozenset[tuple[str, str]]:
    """Who gets requests for the app, by name and address."""
    parts = (app for app in table.apps if app.app_name == app_name)
    return frozenset((s.name, s.address) for app in parts for s in app.servers if not s.draining)


def share(amount: int | str, count: int, *, up: bool) -> int:
    """Replicas of a count or a percentage."""
    if isinstance(amount, int):
        return amount
    part = int(amount.removesuffix("%")) * count / 100
    return math.ceil(part) if up else math.floor(part)


def unavailable(version: Version, count: int) -> int:
    """How many replicas may be missing through what the controller does."""
    allowed = share(version.app.max_unavailable, count, up=False)
    return allowed or (0 if share(version.app.max_surge, count, up=True) else 1)


def _runs(container: FakeContainer) -> bool:
    """Whether its program runs, or is about to be started again."""
    return container.state in ("running", "paused", "restarting")

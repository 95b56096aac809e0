"""The ending: once nothing goes wrong any more, what is asked for is what runs and what is served.

By the look of the world alone. A version that may rightly have been given up may be missing, and then the one before it
has to be there instead, whole. Whether it really was given up the world doesn't tell; so either will do.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model.desired import Desired
from reconciler.model.routes import RouteTable
from reconciler.model.version import Version
from tests.fakes.engine import FakeContainer
from tests.scenarios.labels import address_of, app_of, hash_of
from tests.scenarios.witness import Witness, live_servers


def complaints(witness: Witness, desired: Desired, served: RouteTable) -> list[str]:
    """What is not as it should be."""
    names = {*desired.apps, *witness.readings.history, *(app_of(container) for container in witness.ours())}
    return [words for name in sorted(names) for words in _about(name, witness, desired, served)]


def _about(name: str, witness: Witness, desired: Desired, served: RouteTable) -> list[str]:
    readings = witness.readings
    if None in readings.going_by(name) and not readings.wanted(name):
        left = [container.name for container in witness.ours(name)]
        served_names = [server for server, _ in live_servers(served, name)]
        return [f"{server} is there, and its app is not asked for" for server in (*left, *served_names)]
    if name not in desired.apps and not readings.is_known(name):
        return []  # Nobody knows the app, or may have forgotten it: left as it is.
    return min((_about_version(version, witness, served) for version in readings.wanted(name)), key=len, default=[])


def _about_version(version: Version, witness: Witness, served: RouteTable) -> list[str]:
    if version.app.spec.suspend or _waits_for_others(version, witness):
        return []
    routes = tuple(route for part in served.apps if part.app_name == version.name for route in part.routes)
    wrong = [] if routes == version.app.routes else [f"the routes of {version.name} are not as asked for"]
    found = _compared(version, version.app.scaling.manual_replicas, witness, served)
    return [*wrong, *found] if found and not _given_up(version, witness, served) else wrong


def _waits_for_others(version: Version, witness: Witness) -> bool:
    """Whether its first start waits for an app that may never have been ready."""
    if witness.evidence.has_been_whole(version.name):
        return False
    return any(not _may_be_relied_on(name, witness) for name in version.app.spec.depends_on)


def _may_be_relied_on(name: str, witness: Witness) -> bool:
    wanted = witness.readings.wanted(name)
    refused = witness.evidence.may_be_refused(name)
    return bool(wanted) and witness.evidence.has_been_whole(name) and not wanted[-1].app.spec.suspend and not refused


def _given_up(version: Version, witness: Witness, served: RouteTable) -> bool:
    """Whether it may have been given up, and what runs instead is right."""
    name, count, evidence = version.name, version.app.scaling.manual_replicas, witness.evidence
    earlier = [h for h in evidence.whole(name) if h != version.spec_hash]
    ours = witness.ours(name)
    running = [container for container in ours if container.state == "running"]
    hashes = {hash_of(container) for container in ours}
    if evidence.may_be_refused(name):
        # What there was stays, also where a lost database leaves nothing to go back to.
        return not version.app.routes or live_servers(served, name) == _places(running)
    if not evidence.may_have_failed(version):
        return False
    stable = earlier[-1]
    if version.app.spec.strategy.on_failure == "rollback":
        return not _compared(version, count, witness, served, spec_hash=stable)
    names = {server for server, _ in live_servers(served, name)}
    enough_served = not version.app.routes or len(names) >= count
    return hashes <= {stable, version.spec_hash} and len(running) >= count and enough_served


def _compared(version: Version, count: int, witness: Witness, served: RouteTable, *, spec_hash: str = "") -> list[str]:
    """What differs from so many replicas of one version, all of them running and served."""
    name, ours = version.name, witness.ours(version.name)
    running = [container for container in ours if container.state == "running"]
    found = [f"{container.name} is {container.state}" for container in ours if container.state != "running"]
    if len(running) != count:
        found.append(f"{name}: {len(running)} replicas run, {count} are wanted")
    wanted = spec_hash or version.spec_hash
    found += [f"{c.name} runs {hash_of(c)}, {wanted} is wanted" for c in running if hash_of(c) != wanted]
    if version.app.routes and live_servers(served, name) != _places(running):
        found.append(f"{name}: {sorted(live_servers(served, name))} are served, {sorted(_places(running))} run")
    return found


def _places(containers: Iterable[FakeContainer]) -> frozenset[tuple[str, str]]:
    return frozenset((container.name, address_of(container)) for container in containers)

"""Closer looks at containers that died: how often the Engine restarted them, when they started, what they last said.

The list of all containers says none of this, and inspecting every container on every tick would cost a hundred times
the list. So only those are inspected that an event named, or whose listed state tells that something happened to them
since the last look; the answer is kept until then. Those that were there before us are looked at once, since nobody
has told us what happened to them. And where a removal fails, the list goes on calling its container "removing" for
ever: so one that is called so for longer than a removal takes is looked at each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from docker.errors import APIError, NotFound

from reconciler.model.observed import Container, ContainerState
from reconciler.runtime.client import BoundedClient, seconds_left
from reconciler.runtime.deaths import Death, Deaths
from reconciler.runtime.engine import sentence_of
from reconciler.runtime.translate import Json, epoch_seconds, without_secrets

LOG_LINES = 20
LOG_BYTES = 4096
# At most so many in one observation: a host whose containers all died at once must still be observed quickly.
LOOKS_AT_ONCE = 64
# An Engine so slow that no more is left of the tick's look has the others looked at in the next one.
RESERVE_SECONDS = 2.0
# A removal that takes longer is looked at.
REMOVAL_SECONDS = 2.0

_DOWN = frozenset({ContainerState.EXITED, ContainerState.RESTARTING, ContainerState.DEAD})


@dataclass(frozen=True, slots=True)
class _Look:
    """What one inspection told; ``state`` is the one it was in then, ``exit_code`` that of its last exit."""

    state: ContainerState
    restart_count: int
    started_at: float | None
    exit_code: int | None
    last_log: str
    out_of_memory: bool = False
    ended: bool = False


class CloserLooks:
    """Of the containers that ``deaths`` or their state tell of. ``monotonic`` tells the seconds that pass."""

    def __init__(self, deaths: Deaths, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._deaths = deaths
        self._monotonic = monotonic
        self._removing_since: dict[str, float] = {}
        self._looks: dict[str, _Look] = {}
        self._there_before: frozenset[str] | None = None  # and not looked at yet; None before the first list

    def begin_anew(self) -> None:
        """Nobody may have been told what happened lately: all that are there then are to be looked at again."""
        self._there_before = None

    def add_to(
        self, containers: Iterable[Container], deaths: dict[str, Death], api: BoundedClient
    ) -> tuple[tuple[Container, ...], bool]:
        """The containers with what is known of those that died, and whether some are still to be looked at.

        ``deaths`` are those that were new before the containers were listed.
        """
        if self._deaths.take_missed():
            self.begin_anew()
        listed = {container.id: container for container in containers}
        before = frozenset(listed) if self._there_before is None else self._there_before
        stuck = self._stuck(listed.values())
        due = [c for c in listed.values() if c.id in deaths or c.id in before or c.id in stuck or self._is_stale(c)]
        due.sort(key=lambda container: container.id not in deaths)
        looked = 0
        for container in due[:LOOKS_AT_ONCE]:
            if looked and seconds_left() < RESERVE_SECONDS:
                break
            self._look(container, deaths.get(container.id), api)
            looked += 1
        left = {container.id for container in due[looked:]}
        self._looks = {container_id: look for container_id, look in self._looks.items() if container_id in listed}
        self._there_before = before & left
        self._deaths.settle({died: death for died, death in deaths.items() if died not in left})
        fresh = {container.id for container in due} - left
        # What was true of those left, before something happened to them, is not told of them now.
        known = (c if c.id in left else self._known(c, c.id in fresh, c.id in stuck) for c in listed.values())
        return tuple(known), bool(left)

    def _stuck(self, containers: Iterable[Container]) -> frozenset[str]:
        """Those that are being removed for longer than a removal takes."""
        now = self._monotonic()
        removing = (container.id for container in containers if container.state is ContainerState.REMOVING)
        self._removing_since = {container_id: self._removing_since.get(container_id, now) for container_id in removing}
        return frozenset(name for name, since in self._removing_since.items() if now - since >= REMOVAL_SECONDS)

    def _is_stale(self, container: Container) -> bool:
        """Whether the list tells something that the last look did not see."""
        look = self._looks.get(container.id)
        if container.state is ContainerState.REMOVING:
            return False
        return container.state in _DOWN if look is None else container.state is not look.state

    def _look(self, container: Container, death: Death | None, api: BoundedClient) -> None:
        try:
            details = api.inspect_container(container.id)
            self._looks[container.id] = _read(details, death, self._looks.get(container.id), api)
        except NotFound:
            self._looks.pop(container.id, None)  # removed since it was listed

    def _known(self, container: Container, fresh: bool, stuck: bool) -> Container:
        look = self._looks.get(container.id)
        if look is None:
            return container
        # The Engine tells of a death a moment before its list shows it; a look made after the list knows better.
        state = look.state if fresh else container.state
        # Every removal passes through these, and is over a moment later.
        passing = state is not container.state and state in (ContainerState.REMOVING, ContainerState.DEAD)
        return replace(
            container,
            state=ContainerState.REMOVING if passing and not stuck else state,
            exit_code=look.exit_code if container.exit_code is None else container.exit_code,
            restart_count=look.restart_count,
            started_at=look.started_at,
            last_log=look.last_log,
            out_of_memory=look.out_of_memory,
            ended=look.ended and stuck,
        )


def _read(details: Json, death: Death | None, before: _Look | None, api: BoundedClient) -> _Look:
    state = details["State"]
    look = _Look(
        state=ContainerState(state["Status"]),
        restart_count=details["RestartCount"],
        started_at=epoch_seconds(state["StartedAt"]),
        exit_code=death.exit_code if death else None,
        last_log="",
        ended=state["Status"] == ContainerState.REMOVING and not state["Running"],
    )
    if look.state in _DOWN:
        look = replace(look, exit_code=state["ExitCode"])
    elif death is None and before is not None:  # up again, after the death that was looked at before
        return replace(look, exit_code=before.exit_code, last_log=before.last_log, out_of_memory=before.out_of_memory)
    troubled = look.state is ContainerState.RESTARTING or look.exit_code not in (0, None)
    if not troubled:
        return look
    # The Engine's own flag is not enough: since version 25 it is down again as soon as the container was restarted.
    out_of_memory = (death is not None and death.out_of_memory) or bool(state["OOMKilled"])
    return replace(look, last_log=last_log(details, api, out_of_memory), out_of_memory=out_of_memory)


def last_log(details: Json, api: BoundedClient, out_of_memory: bool = False) -> str:
    """The end of its log, with what the Engine itself has to say, and without its secrets. ``out_of_memory``: events
    told so."""
    try:
        log = api.logs(details["Id"], tail=LOG_LINES).decode(errors="replace").rstrip("\n")
    except NotFound:
        raise
    except APIError as error:
        log = f"(no log: {sentence_of(error)})"
    if out_of_memory or details["State"]["OOMKilled"]:
        log += "\n(killed by the kernel: out of memory)"
    if details["State"]["Error"]:
        log += f"\n(the Engine: {details['State']['Error']})"
    log = without_secrets(log, details["Config"])
    return log.encode()[-LOG_BYTES:].decode(errors="ignore").strip("\n")

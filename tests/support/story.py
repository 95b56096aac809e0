"""A story for a golden text: what happens, and every plan that is made of it, tick by tick, as users see it.

Plans that only repeat the one before are counted, not printed. What is routed is printed where it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciler.model.desired import Problem
from reconciler.model.status import AppStatus
from reconciler.model.version import Version
from tests.support.apps import desired
from tests.support.stage import Stage

FIRST_SECOND = 1000.0


class Story:
    """The stage is open to whoever tells the story; times are told in seconds since it began."""

    def __init__(self) -> None:
        self.stage = Stage(desired(), now=FIRST_SECOND)
        self._lines: list[str] = []
        self._last = ""
        self._same_until = ""
        self._routed: list[str] = []
        self._commits = 0

    def tell(self, what: str) -> None:
        """What happens now, in words."""
        self._flush()
        self._lines += ["", f"## {self._time()}: {what}"]
        self._last = ""

    def commit(self, *versions: Version, problems: Sequence[Problem] = ()) -> None:
        """The next revision of the source: r1, r2, …"""
        self._commits += 1
        revision = f"r{self._commits}"
        at_revision = [replace(version, revision=revision) for version in versions]
        self.stage.desired = desired(*at_revision, revision=revision, problems=tuple(problems))
        said = ", ".join(_asked_for(version) for version in versions) or "nothing"
        self.tell(f"commit {revision}: {said}")

    def begin_here(self) -> None:
        """What came before needs no telling."""
        self._lines.clear()
        self._last, self._same_until, self._routed = "", "", self.stage.routed()
        self._lines.append(f"## {self._time()}: everything serves; routed: {', '.join(self._routed)}")

    def run(self, seconds: int) -> None:
        """So many seconds pass, with a tick in each."""
        for _ in range(seconds):
            self._tick()

    def settle(self) -> None:
        """Tick every second until nothing will happen by itself within a minute."""
        quiet = 0
        for _ in range(300):
            before = self._last, self._routed
            self._tick()
            plan, now = self.stage.plan, self.stage.now
            assert plan is not None
            soon = plan.wake_at is not None and plan.wake_at <= now + 60
            quiet = 0 if plan.actions or soon or before != (self._last, self._routed) else quiet + 1
            if quiet == 2:
                return
        raise AssertionError(f"does not settle:\n{self.text()}")

    def sleep(self, seconds: float) -> None:
        """Time passes without a tick."""
        self.tell(f"{seconds:g} s pass" if seconds > 0 else f"the clock is set back by {-seconds:g} s")
        self.stage.now += seconds

    def text(self) -> str:
        """The whole story, with the status of every app as it stands at the end."""
        self._flush()
        status = [line for one in self.stage.statuses.values() for line in _status(one)]
        return "\n".join([*self._lines, "", f"## {self._time()}: status", *status, ""]).lstrip("\n")

    def _tick(self) -> None:
        time = self._time()
        self.stage.tick()
        text, routed = self.stage.text(), self.stage.routed()
        if text == self._last and routed == self._routed:
            self._same_until = time
            return
        self._flush()
        self._lines += ["", f"-- {time}", text]
        if routed != self._routed:
            self._lines.append(f"=> routed: {', '.join(routed) or 'nobody'}")
        self._last, self._routed = text, routed

    def _flush(self) -> None:
        if self._same_until:
            self._lines.append(f".. the same until {self._same_until}")
        self._same_until = ""

    def _time(self) -> str:
        return f"{self.stage.now - FIRST_SECOND:g} s"


def _asked_for(version: Version) -> str:
    scaling = version.app.scaling
    count = scaling.manual_replicas if scaling.mode == "manual" else "auto"
    return f"{version.name} ({version.app.spec.image} × {count})"


def _status(status: AppStatus) -> list[str]:
    lines = [f"{status.name}: {status.ready} of {status.desired} ready, {status.routed} routed, at {status.revision}"]
    lines += [f"  {c.type}={c.status}: {c.reason}: {c.message}" for c in status.conditions]
    lines += [f"  {i.name}: {i.state}, {i.phase}" + (f", {i.note}" if i.note else "") for i in status.replicas]
    return lines + [f"  error: {line}" for line in status.error.splitlines()]

"""What failed, and so may not be tried again yet: the longer, the more often in a row it did.

Doubling from one second to five minutes. Where the controller may have forgotten a failure for a good reason, it is
forgotten here as well: after something else was asked for, after a success, where an image is there at last, where
nobody lived to record it, and where the Engine could not be seen soon after.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from reconciler.model.actions import Action, CreateReplica, EnsureImage, RemoveReplica, StartReplica, StopReplica

FIRST_SECONDS, MOST_SECONDS = 1.0, 300.0


@dataclass
class _Failures:
    """Of one thing, in a row. ``of`` is what it was tried with; ``image`` what could not be had."""

    of: str
    times: int
    last_at: float
    image: str


class Patience:
    """Failures by what they are of. Times are seconds as the controller sees them pass. ``images`` are on the host."""

    def __init__(self, images: Container[str]) -> None:
        self._images = images
        self._failures: dict[str, _Failures] = {}
        self._unrecorded: list[tuple[Action, float]] = []

    def came_to(self, action: Action, at: float, *, failed: bool) -> None:
        """An action ended."""
        if not failed:
            self.forget(_subject(action))
        elif _subject(action):
            self._unrecorded.append((action, at))

    def record(self) -> None:
        """A tick came to its end, and what had ended before it is on record."""
        for action, at in self._unrecorded:
            before, of = self._failures.get(_subject(action)), _tried_with(action)
            times = before.times if before and before.of == of else 0
            image = action.version.app.spec.image if isinstance(action, EnsureImage) else ""
            self._failures[_subject(action)] = _Failures(of, times + 1, at, image)
        self._unrecorded.clear()

    def cut_off(self) -> None:
        """The controller ended, and what is not on record with it."""
        self._unrecorded.clear()

    def forget(self, subject: str) -> None:
        self._failures.pop(subject, None)
        self._unrecorded = [failure for failure in self._unrecorded if _subject(failure[0]) != subject]

    def forget_app(self, app_name: str) -> None:
        """What it is to be has changed, or it was as it should be."""
        self.forget(f"creating {app_name}")

    def lose(self) -> None:
        self._failures.clear()
        self._unrecorded.clear()

    def pardon(self, since: float) -> None:
        """What has failed since then may be tried again at once."""
        self._failures = {subject: failures for subject, failures in self._failures.items() if failures.last_at < since}
        self._unrecorded = [(action, at) for action, at in self._unrecorded if at < since]

    def missing_seconds(self, action: Action, at: float) -> float:
        """How much too early the action is."""
        failures = self._failures.get(_subject(action))
        if failures is None:
            return 0.0
        if failures.of != _tried_with(action) or failures.image in self._images:
            self.forget(_subject(action))
            return 0.0
        pause = min(MOST_SECONDS, FIRST_SECONDS * 2 ** (failures.times - 1))
        return max(0.0, failures.last_at + pause - at)


def _subject(action: Action) -> str:
    match action:
        case CreateReplica() | EnsureImage():
            return f"creating {action.app_name}"
        case StartReplica() | StopReplica() | RemoveReplica():
            return f"{action.verb} {action.container_id}"
        case _:
            return ""


def _tried_with(action: Action) -> str:
    return action.version.spec_hash if isinstance(action, CreateReplica | EnsureImage) else ""

"""How replicas are, as the controller was told: by the answers of each run of a container to each check.

Where an answer may have got lost with a tick that was cut off, both may hold: then it is not known to be well, and may
be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.fakes.engine import FakeContainer
from tests.scenarios.labels import app_of, hash_of
from tests.scenarios.readings import Readings

FAILURES_THAT_CONDEMN = 3


@dataclass
class _Answers:
    """What one run of a container has answered to one check. ``well_since`` is the tick since which all answers were
    good; ``doubtful`` says that the first of them may have got lost with that tick. Of the ``failures`` in a row all
    but ``lost`` ones were heard for certain, and ``fresh`` ones of them are of this tick."""

    started_at: float
    well_once: bool = False
    failures: int = 0
    lost: int = 0
    fresh: int = 0
    well_since: int = 0
    doubtful: bool = False


class Wellness:
    """``trusted`` are containers that ran when the database was lost."""

    def __init__(self, readings: Readings) -> None:
        self.trusted: frozenset[str] = frozenset()
        self._readings = readings
        self._unnoticed: set[str] = set()
        self._tick = 0
        self._answers: dict[tuple[str, str], _Answers] = {}

    def begin_tick(self, *, last_ended: bool) -> None:
        """A tick begins; the last one has ``last_ended``, or was cut off."""
        for answers in self._answers.values():
            answers.doubtful |= not last_ended and answers.well_since == self._tick
            answers.lost += 0 if last_ended else answers.fresh
            answers.fresh = 0
        self._tick += 1

    def answered(self, container: FakeContainer, check: str, well: bool) -> None:
        """A probe was answered."""
        answers = self._run(container, check)
        if well and (answers.failures or answers.doubtful or not answers.well_once):
            answers.well_since, answers.doubtful = self._tick, False
        answers.well_once |= well
        if well:
            answers.failures = answers.lost = answers.fresh = 0
        else:
            answers.failures, answers.fresh = answers.failures + 1, answers.fresh + 1

    def not_noticed(self, containers: Iterable[FakeContainer]) -> None:
        """These ended and were started again while nobody looked."""
        self._unnoticed |= {container.id for container in containers}

    def lose(self, containers: Iterable[FakeContainer]) -> None:
        """The database is lost: these are there, and are taken for well."""
        self.trusted = frozenset(container.id for container in containers)
        self._answers.clear()

    def is_ready(self, container: FakeContainer) -> bool:
        """Whether the controller knows that it is well: all its answers of late say so."""
        checks = self._checks(container)
        return container.state == "running" and all(
            answers.well_once and not answers.failures and not answers.doubtful
            for answers in (self._run(container, check) for check in checks)
        )

    def may_be_ready(self, container: FakeContainer) -> bool:
        """Whether the controller may believe that it is well."""
        checks = [self._run(container, check) for check in ("health", "readiness")]
        condemned = any(answers.failures - answers.lost >= FAILURES_THAT_CONDEMN for answers in checks)
        return container.state == "running" and self.has_been_well(container) and not condemned

    def has_been_well(self, container: FakeContainer) -> bool:
        """Whether it was well since it started; one that served before the database was lost is trusted."""
        if container.id in self.trusted | self._unnoticed or not self._checks(container):
            return container.state == "running"
        return container.state == "running" and self._run(container, "health").well_once

    def _checks(self, container: FakeContainer) -> set[str]:
        """The checks that any version it may be of has."""
        versions = self._readings.of_hash(app_of(container), hash_of(container))
        checked = {"health" for version in versions if version.app.health_check is not None}
        return checked | {"readiness" for version in versions if version.app.spec.readiness is not None}

    def _run(self, container: FakeContainer, check: str) -> _Answers:
        answers = self._answers.get((container.id, check))
        if answers is None or answers.started_at != container.started_at:
            answers = self._answers[container.id, check] = _Answers(container.started_at or 0.0)
        return answers
